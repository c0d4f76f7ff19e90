# SPDX-License-Identifier: GPL-2.0-only
"""One mail, with undone what mail programs do to a patch on its way.

What is undone is what can be undone without doubt, and each mail says what it was. A mail
that needs nothing of it is left as it came, byte for byte. Where there is doubt the mail has
a ``fault``, which matters only if the mail turns out to be wanted.

git mailinfo undoes some of it itself, and b4 more. Both are wrong in these cases:

* format=flowed: git joins an empty line of context, one blank, with the line behind it.
* A body that is not in its charset, or in one that iconv does not know: git refuses it, b4
  0.16 replaces its bytes (``get_payload``), so that a diff of a Latin-1 file changes.
* CRLF in base64: both keep it, and the diff fits no file.
* A diff in the commit message: both take it for a part of the patch. So does git with one that
  is there once more, as HTML in a part of a part.
"""

from __future__ import annotations

import base64
import email.header
import email.utils
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from email.errors import HeaderParseError
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32

from harness.series.diff import (
    BEGINS,
    damage,
    escaped,
    quieted,
    split_body,
    with_prefixes,
)
from harness.series.subject import Subject, read_subject

_POLICY = compat32.clone(mangle_from_=False)
_DIFF = re.compile(rb"(?m)^(?:diff --git \S|--- \S.*\n\+\+\+ \S|GIT binary patch)")
_FORWARDED = re.compile(r"(?i)\W*(?:fwd?|wg)\s*:")
# What is no text, though bytes in it may look like a diff.
_CLOSED = {
    "application/pkcs7-mime": "it is S/MIME, encrypted or packed into its signature",
    "application/x-pkcs7-mime": "it is S/MIME, encrypted or packed into its signature",
    "application/pgp-encrypted": "it is encrypted with PGP",
    "message/partial": "it is one piece of a mail",
    "message/external-body": "its text is not in it, only where to get it",
}
_UNPACKED = ("base64", "quoted-printable", "x-uuencode", "uuencode", "x-uue", "uue")  # by Python
_QUIET = re.compile(rb"(?m)^ (?:diff -|Index: |--- \S)")
# How lines of a diff begin that stand between its hunks.
_HEADS = (b"diff ", b"index ", b"@@ ", b"new ", b"old ", b"deleted ", b"rename ", b"copy ",
          b"similarity ", b"dissimilarity ", b"GIT ", b"Binary ")  # fmt: skip
_OF_GIT = ("utf-8", "us-ascii", "iso-8859-1")  # charsets that git converts wherever it runs


@dataclass(frozen=True)
class Mail:
    """One mail; ``text`` is what ``git am`` reads.

    ``undone``: what its mail program did to it, ``fault``: what cannot be undone.
    """

    text: bytes
    subject: Subject
    sender: str
    date: str | None
    message_id: str | None
    answers: tuple[str, ...]
    has_diff: bool
    undone: tuple[str, ...] = ()
    fault: str | None = None

    @property
    def is_patch(self) -> bool:
        """Whether it is a patch, rather than a cover letter or talk that has a diff in it."""
        cover = self.subject.count is not None and self.subject.count[0] == 0
        return self.has_diff and not self.subject.reply and not cover

    @property
    def named(self) -> str:
        """The mail as an error names it."""
        about = f" <{self.message_id}>" if self.message_id else ""
        return f"the mail '{escaped(self.subject.whole)}'{about}"


