# SPDX-License-Identifier: GPL-2.0-only
"""Diffs that are not of the usual kind, bytes that are no mail, and folders."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tests.series.mail.inputs import (
    AND_MORE,
    SMALL,
    Input,
    answers,
    authors,
    parts_of_mails,
    transport,
    versions,
)
from tests.series.mail.packed_inputs import closed, several
from tests.series.mail.parts import Part, letter, mail, mbox, posted

BINARY = (
    b"diff --git a/p.png b/p.png\nnew file mode 100644\n"
    b"index " + b"0" * 40 + b"..e8eb1b5337079a44fa3b7b0ad4ef10da5dc0a91d\n"
    b"GIT binary patch\nliteral 5\nMcmZQz4DfRY00G<p=Kufz\n\nliteral 0\nHcmV?d00001\n\n"
)
HIDDEN = {
    "override": "\u202e",
    "isolate": "\u2066",
    "no width": "\u200b",
    "tag": "\U000e0041",
    "backspace": "\b",
    "filler": "\u3164",
}


def new_file(hunk: bytes, name: bytes = b"b/l", mode: bytes = b"100644") -> bytes:
    """A diff that adds a file of one line; ``name`` as git writes it."""
    head = b"diff --git %s %s\nnew file mode %s\n" % (name.replace(b"b/", b"a/"), name, mode)
    return head + b"--- /dev/null\n+++ %s\n@@ -0,0 +1 @@\n%s" % (name, hunk)


def plain(part: Part) -> Part:
    """The part as diff -u writes it."""
    lines = part.diff.split(b"\n")
    kept = [x for x in lines if not x.startswith((b"diff --git", b"index ", b"new file"))]
    timed = (x + b"\t2026-01-01" if x[:4] in (b"--- ", b"+++ ") else x for x in kept)
    return replace(part, diff=b"\n".join(timed))


def bare(part: Part) -> Part:
    """The part as diff.noPrefix has it."""
    return replace(part, diff=part.diff.replace(b" a/", b" ").replace(b" b/", b" "))


def diffs() -> Iterator[Input]:
    """What a patch can do."""
    for name, more in {
        "mode": b"diff --git a/mm/swap.c b/mm/swap.c\nold mode 100644\nnew mode 100755\n",
        "rename": b"diff --git a/mm/Kconfig b/mm/K config\nsimilarity index 100%\n"
        b"rename from mm/Kconfig\nrename to mm/K config\n",
        "binary": BINARY,
        "empty file": b"diff --git a/mm/e b/mm/e\nnew file mode 100644\nindex 0000000..e69de29\n",
        "link": new_file(b"+mm\n\\ No newline at end of file\n", mode=b"120000"),
        "Latin-1": new_file(b"+gr\xf6\xdfer\n"),
        "CRLF file": new_file(b"+x\r\n"),
    }.items():
        yield Input(
            f"{name} only",
            lambda p, m=more: mbox(posted([*p, Part("more", b"", m)])),  # type: ignore[misc]
            AND_MORE,
        )
    yield Input("plain diff", lambda p: mbox(posted([plain(x) for x in p])))
    said = "names without a/ and b/"
    yield Input("no prefixes", lambda p: mbox(posted([bare(x) for x in p])), says=said)
    yield Input(
        "plain, no prefixes",
        lambda p: mbox(posted([bare(plain(p[0]))])),
        2,
        "its names lack the folder in front",
    )
    yield Input(
        "half a binary patch",
        lambda p: mbox(posted([Part("x", b"", BINARY.replace(b"<p=", b"<"))])),
        2,
        "is damaged; git says",
    )
    for name, lines in {
        "a binary file of which it has a line": b"index 0000000..e69de2a\n"
        b"Binary files /dev/null and b/mm/swap.c differ\n",
        "a deletion without the lines": b"deleted file mode 100644\nindex 1234567..0000000\n",
    }.items():
        yield Input(
            name,
            lambda p, x=lines: mbox(  # type: ignore[misc]
                posted([Part("x", b"", b"diff --git a/mm/swap.c b/mm/swap.c\n" + x)])
            ),
            2,
            "is damaged; git says",
        )
    for mode in (b"040000", b"777777", b"060000"):
        yield Input(
            f"a file of the mode {mode.decode()}",
            lambda p, m=mode: mbox(posted([Part("x", b"", new_file(b"+x\n", mode=m))])),  # type: ignore[misc]
            2,
            f"is of no kernel: it has a file of the mode {mode.decode()}",
        )
    yield Input(
        "folders as deep as nobody can go",
        lambda p: mbox(posted([Part("x", b"", new_file(b"+x\n", b"b/" + b"a/" * 2500 + b"x"))])),
        2,
        "is of no kernel: it has a file with a name of 5001 bytes",
    )
    yield Input(
        "a new file that is there",
        lambda p: mbox(posted([Part("x", b"", new_file(b"+x\n", b"b/mm/swap.c"))])),
        1,
        "mm/swap.c: already exists in index",
    )
    yield Input(
        "a binary difference that is none",
        lambda p: mbox(posted([Part("x", b"", BINARY.replace(b"literal 5", b"delta 5"))])),
        2,
        "is damaged; git says",
    )
    yield Input(
        "a hunk of more lines than there are atoms",
        lambda p: mbox(posted([p[0].but(b"@@ -6,7", b"@@ -6," + b"7" * 5000)])),
        2,
        "is damaged; git says",
    )
    yield Input(
        "it does not apply",
        lambda p: mbox(posted([p[0].but(b"page < 0", b"page < 1")])),
        1,
        "there is no place for the hunk",
    )


def hidden() -> Iterator[Input]:
    """Characters that nobody sees."""
    for name, char in HIDDEN.items():
        yield Input(
            f"hidden: {name}",
            lambda p, c=char: mbox(  # type: ignore[misc]
                posted([p[0].but(b"counted(", f"counted({c}".encode()), *p[1:]])
            ),
            2,
            "mm/swap.c:9: return page_was_counted(\\",
        )
    yield Input(
        "hidden in the message",
        lambda p: mbox(posted([Part("x", "a \u202eb\u202c c\n".encode(), p[0].diff)])),
        2,
        "its message, line",
    )
    yield Input(
        "hidden in a name",
        lambda p: mbox(posted([Part("x", b"", new_file(b"+x\n", b'"b/l\\342\\200\\256"'))])),
        2,
        "the name of a file: l\\u202e",
    )
    for name, diff in {
        "an empty file": b'diff --git "a/l \\342\\200\\256" "b/l \\342\\200\\256"\n'
        b"new file mode 100644\nindex 0000000..e69de29\n",
        "a binary file": BINARY.replace(b"p.png", "l \u202e".encode()),
        "another name": b'diff --git a/mm/Kconfig "b/l \\342\\200\\256"\nsimilarity index 100%\n'
        b'rename from mm/Kconfig\nrename to "l \\342\\200\\256"\n',
    }.items():
        yield Input(
            f"hidden in the name of {name}",
            lambda p, d=diff: mbox(posted([Part("x", b"", d)])),  # type: ignore[misc]
            2,
            "the name of a file: l \\u202e",
        )
    joined = "a \u0645\u06cc\u200c\u062e b\n".encode()  # Persian needs it to write a word
    yield Input("a joiner in the message", lambda p: mbox(posted([p[0], p[1], replace(
        p[2], message=joined)])))  # fmt: skip
    yield Input(
        "a form feed",
        lambda p: mbox(posted([*p, Part("x", b"", new_file(b"+\f\n"))])),
        AND_MORE,
    )


def odd_bytes() -> Iterator[Input]:
    """No mailbox at all, and worse."""
    for name, text in {
        "nothing": b"",
        "a line": b"hello\n",
        "NUL": b"\0" * 99,
        "half a header": b"From: a\nSubj",
        "From only": b"From mboxrd@z Thu Jan  1 00:00:00 1970\n",
        "UTF-16": "From: x\n".encode("utf-16"),
        "half a gzip": gzip.compress(b"x" * 999)[:20],
        "no gzip": b"\x1f\x8bno",
        "a header without end": b"From: a\n" * 3 + SMALL,
        "a mail in a mail": b"From: a\nContent-Type: message/rfc822\n\n" * 3000,
    }.items():
        yield Input(f"bytes: {name}", lambda p, t=text: t, 2)  # type: ignore[misc]
    yield Input(
        "a NUL in the message",
        lambda p: mbox(posted([replace(p[0], message=b"a\0b\n")])),
        2,
        "git am does not take the mail",
    )
    yield Input(
        "an impossible date",
        lambda p: mbox([one.replace(b" 1 Jan 2026", b"41 Jan 2026") for one in posted(p)]),
    )
    yield Input(
        "a charset with a NUL",
        lambda p: mail("[PATCH] x", SMALL, Content_Type="text/plain; charset=a\0b"),
        AND_MORE,
    )
    yield Input("gzip'ed", lambda p: gzip.compress(mbox(posted(p))))


KINDS = (
    answers, versions, transport, parts_of_mails, authors, diffs, hidden, odd_bytes, closed, several
)  # fmt: skip
INPUTS = [one for kind in KINDS for one in kind()]


def eml(folder: Path, parts: list[Part]) -> None:
    for n, one in enumerate([letter("PATCH 0/3"), *posted(parts)]):
        (folder / f"{9 - n}.eml").write_bytes(one)


def maildir(folder: Path, parts: list[Part]) -> None:
    for name in ("cur", "new", "tmp"):
        (folder / name).mkdir()
    for n, one in enumerate([letter("PATCH 0/3"), *posted(parts)]):
        (folder / ("cur" if n % 2 else "new") / f"17{9 - n}.host:2,S").write_bytes(one)


def b4_am(folder: Path, parts: list[Part]) -> None:
    (folder / "v1_pages.mbx").write_bytes(mbox(posted(parts)))
    (folder / "v1_pages.cover").write_bytes(letter("PATCH 0/3"))


def lore(folder: Path, parts: list[Part]) -> None:
    text = mbox([letter("PATCH 0/3"), *posted(parts)])
    (folder / "t.mbox.gz").write_bytes(gzip.compress(text))


def quilt(folder: Path, parts: list[Part]) -> None:
    """Patches without a header, one of them for ``patch -p0``."""
    for name, part in zip("cab", parts, strict=True):
        (folder / f"{name}.patch").write_bytes(b"What it does.\n\n" + part.diff)
    (folder / "a.patch").write_bytes(bare(parts[1]).diff)
    text = "# by quilt\n\nc.patch # the first\na.patch -p0\nb.patch -p1\n#d.patch\n"
    (folder / "series").write_text(text)


def two_widths(folder: Path, parts: list[Part]) -> None:
    for name, part in zip(("8", "0009", "10"), parts, strict=True):
        (folder / f"{name}-x.patch").write_bytes(mail(f"[PATCH] {part.subject}", part.body))
    (folder / "0000-cover-letter.patch").write_bytes(letter("PATCH 0/3"))


def two_versions(folder: Path, parts: list[Part]) -> None:
    for n, part in enumerate(parts, 1):
        (folder / f"v2-000{n}-x.patch").write_bytes(mail(f"[PATCH] {part.subject}", part.body))
    (folder / "0001-old.patch").write_bytes(mail("[PATCH] old", SMALL))


def hidden_files(folder: Path, parts: list[Part]) -> None:
    """What an editor and a file manager leave beside the files."""
    for n, one in enumerate([letter("PATCH 0/3"), *posted(parts)]):
        (folder / f"000{n}-x.patch").write_bytes(one)
    (folder / "._0001-x.patch").write_bytes(b"\0\5\x16\7")
    (folder / ".#0001-x.patch").symlink_to("somebody@host.1")


FOLDERS = (eml, maildir, b4_am, lore, quilt, two_widths, two_versions, hidden_files)
