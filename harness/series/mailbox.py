# SPDX-License-Identifier: GPL-2.0-only
"""What is handed in, from a disk to mails: mailboxes, folders, quilt's list of patches."""

from __future__ import annotations

import codecs
import gzip
import re
import tempfile
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.core import git
from harness.core.errors import HarnessError, InvocationError
from harness.series.diff import BEGINS, with_prefixes
from harness.series.mail import Mail, read_mail

FORMS = (
    "SERIES= takes a mailbox, a Maildir, a directory of patches, a message-id,\n"
    "or, with KERNEL=/a/git/tree, a range a..b or a branch"
)
# Where the zone stands before the year, as Gmail writes it, git finds no mail.
_ZONED = re.compile(rb"(?m)^(From \S.* \d\d:\d\d:\d\d) (?:[+-]\d{4}|[A-Z]{3,4}) (\d{4}\r?)$")
# Of a mailbox; a large series with all that was said of it has a fifth. 32 MiB of empty lines, or
# 10,000 mails, take minutes as it is.
MAX_BYTES, MAX_MAILS = 1 << 25, 10_000
_MAILBOXES = ("*.mbx", "*.mbox", "*.mbox.gz")
# format-patch's names: v2-0003-mm-x.patch
_NUMBERED = re.compile(r"(?:v(\d+(?:\.\d+)*)-)?(\d+)[-_.]")


def mails_of(path: Path) -> list[Mail]:
    """The mails of a file: an mbox, gzip'ed or not, or a single mail.

    Raises:
        InvocationError: it is neither, or larger than 32 MiB.
    """
    text = content(path)
    if _ZONED.match(text):
        text = _ZONED.sub(rb"\1 \2", text)
    # public-inbox and b4 write mboxrd, which has '>From ' for 'From ' in a text.
    style = ["--mboxrd"] if text.startswith(b"From mboxrd@z") else []
    with tempfile.TemporaryDirectory(prefix="harness-") as scratch:
        argv = ("mailsplit", "--keep-cr", "-b", *style, f"-o{scratch}")
        try:
            git.text(None, *argv, stdin=text)
        except HarnessError as error:
            raise InvocationError(f"{path} is no mailbox", next_step=FORMS) from error
        files = sorted(Path(scratch).iterdir(), key=natural)
        _check_count(path, files)
        raws = [each.read_bytes() for each in files]
    return [mail for raw in raws for mail in read_mail(raw)]