def read_mail(raw: bytes) -> list[Mail]:
    """A mail as it came, or each patch that is attached to it as a mail of its own."""
    undone: list[str] = []
    raw = _unix(raw, undone)
    bare = re.sub(rb"\AFrom [^\n]*\n", b"", raw)
    if re.search(rb"(?m)^From ", bare):
        raw = bare  # git am would take such a line of an mbox for the next mail
    message = BytesParser(policy=_POLICY).parsebytes(bare)
    head = _Head(message)
    leaves = list(_leaves(message))
    parts = [part for part in leaves if not isinstance(part, list)]
    inner = [mail for part in leaves if isinstance(part, list) for mail in part]
    texts = [(p, _payload(p)) for p in parts if p.get_content_type() != "text/html"]
    closed = [pair for pair in texts if _closed(*pair)]
    texts = [pair for pair in texts if not _closed(*pair)]
    diffs = [(part, text) for part, text in texts if _DIFF.search(text.replace(b"\r", b""))]
    mail = Mail(raw, head.subject, head.address, head.date, head.message_id, head.answers,
                bool(diffs), tuple(undone))  # fmt: skip
    if any(mail.is_patch for mail in inner):
        answer = head.subject.reply and not _FORWARDED.match(head.subject.whole)
        if not answer and not mail.is_patch:
            return inner
        fault = "it has a mail with a patch in it, and a diff besides"
        return [replace(mail, has_diff=True, fault=fault)]
    attached = [pair for pair in diffs if _is_mail(pair[1])] if message.is_multipart() else []
    if attached and len(attached) == len(diffs):
        return _attached(head, [text for _, text in attached])
    if not diffs:
        if closed and (head.subject.patch or any(_DIFF.search(text) for _, text in closed)):
            shut = replace(mail, has_diff=True, fault=_closed(*closed[0]))
            return [shut if shut.is_patch else mail]
        pages = [_payload(part) for part in parts if part.get_content_type() == "text/html"]
        if any(b"diff --git" in page for page in pages):
            fault = "its diff is there as HTML only, as its mail program wrote it"
            return [replace(mail, has_diff=True, fault=fault)]
        return [mail]
    if len({split_body(_unix(text, []))[1].strip() for _, text in diffs}) > 1:
        fault = f"it has {len(diffs)} parts with a diff, and nothing says which one counts"
        return [replace(mail, fault=fault)]
    part, body = diffs[0]
    if message.is_multipart() and part is not texts[0][0]:
        said = next(
            (t for p, t in texts if p.get_content_type() == "text/plain" and p != part), b""
        )
        body = said.rstrip() + b"\n---\n" + body
        undone.append("an attachment")
    elif any(one.get_content_type() == "multipart/signed" for one in message.walk()):
        undone.append("a signature, which is not checked")
    elif any(other is not part and b"@@ -" in _payload(other) for other in parts):
        undone.append("its diff once more, in another part")
    return [_mended(head, replace(mail, undone=tuple(undone)), part, body)]


def _unix(text: bytes, undone: list[str]) -> bytes:
    """The text without CR at line ends, where every line has one: so it came by mail."""
    core = text.rstrip(b"\n")  # an mbox adds an empty line
    if (ends := core.count(b"\r\n")) and ends == core.count(b"\n"):
        undone.append("CRLF")
        return text.replace(b"\r\n", b"\n")
    return text


def _closed(part: Message, text: bytes) -> str | None:
    """Why what a part holds is no text in which a patch could be; None where it is."""
    kind, name = part.get_content_type(), str(part.get_filename(""))
    if kind == "application/octet-stream" and name.lower().endswith(".p7m"):
        kind = "application/pkcs7-mime"
    packed = f"what is attached to it, {escaped(name or kind)}, is no text"
    binary = b"\0" in text and part.get_content_maintype() != "text"
    return _CLOSED.get(kind, packed if binary else None)


def _leaves(message: Message) -> Iterator[Message | list[Mail]]:
    """The parts that hold text; a mail that is attached as a whole as the list it reads as."""
    if message.get_content_type() in _CLOSED:
        yield message
    elif message.get_content_type() == "message/rfc822" and message.is_multipart():
        for one in message.walk():
            # Damaged: it has no parts. The email package would write its text decoded, or fail.
            if one.get_content_maintype() in ("multipart", "message") and not one.is_multipart():
                del one["Content-Type"]
        yield [mail for one in message.get_payload() for mail in read_mail(bytes(one))]  # type: ignore[arg-type]
    elif message.is_multipart():
        for part in message.get_payload():
            yield from _leaves(part)  # type: ignore[arg-type]
    else:
        yield message


