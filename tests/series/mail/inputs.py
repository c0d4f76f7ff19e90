# SPDX-License-Identifier: GPL-2.0-only
"""What people hand in: each kind several times, with what has to come of it.

``AS_POSTED``: the tree is that of the plain series, and ``says`` is in a remark.
Otherwise the exit status, and ``says`` is in the message.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from tests.series.mail.parts import (
    OTHER,
    Part,
    encoded,
    flowed,
    letter,
    mail,
    mbox,
    multipart,
    posted,
)

AS_POSTED, AND_MORE = 0, -1  # AND_MORE: it applies, and the tree has something besides
Make = Callable[[list[Part]], bytes]
SMALL = b"diff --git a/mm/swap.c b/mm/swap.c\n--- a/mm/swap.c\n+++ b/mm/swap.c\n@@ -2,2 +2,3 @@\n"
SMALL += b" #include <linux/mm.h>\n+/* as a reviewer would have it */\n \n"
PLAIN = {"Content-Type": "text/plain; charset=utf-8"}
HTML = {"Content-Type": "text/html; charset=utf-8"}


@dataclass(frozen=True)
class Input:
    """One input: ``make`` gives the bytes of a file from the parts of the series."""

    name: str
    make: Make
    status: int = AS_POSTED
    says: str = ""


def v1_and_more(*more: bytes) -> Make:
    return lambda parts: mbox([letter("PATCH 0/3"), *posted(parts), *more])


def answers() -> Iterator[Input]:
    """Talk that has a diff in it."""
    body = b"> +#define X\n\nWould this not do?\n\n" + SMALL
    out = "with a diff left out"
    for subject in (
        "Re: [PATCH 2/3] mm: ask for a page",
        "AW: [PATCH 2/3] mm: ask for a page",
        "[toy-list] Re: [PATCH 2/3] mm: ask for a page",
        "RE: Re: [PATCH 2/3] mm: ask for a page",
        "Re:[PATCH 2/3] mm: ask for a page",
    ):
        yield Input(subject, v1_and_more(mail(subject, body, "a", "v1-2", OTHER)), says=out)
    yield Input(
        "an answer with a patch of its own",
        v1_and_more(mail("[PATCH] mm: rather so", body, "a", "v1-2", OTHER)),
        says="without a number left out",
    )
    for name, letter_body in {
        "interdiff": b"Pages.\n\nInterdiff against v1:\n" + SMALL,
        "example": b"One could also do\n\n" + SMALL + b"\nbut need not.\n",
        "diffstat": b" mm/swap.c | 1 +\n 1 file changed, 1 insertion(+)\n\n" + SMALL,
    }.items():
        yield Input(
            f"a cover letter with an {name}",
            lambda parts, b=letter_body: mbox([letter("PATCH 0/3", body=b), *posted(parts)]),  # type: ignore[misc]
            says=out,
        )
    for name, hunk in {
        "a whole diff": SMALL,
        "a diff below a rule": b"---\n" + SMALL,
        "a plain diff": SMALL.split(b"\n", 1)[1],
        "two": SMALL + b"or\n" + SMALL,
    }.items():
        yield Input(
            f"{name} in the message",
            lambda parts, h=hunk: mbox(  # type: ignore[misc]
                posted([Part(p.subject, b"As in\n\n" + h + b"\nonly.\n\n" + p.message, p.diff)
                        for p in parts])
            ),
            says="a diff in its message (in 3)",
        )  # fmt: skip
    yield Input(
        "a hunk without a file in the message",
        lambda parts: mbox(
            posted([Part(p.subject, b"@@ -1,9 +1,9 @@\n-a\n+b\n\n" + p.message, p.diff)
                    for p in parts])
        ),
    )  # fmt: skip
    yield Input("answers only", lambda parts: mbox([mail("Re: [PATCH] x", body)]), 2, "no patch in")


def versions() -> Iterator[Input]:
    """Several versions, parts of them, copies, any order, odd tags."""

    def worse(parts: list[Part]) -> list[Part]:
        return [parts[0].but(b"page_was_counted", b"page_was_lost"), *parts[1:]]

    for new in ("v2", "v10", "v2.1"):
        tag = f"PATCH {new} {{n}}/{{m}}"
        yield Input(
            f"the one before and {new}",
            lambda parts, t=tag: mbox([*posted(parts, t, "new"), *posted(worse(parts))]),  # type: ignore[misc]
            says=f"b4: {new}, 3 patches; left out: v1",
        )
    for name, tag in {
        "v2": "PATCH v2 {n}/3",
        "v3 with v2 missing": "PATCH v3 {n}/3",
        "v1.1": "PATCH v1.1 {n}/3",
    }.items():
        yield Input(
            f"one patch again as {name}",
            lambda parts, t=tag: mbox(  # type: ignore[misc]
                [letter("PATCH 0/3"), *posted(worse(parts)),
                 mail(f"[{t.format(n=1)}] {parts[0].subject}", parts[0].body, "again", "v1-1")]
            ),
            says=", 3 patches, with its cover letter; 1 sent again, the others are those of v1",
        )  # fmt: skip
    yield Input(
        "one patch again that answers nothing",
        lambda parts: mbox(
            [*posted(parts), mail(f"[PATCH v2 1/3] {parts[0].subject}", parts[0].body, "again")]
        ),
        2,
        "v2 is not whole: 2, 3 of 3 is missing. It holds:",
    )
    yield Input("one missing", lambda p: mbox(posted(p)[1:]), 2, "v1 is not whole: 1 of 3")
    yield Input("the last missing", lambda p: mbox(posted(p)[:-1]), 2, "3 of 3 is missing")
    once = "the same mail twice: taken once"
    yield Input("each twice", lambda p: mbox(posted(p) * 2), says=once)
    yield Input(
        "sent again", lambda p: mbox([*posted(p), *posted(p, "RESEND PATCH {n}/3", "r")]), says=once
    )
    yield Input(
        "with a footer of the list",
        lambda p: mbox(
            [*posted(p), *(one + b"_____\ntoy-list\n" for one in posted(p, version="l"))]
        ),
        says=once,
    )
    yield Input("each with the same id", lambda p: mbox(posted(p)).replace(b"<v1-", b"<v1").replace(
        b"<v12@", b"<v11@").replace(b"<v13@", b"<v11@"))  # fmt: skip
    first = b"Message-Id: <v1-1@example.org>\nSubject: "
    for name, subject in {"letter": b"[PATCH 0/3] Pages", "answer": b"Re: pages"}.items():
        again = first + subject + b"\n\nPages.\n"
        yield Input(f"the id of the {name}", lambda p, m=again: mbox([m, *posted(p)]))  # type: ignore[misc]
    yield Input("any order", lambda p: mbox(posted(p)[::-1]))
    yield Input(
        "sent anew without a version",
        lambda p: mbox([*posted(p), *posted(worse(p), version="again")]),
        2,
        "1/3 of v1 is there as different patches. It holds:\n  '[PATCH 1/3] mm: count",
    )
    yield Input(
        "two series",
        lambda p: mbox([*posted(p), mail("[PATCH v5 1/1] other: thing", SMALL, "o")]),
        2,
        "two series",
    )
    yield Input(
        "a patch besides",
        lambda p: mbox([*posted(p), mail("[PATCH] other: thing", SMALL, "o")]),
        2,
        "some patches have a number and some have none",
    )
    for tag in (
        "PATCHv2 {n}/{m}", "PATCH{n}/{m}", "PATCH v2.1 {n}/{m}", "RFC PATCH net-next v3 0{n}/0{m}",
        "PATCH {n}/{m} v6", "RFC {n}/{m}", "PATCH V3, {n}/{m}", "toy-list] [PATCH 6.1.y {n}/{m}",
        "PATCH RESEND v2 {n}/{m}", "PATCH v2 00{n}/3", "RFCv4 {n}/{m}", "PATCH -v2 {n}/{m}",
        "PATCH 5.10/5.15/6.1 {n}/{m}", "PATCH {n}/{m} 6.1.y/6.6.y", "PATCH 24/7 v2 {n}/{m}",
    ):  # fmt: skip
        yield Input(f"[{tag}]", lambda parts, t=tag: mbox(posted(parts, t)[::-1]))  # type: ignore[misc]
    yield Input(
        "a kernel's version is none of the series",
        lambda p: mbox(
            [*posted(worse(p), "PATCH v6.1 {n}/{m}", "a"), *posted(p, "PATCH v6.1 v2 {n}/{m}")]
        ),
        says="b4: v2, 3 patches; left out: v1",
    )
    yield Input(
        "one between two",
        lambda p: mbox([*posted(p), mail("[PATCH 2.5/3] mm: more", SMALL, "more", "v1-2")]),
        2,
        "v1 is not whole: 4 of 5",
    )
    yield Input("no numbers", lambda p: mbox(posted(p, "PATCH")))
    yield Input("nor ids", lambda p: mbox([mail(f"[PATCH] {x.subject}", x.body) for x in p]))


def transport() -> Iterator[Input]:
    """What mail programs do to a body."""
    kind = "text/plain; charset=utf-8; format=flowed"
    for name, stuffed, width in (
        ("stuffed", True, None),
        ("not stuffed", False, None),
        ("broken", True, 60),
    ):
        yield Input(
            f"flowed, {name}",
            lambda parts, s=stuffed, w=width: mbox(  # type: ignore[misc]
                [mail(f"[PATCH {n}/3] {p.subject}", flowed(p.body, s, w), Content_Type=kind)
                 for n, p in enumerate(parts, 1)]
            ),
            says="format=flowed (in 3)",
        )  # fmt: skip
    yield Input("CRLF", lambda p: mbox(posted(p)).replace(b"\n", b"\r\n"), says="CRLF (in 3)")
    for name, line in {
        "Gmail": b"From 1769@xxx Thu Jan 01 10:00:00 +0000 2026\r\n",
        "old Unix": b"From ann Thu Jan  1 10:00:00 PST 2026\n",
    }.items():
        yield Input(
            f"the zone before the year: {name}",
            lambda p, x=line: b"".join(x + one + b"\n" for one in posted(p)),  # type: ignore[misc]
        )
    for line in (b"From ann Thu Jan  1 10:00:00 2026\n", b"From 0000 Mon Sep 17 00:00:00 2001\n"):
        yield Input(
            f"a message quotes the line {line[:9]!r}",
            lambda p, x=line: mbox(posted([replace(p[0], message=b"As\n\n" + x), *p[1:]])),  # type: ignore[misc]
        )
    yield Input("a byte order mark", lambda p: b"\xef\xbb\xbf" + mbox(posted(p)))
    yield Input(
        "UTF-16, as PowerShell writes a file",
        lambda p: mbox(posted(p)).decode().replace("\n", "\r\n").encode("utf-16"),
        says="CRLF (in 3)",
    )
    for how in ("base64", "quoted-printable"):
        yield Input(how, lambda p, h=how: encoded(p, h, "utf-8"), says=f"{how} (in 3)")  # type: ignore[misc]
        yield Input(f"{how}, no charset", lambda p, h=how: encoded(p, h), says=how)  # type: ignore[misc]
        yield Input(f"{how}, CRLF", lambda p, h=how: encoded(p, h, "utf-8", True), says="CRLF")  # type: ignore[misc]
    for charset in ("x-unknown", "us-ascii", "big5-tw", "windows-1252"):
        yield Input(charset, lambda p, c=charset: encoded(p, "base64", c), says="base64")  # type: ignore[misc]
    yield Input(
        "UTF-16",
        lambda p: mbox(
            [
                mail(
                    f"[PATCH {n}/3] {x.subject}",
                    base64.encodebytes(x.body.decode().encode("utf-16")),
                    Content_Type="text/plain; charset=utf-16",
                    Content_Transfer_Encoding="base64",
                )
                for n, x in enumerate(p, 1)
            ]
        ),
    )  # fmt: skip
    yield Input(
        "a message in no charset",
        lambda p: encoded([Part(p[0].subject, b"\xff\xfe\xfd\n\n", p[0].diff)], "base64", "x-none"),
        2,
        "neither in its charset, x-none, nor in UTF-8",
    )
    yield Input("no last line end", lambda p: mbox(posted(p))[:-1].rstrip(b"\n"))
    yield Input(
        "cut short", lambda p: mbox(posted([*p[:2], Part("x", b"", p[2].diff[:-30])])), 2, "no hunk"
    )
    yield Input(
        "a long line wrapped",
        lambda p: mbox(posted([p[0].but(b"because_it_is", b"\nbecause_it_is"), *p[1:]])),
        2,
        "the mail '[PATCH 1/3] mm: count the pages that go' <v1-1@example.org> cannot be taken",
    )
    yield Input(
        "tabs lost",
        lambda p: mbox(posted([p[0].but(b"\t", b"        "), *p[1:]])),
        2,
        "does not apply; but for its white space it does",
    )
    yield Input(
        "a line more", lambda p: mbox(posted([p[0].but(b"\n+\t", b"\n+x\n+\t")])), 2, "no hunk"
    )


def parts_of_mails() -> Iterator[Input]:
    """Attachments and HTML."""

    def attached(parts: list[Part], kind: str, whole: bool = True) -> bytes:
        head = {"Content-Type": kind, "Content-Disposition": 'attachment; filename="x.patch"',
                "Content-Transfer-Encoding": "base64"}  # fmt: skip
        mails = []
        for n, part in enumerate(parts, 1):
            subject = f"[PATCH {n}/3] {part.subject}"
            text = base64.encodebytes(mail(subject, part.body) if whole else part.diff)
            mails.append(multipart(subject, [(PLAIN, b"Hello,\nsee below.\n"), (head, text)]))
        return mbox(mails)

    for kind in ("text/x-patch", "application/octet-stream", "text/plain"):
        for whole in (True, False):
            name = f"attached as {kind}, {'a mail' if whole else 'a diff'}"
            yield Input(
                name,
                lambda p, k=kind, w=whole: attached(p, k, w),  # type: ignore[misc]
                says="an attachment (in 3)",
            )

    def together(parts: list[Part]) -> bytes:
        """All of the series in one mail."""
        return mbox(
            [multipart("Pages", [(PLAIN, b"Hello.\n"), *(
                ({"Content-Type": "text/x-patch"}, one) for one in posted(parts))])]
        )  # fmt: skip

    def both(parts: list[Part], second: Callable[[Part], tuple[dict[str, str], bytes]]) -> bytes:
        mails = []
        for n, part in enumerate(parts, 1):
            two = [(PLAIN, part.body), second(part)]
            mails.append(multipart(f"[PATCH {n}/3] {part.subject}", two, Message_Id=f"<b{n}@x.y>"))
        return mbox(mails)

    def in_two_forms(part: Part) -> tuple[dict[str, str], bytes]:
        head = b"--in\nContent-Type: text/%s; charset=utf-8\n\n%s\n"
        forms = head % (b"plain", part.body) + head % (b"html", b"<pre>" + part.body)
        return {"Content-Type": 'multipart/alternative; boundary="in"'}, forms + b"--in--\n"

    yield Input(
        "in two forms, and a footer",
        lambda p: mbox(
            [multipart(f"[PATCH {n}/3] {x.subject}", [in_two_forms(x), (PLAIN, b"The list.\n")])
             for n, x in enumerate(p, 1)]
        ),
        says="its diff once more, in another part (in 3)",
    )  # fmt: skip
    yield Input("three attachments", together, says="an attachment (in 3)")
    yield Input("and as HTML", lambda p: both(p, lambda x: (HTML, b"<pre>" + x.body + b"</pre>\n")))
    yield Input("a footer", lambda p: both(p, lambda x: (PLAIN, b"____\nThe list.\n")))
    yield Input(
        "a signature",
        lambda p: both(p, lambda x: ({"Content-Type": "application/pgp-signature"}, b"x\n")),
    )
    yield Input(
        "inline and attached",
        lambda p: both(p, lambda x: ({"Content-Type": "text/x-patch"}, x.body)),
    )
    yield Input(
        "another diff attached",
        lambda p: both(p, lambda x: ({"Content-Type": "text/x-patch"}, SMALL)),
        2,
        "2 parts with a diff",
    )
    yield Input(
        "HTML only",
        lambda p: mbox(
            [mail("[PATCH 1/1] x", b"<pre>\n" + p[0].body, "h", Content_Type="text/html")]
        ),
        2,
        "'[PATCH 1/1] x' <h@example.org> cannot be taken as it came: its diff is there as HTML",
    )
    yield Input(
        "forwarded",
        lambda p: mbox(
            [
                multipart(
                    "Fwd: pages", [({"Content-Type": "message/rfc822"}, one) for one in posted(p)]
                )
            ]
        ),
    )


def authors() -> Iterator[Input]:
    """Who is said to have written it."""
    for name, sender in {
        "raw UTF-8": "Änne Écrivain <ann@example.org>",
        "raw Latin-1": "Änne <ann@example.org>".encode("latin-1"),
        "Big5": "=?big5_tw?B?tn21b6rMpdI=?= <ann@example.org>",
        "KOI8": "=?koi8-r?B?4c7O?= <ann@example.org>",
        "empty": '"" <ann@example.org>',
        "none": "ann@example.org",
        "comma": '"Author, Ann" <ann@example.org>',
        "comma without quotes": "Author, Ann <ann@example.org>",
        "two words": "=?utf-8?q?=C3=84nne?= =?utf-8?q?_=C3=89?= <ann@example.org>",
    }.items():
        yield Input(
            f"author: {name}",
            lambda parts, s=sender: mbox(  # type: ignore[misc]
                [mail(f"[PATCH {n}/3] {p.subject}", p.body, f"f{n}", sender=s)
                 for n, p in enumerate(parts, 1)]
            ),
        )  # fmt: skip
    yield Input(
        "a charset that nobody has, not UTF-8",
        lambda p: mbox([mail("[PATCH] x", p[0].body, sender="=?x-none?B?//79?= <a@example.org>")]),
        2,
        "its field From is not in its charset, x-none",
    )
    yield Input(
        "no author",
        lambda p: mbox([mail("[PATCH] x", p[0].body, sender="")]),
        2,
        "lacks a From line",
    )