def content(path: Path) -> bytes:
    """The bytes of a file, unpacked; without a byte order mark, and UTF-8 in place of UTF-16.

    PowerShell writes ``git format-patch --stdout > FILE`` so.

    Raises:
        InvocationError: it is no file, no whole gzip file, or larger than 32 MiB.
    """
    if path.exists() and not path.is_file():  # of a pipe one would wait for ever
        raise InvocationError(f"{path} is no plain file", next_step=FORMS)
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if packed else path.open("rb") as stream:
            text = stream.read(MAX_BYTES + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InvocationError(f"{path} is no whole gzip file: {error}", next_step=FORMS) from error
    if len(text) > MAX_BYTES:
        raise InvocationError(f"{path} is larger than {MAX_BYTES >> 20} MiB", next_step=FORMS)
    if text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return text.decode("utf-16", "replace").encode()
    return text.removeprefix(codecs.BOM_UTF8)


def _check_count(where: Path, mails: Sequence[Path]) -> None:
    if len(mails) > MAX_MAILS:
        raise InvocationError(
            f"{where} holds {len(mails)} mails, more than {MAX_MAILS}",
            next_step="save the mails of the series to a mailbox of their own",
        )


def natural(path: Path) -> list[tuple[int, str]]:
    """A key that sorts ``2-x`` before ``10-x``."""
    return [(int(n or 0), text) for n, text in re.findall(r"(\d{1,18})|(\D+|\d+)", path.name)]


def box_of(folder: Path) -> list[Mail] | None:
    """The mails of a folder that holds a mailbox; None where it does not.

    A Maildir; what ``b4 am`` leaves, with its cover letter beside it; a folder of single mails.

    Raises:
        InvocationError: it holds more than one.
    """
    if (folder / "cur").is_dir() or (folder / "new").is_dir():
        files = [path for name in ("cur", "new") for path in (folder / name).glob("[!.]*")]
        _check_count(folder, files)
        return [mail for path in sorted(files, key=natural) for mail in mails_of(path)]
    boxes = [
        path for kind in _MAILBOXES for path in sorted(folder.glob(f"[!.]{kind}"), key=natural)
    ]
    mails = sorted(folder.glob("[!.]*.eml"), key=natural)
    besides = [*(mails if boxes else ()), *_patches(folder)]
    if (boxes or mails) and besides:
        found = (boxes or mails)[0]
        raise InvocationError(
            f"{folder} holds {found.name} and {besides[0].name}, and nothing says which one counts",
            next_step=f"SERIES={found}, or a folder of the patches alone",
        )
    if len(boxes) > 1:
        names = "\n".join(f"  {path.name}" for path in boxes)
        raise InvocationError(
            f"{folder} holds {len(boxes)} mailboxes, and nothing says which one:\n{names}",
            next_step=f"SERIES={boxes[-1]}",
        )
    _check_count(folder, mails)
    letters = sorted(folder.glob("*.cover")) if boxes and boxes[0].suffix == ".mbx" else []
    return [m for path in (*letters, *boxes, *mails) for m in mails_of(path)] or None


def patch_files(folder: Path) -> list[Path]:
    """The ``*.patch`` files of the newest version by number, less the cover letter.

    Raises:
        InvocationError: two have the same number.
    """
    patches = [path for path in _newest(folder) if _place(path)[1] != 0]
    places = [_place(path)[1] for path in patches]
    twice = [path.name for path in patches if _place(path)[1] and places.count(_place(path)[1]) > 1]
    if twice:
        names = "\n".join(f"  {name}" for name in twice)
        raise InvocationError(
            f"{folder} has patches of one number, and nothing says which of them count:\n{names}",
            next_step="remove those that are left from before",
        )
    return patches


def cover_letter(folder: Path) -> Mail | None:
    """The cover letter among patches, as git format-patch names it; None where there is none."""
    letters = (path for path in _newest(folder) if _place(path)[1] == 0)
    return next((mail for path in letters for mail in read_mail(content(path))), None)


def older_versions(folder: Path) -> list[str]:
    """The names of patches that ``patch_files`` leaves out for a newer version, 'v2-' in front."""
    newest = _newest(folder)
    return [path.name for path in _patches(folder) if path not in newest]


def _patches(folder: Path) -> list[Path]:
    """The patches in it, but for what editors and file managers hide there."""
    return sorted(folder.glob("[!.]*.patch"), key=natural)


def _newest(folder: Path) -> list[Path]:
    files = _patches(folder)
    version = max((_place(path)[0] for path in files), default=())
    return [path for path in files if _place(path)[0] == version or _place(path)[1] is None]


def _place(path: Path) -> tuple[tuple[int, ...], int | None]:
    """The version and the number in a patch's name."""
    found = _NUMBERED.match(path.name)
    if not found:
        return (1,), None
    return tuple(map(int, (found[1] or "1").split("."))), int(found[2])


def quilt_mails(folder: Path) -> list[Mail] | None:
    """The patches that quilt's file ``series`` names, in its order; None where there is none.

    A patch that is no mail, as quilt's need not be, gets our name, and the file's as subject.

    Raises:
        InvocationError: the list names a file that is not there, or has an option we do not know.
    """
    if not (folder / "series").is_file():
        return None
    mails = []
    for number, line in enumerate(
        (folder / "series").read_text("utf-8", "replace").splitlines(), 1
    ):
        words = re.sub(r"(^|\s)#.*", "", line).split()
        if not words:
            continue
        name, options = words[0], "".join(words[1:])
        strip = re.fullmatch(r"(?:-p(\d|ab))?", options)
        path = folder / name
        if (
            strip is None
            or not path.is_file()
            or not path.resolve().is_relative_to(folder.resolve())
        ):
            why = "is not in this folder" if strip else f"has an option that is not -p: {options}"
            raise InvocationError(f"{folder / 'series'}:{number}: {name} {why}", next_step=FORMS)
        depth = 1 if strip[1] in (None, "ab") else int(strip[1])
        mails.extend(read_mail(_as_mail(content(path), path, depth)))
    return mails


def _as_mail(text: bytes, path: Path, depth: int) -> bytes:
    if depth != 1:
        text = with_prefixes(text, depth)
    lines = text.split(b"\n")
    begin = next((n for n, line in enumerate(lines) if BEGINS.match(line)), len(lines))
    head = b"\n".join(lines[:begin])
    if re.search(rb"(?m)^From:", head) and re.search(rb"(?m)^Subject:", head):
        return text
    made = f"From: {git.NAME} <{git.EMAIL}>\nSubject: [PATCH] {path.stem}\n\n"
    return made.encode("utf-8", "replace") + head + b"---\n" + b"\n".join(lines[begin:])


def described(mails: Iterable[Mail]) -> str:
    """The mails as a list for an error, at most 30 of them."""
    shown = [
        f"  {mail.subject.whole[:90]!r}, {mail.sender}, {mail.date or 'no date'}" for mail in mails
    ]
    more = [f"  and {len(shown) - 30} more"] if len(shown) > 30 else []
    return "\n".join([*shown[:30], *more])