def _payload(part: Message) -> bytes:
    """What a part holds, in a charset in which a diff's own words are ASCII."""
    found = part.get_payload(decode=True)
    text = found if isinstance(found, bytes) else b""
    charset = _charset(part)
    try:
        if charset and "diff".encode(charset) != b"diff":  # UTF-16 and the like
            return text.decode(charset).encode()
    except (LookupError, ValueError):  # no such charset, or not in it
        pass
    return text


def _charset(part: Message) -> str | None:
    try:
        return part.get_content_charset()
    except (LookupError, ValueError):  # an RFC 2231 parameter that is none
        return "unknown"


def _is_mail(text: bytes) -> bool:
    """Whether an attachment is a whole mail, as git format-patch writes it."""
    head = re.split(rb"\r?\n\r?\n", text, maxsplit=1)[0]
    return all(re.search(rb"(?im)^%s:" % name, head) for name in (b"from", b"subject"))


def _attached(outer: _Head, texts: list[bytes]) -> list[Mail]:
    mails = []
    for number, text in enumerate(dict.fromkeys(text.rstrip(b"\n") + b"\n" for text in texts), 1):
        mail = read_mail(text)[0]
        if mail.subject.count is None and len(texts) == 1:
            mail = replace(mail, subject=outer.subject)
        mark = f"attachment{number}." if len(texts) > 1 else ""
        mail_id = outer.message_id and f"{mark}{outer.message_id}"
        undone = (*mail.undone, "an attachment")
        mails.append(replace(mail, message_id=mail_id, answers=outer.answers, undone=undone))
    return mails


class _Head:
    """The header of a mail, decoded. ``doubt`` names a field that cannot be."""

    def __init__(self, message: Message) -> None:
        self.fields = {k.lower(): v for k, v in reversed(list(message.raw_items()))}
        self.doubt: str | None = None
        self.foreign = False  # a charset that git may not know
        self.subject = read_subject(self._decoded("subject"))
        sender = self.fields.get("from", "").encode("utf-8", "surrogateescape")
        name, self.address = _person(" ".join(_guessed(sender).split()))
        self.name = " ".join(self._words(name, "from").split())
        self.date = self.fields.get("date")
        self.message_id = next(iter(_ids(self.fields.get("message-id", ""))), None)
        above = f"{self.fields.get('in-reply-to', '')} {self.fields.get('references', '')}"
        self.answers = tuple(dict.fromkeys(_ids(above)))

    def _decoded(self, name: str) -> str:
        raw = self.fields.get(name, "").encode("utf-8", "surrogateescape")
        return self._words(_guessed(raw), name)

    def _words(self, text: str, field: str) -> str:
        """Undoes RFC 2047's encoded words."""
        if "=?" not in text:
            return text
        try:
            words = email.header.decode_header(text)
        except (HeaderParseError, ValueError):
            return text
        shown = ""
        for word, charset in words:
            data = word if isinstance(word, bytes) else word.encode("utf-8")
            self.foreign |= (charset or "utf-8").lower() not in _OF_GIT
            decoded = _decode(data, charset or "raw-unicode-escape")
            if decoded is None:
                self.doubt = f"its field {field.title()} is not in its charset, {charset}"
            shown += decoded if decoded is not None else data.decode("latin-1")
        return shown

    def written(self) -> bytes:
        """The fields that git am reads."""
        name = self.name or self.address
        sender = f'"{email.utils.quote(name)}"' if name.isascii() else _encoded(name)
        fields = {
            "From": f"{sender} <{self.address}>" if self.address else None,
            "Subject": _encoded(self.subject.whole),
            "Date": self.date,
            "Message-Id": f"<{self.message_id}>" if self.message_id else None,
            "Content-Type": "text/plain; charset=utf-8",
            "Content-Transfer-Encoding": "8bit",
        }
        lines = (f"{name}: {' '.join(text.split())}\n" for name, text in fields.items() if text)
        return "".join(lines).encode("utf-8", "replace")


def _person(field: str) -> tuple[str, str]:
    """Name and address, as git takes them: a comma in the name needs no quotes."""
    if found := re.fullmatch(r"(.*?)\s*<([^<>\s]+@[^<>\s]+)>.*", field):
        return email.utils.unquote(found[1]), found[2]
    return email.utils.parseaddr(field)


