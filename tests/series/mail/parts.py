# SPDX-License-Identifier: GPL-2.0-only
"""A small series in pieces, and mails made of them as mail programs would."""

from __future__ import annotations

import base64
import quopri
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tests.support.toy import Step

ME = "Ann Author <ann@example.org>"
OTHER = "Rob Reviewer <rob@example.org>"
LIST = "toy-list@example.org"


def _count(text: str) -> str:
    call = "\treturn page_was_counted(page, because_it_is_a_page, and_pages_are_counted);"
    return text.replace("\treturn page + 1;", call)


def _ask(text: str) -> str:
    return text.replace("\tdefault:\n", "\tcase MADV_ASK:\n\t\treturn swap_in(0);\n\n\tdefault:\n")


STEPS: tuple[Step, ...] = (
    ("mm: count the pages that go", {"mm/swap.c": _count}),
    ("mm: ask for a page", {"mm/madvise.c": _ask}),
    ("Documentation: what a page is", {"Documentation/page.rst": "A page\n======\n\nis größer.\n"}),
)


@dataclass(frozen=True)
class Part:
    """One patch of the series: its subject, what its message says, its diff."""

    subject: str
    message: bytes
    diff: bytes

    @property
    def body(self) -> bytes:
        return self.message + b"---\n" + self.diff + b"-- \n2.39.5\n"

    def but(self, old: bytes, new: bytes) -> Part:
        """The part with another text in its diff."""
        assert old in self.diff
        return replace(self, diff=self.diff.replace(old, new))


def split_patch(patch: bytes) -> Part:
    """The pieces of what git format-patch wrote."""
    head, _, rest = patch.partition(b"\n\n")
    message, _, behind = rest.partition(b"---\n")
    subject = next(line for line in head.split(b"\n") if line.startswith(b"Subject: "))
    diff = behind[behind.index(b"diff --git") :].rstrip(b"\n") + b"\n"
    return Part(subject.decode().replace("Subject: [PATCH] ", ""), message, diff)


def mail(
    subject: str,
    body: bytes,
    mail_id: str | None = None,
    to: str | None = None,
    sender: str | bytes = ME,
    **fields: str,
) -> bytes:
    """A mail; ``to`` is the message-id that it answers."""
    head: dict[str, str | bytes] = {"From": sender, "To": LIST, "Subject": subject}
    head["Date"] = "Thu, 1 Jan 2026 10:00:00 +0000"
    if mail_id:
        head["Message-Id"] = f"<{mail_id}@example.org>"
    if to:
        head["In-Reply-To"] = f"<{to}@example.org>"
    head |= {name.replace("_", "-"): value for name, value in fields.items()}
    encoded = ((k, v if isinstance(v, bytes) else v.encode()) for k, v in head.items())
    return b"".join(b"%s: %s\n" % (k.encode(), v) for k, v in encoded) + b"\n" + body


def posted(
    parts: list[Part], tag: str = "PATCH {n}/{m}", version: str = "v1", **fields: str
) -> list[bytes]:
    """The series as mails that answer a cover letter, with ``tag`` before each subject."""
    return [
        mail(f"[{tag.format(n=n, m=len(parts))}] {part.subject}", part.body, f"{version}-{n}",
             f"{version}-0", **fields)
        for n, part in enumerate(parts, 1)
    ]  # fmt: skip


def letter(tag: str, version: str = "v1", body: bytes = b"Pages, counted.\n") -> bytes:
    """A cover letter."""
    return mail(f"[{tag}] Pages", body, f"{version}-0")


def mbox(mails: list[bytes]) -> bytes:
    """The mails as public-inbox writes them."""
    line = b"From mboxrd@z Thu Jan  1 00:00:00 1970\n"
    return b"".join(line + one.replace(b"\nFrom ", b"\n>From ") + b"\n" for one in mails)


def encoded(parts: list[Part], how: str, charset: str | None = None, crlf: bool = False) -> bytes:
    """The series with its bodies in base64 or quoted-printable."""
    mails = []
    for n, part in enumerate(parts, 1):
        body = part.body.replace(b"\n", b"\r\n") if crlf else part.body
        text = base64.encodebytes(body) if how == "base64" else quopri.encodestring(body)
        kind = f"text/plain; charset={charset}" if charset else "text/plain"
        mails.append(
            mail(f"[PATCH {n}/{len(parts)}] {part.subject}", text, f"e{n}",
                 Content_Transfer_Encoding=how, Content_Type=kind)
        )  # fmt: skip
    return mbox(mails)


def flowed(body: bytes, stuffed: bool = True, width: int | None = None) -> bytes:
    """A body in format=flowed: a blank before some lines, long lines broken behind a blank."""
    lines = []
    for line in body.split(b"\n"):
        more = b" " + line if stuffed and line[:1] in (b" ", b">") else line
        while width and len(more) > width and b" " in more[10:width]:
            cut = more.rindex(b" ", 10, width) + 1
            lines.append(more[:cut])
            more = more[cut:]
        lines.append(more)
    return b"\n".join(lines)


def multipart(
    subject: str, parts: Sequence[tuple[Mapping[str, str], bytes]], **fields: str
) -> bytes:
    """A mail of several parts, each with its own header."""
    pieces = []
    for head, body in parts:
        lines = "".join(f"{name}: {value}\n" for name, value in head.items())
        pieces.append(b"--=-cut\n" + lines.encode() + b"\n" + body)
    whole = b"".join(pieces) + b"--=-cut--\n"
    kind = 'multipart/mixed; boundary="=-cut"'
    return mail(subject, whole, Content_Type=kind, MIME_Version="1.0", **fields)