def _guessed(raw: bytes) -> str:
    """Text that names no charset: UTF-8 or, as git has it, Latin-1."""
    return _decode(raw, "utf-8") or raw.decode("latin-1")


def _encoded(text: str) -> str:
    """A word as RFC 2047 has it. Not by email.header: b4 changes what that does with UTF-8."""
    return (
        text
        if text.isascii()
        else f"=?utf-8?b?{base64.b64encode(text.encode('utf-8', 'replace')).decode()}?="
    )


def _decode(data: bytes, charset: str) -> str | None:
    """The text, if it is in that charset or in UTF-8."""
    for one in (charset, "utf-8"):
        try:
            return data.decode(one)
        except (LookupError, ValueError):  # no such charset, or not in it
            continue
    return None


def _ids(text: str) -> list[str]:
    return re.findall(r"<([^<>\s]+)>", text)


def _mended(head: _Head, mail: Mail, part: Message, body: bytes) -> Mail:
    """The mail with its body as it was written, and a header that says no more of it."""
    undone = list(mail.undone)
    body = _unix(body, undone)
    if not body.endswith(b"\n"):
        body += b"\n"
        undone.append("a last line without an end")
    encoding = str(part.get("Content-Transfer-Encoding", "7bit")).strip().lower()
    if encoding in _UNPACKED:
        undone.append(encoding)
    if str(part.get_param("format", "")).lower() == "flowed":
        body = _unflowed(body, str(part.get_param("delsp", "")).lower() == "yes")
        undone.append("format=flowed")
    if (prefixed := with_prefixes(body)) != body:
        body = prefixed
        undone.append("names without a/ and b/")
    message, diff = split_body(body)
    several = None
    if (quiet := quieted(message)) != message:
        message = quiet
        undone.append("a diff in its message")
        behind = _QUIET.search(message)
        several = behind and re.search(rb"(?m)^Subject: ", message[behind.end() :])
    charset = _charset(part) or "utf-8"
    text = _guessed(message) if charset == "utf-8" else _decode(message, charset)
    if charset not in _OF_GIT or (charset == "us-ascii" and not message.isascii()):
        undone.append(f"charset {charset}")
    if head.address and not head.name:
        undone.append("an author without a name")
    if head.foreign:
        undone.append("a header in another charset")
    fault = head.doubt
    if several:
        fault = "it holds several mails: a digest, or mails put together without 'From ' lines"
    if text is None:
        fault = f"its text is neither in its charset, {charset}, nor in UTF-8"
    if lost := damage(diff):
        fault = f"{lost}; a mail program has wrapped or changed it, or somebody has edited it"
    if not undone:
        return replace(mail, fault=fault)
    whole = head.written() + b"\n" + (text or "").encode("utf-8", "replace") + diff
    return replace(mail, text=whole, undone=tuple(dict.fromkeys(undone)), fault=fault)


def _unflowed(body: bytes, delete_blank: bool) -> bytes:
    """Undoes RFC 3676: a blank before some lines, and lines that were broken at a blank.

    In a hunk the first character tells whether a line goes on with the one before; in the
    message, lines stay as they are. Some programs add no blanks: then the hunks tell.
    """
    results = []
    for stuffed in (True, False):
        joined: list[list[bytes]] = []
        inside = False
        for raw in body.split(b"\n"):
            line = raw[1:] if stuffed and raw[:1] == b" " else raw
            soft = joined and joined[-1][-1][-1:] == b" " and raw != b"-- "
            inside = raw != b"-- " and (inside or bool(BEGINS.match(line)))
            broken = line[:1] not in (b"", b" ", b"+", b"-", b"\\") and not line.startswith(_HEADS)
            if inside and soft and broken:
                if delete_blank:
                    joined[-1][-1] = joined[-1][-1][:-1]
                joined[-1].append(line)
            else:
                joined.append([line])
        results.append(b"\n".join(map(b"".join, joined)))
    whole = (one for one in results if damage(split_body(one)[1]) is None)
    return next(whole, results[0])
