# SPDX-License-Identifier: GPL-2.0-only
"""Mails whose text is packed, encrypted, cut, or several mails in one."""

from __future__ import annotations

import base64
import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from tests.series.mail.inputs import AND_MORE, HTML, PLAIN, SMALL, Input
from tests.series.mail.parts import OTHER, Part, letter, mail, mbox, multipart, posted

# The head of what an S/MIME program packs text and signature into, in DER.
SIGNED_DATA = b"0\x82\x06\x00\x06\x09*\x86H\x86\xf7\r\x01\x07\x02\xa0\x82\x00\x00"
SIGNATURE = {"Content-Type": "application/pkcs7-signature", "Content-Transfer-Encoding": "base64"}


def each(make: Callable[[int, Part], bytes]) -> Callable[[list[Part]], bytes]:
    """A mailbox of one mail for each part."""
    return lambda parts: mbox([make(n, part) for n, part in enumerate(parts, 1)])


def packed(part: Part) -> bytes:
    """A part as S/MIME packs it: its lines end in CRLF, and what stands around them is binary."""
    text = b"Content-Type: text/plain\n\n" + part.body
    return SIGNED_DATA + text.replace(b"\n", b"\r\n") + b"\xa0\x82\x00\x01\0"


def whole(n: int, part: Part, kind: str, text: bytes) -> bytes:
    """A mail that is nothing but ``text``, in base64."""
    subject, body = f"[PATCH {n}/3] {part.subject}", base64.encodebytes(text)
    return mail(subject, body, f"w{n}", Content_Type=kind, Content_Transfer_Encoding="base64")


def with_file(n: int, part: Part, kind: str, text: bytes) -> bytes:
    """A mail with a file attached."""
    head = {"Content-Type": kind, "Content-Transfer-Encoding": "base64"}
    pieces = [(PLAIN, b"See below.\n"), (head, base64.encodebytes(text))]
    return multipart(f"[PATCH {n}/3] {part.subject}", pieces)


def signed(n: int, part: Part, around: str = "") -> bytes:
    """A mail whose text anybody can read, with its signature beside it."""
    text: list[tuple[Mapping[str, str], bytes]] = [
        (PLAIN, part.body),
        (SIGNATURE, base64.encodebytes(b"0\x82\0\n--- a\n+++ b\n")),
    ]
    made = multipart(f"[PATCH {n}/3] {part.subject}", text).replace(b"/mixed", b"/signed")
    if not around:
        return made
    head, _, body = made.partition(b"\n\n")
    kind = next(x for x in head.split(b"\n") if x.startswith(b"Content-Type: "))
    inner = {"Content-Type": kind.decode().removeprefix("Content-Type: ")}
    pieces = [(inner, body), (PLAIN, around.encode())]
    made = multipart(f"[PATCH {n}/3] {part.subject}", pieces)
    return made.replace(b"=-cut", b"=-out").replace(b'=-out"\n\n--=-out', b'=-cut"\n\n--=-cut')


def in_zip(text: bytes) -> bytes:
    """A ZIP archive that has not compressed it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("0001-x.patch", text)
    return file.getvalue()


def in_tar(text: bytes) -> bytes:
    """A tar archive of it."""
    file, about = io.BytesIO(), tarfile.TarInfo("0001-x.patch")
    about.size = len(text)
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(about, io.BytesIO(text))
    return file.getvalue()


def closed() -> Iterator[Input]:
    """Text that is there only for a program that can unpack or decrypt it."""
    why = "'[PATCH 1/3] mm: count the pages that go' <w1@example.org> cannot be taken as it came: "
    smime = "it is S/MIME, encrypted or packed into its signature"
    for kind in (
        "application/pkcs7-mime; smime-type=signed-data; name=smime.p7m",
        "application/x-pkcs7-mime",
        "application/octet-stream; name=smime.p7m",
    ):
        make = each(lambda n, x, k=kind: whole(n, x, k, packed(x)))  # type: ignore[misc]
        yield Input(f"packed into a signature: {kind}", make, 2, why + smime)
    for name, text in {"encrypted": b"0\x82\0\x17\x80", "compressed": b"0\x80\xe5\x90"}.items():
        make = each(
            lambda n, x, t=text: whole(n, x, "application/pkcs7-mime", t)  # type: ignore[misc]
        )
        yield Input(f"S/MIME, {name}", make, 2, why + smime)
    secret = [
        ({"Content-Type": "application/pgp-encrypted"}, b"Version: 1\n"),
        ({"Content-Type": "application/octet-stream"}, b"-----BEGIN PGP MESSAGE-----\n"),
    ]
    yield Input(
        "one of those without a number is encrypted",
        lambda p: mbox(
            [mail(f"[PATCH] {p[0].subject}", p[0].body), multipart("[PATCH] x", secret)]
        ),
        2,
        "the mail '[PATCH] x' cannot be taken as it came: it is encrypted with PGP",
    )
    yield Input(
        "a secret that is no patch",
        lambda p: mbox(
            [*posted(p), multipart("Lunch?", secret), multipart("Re: [PATCH] x", secret)]
        ),
    )
    for kind, pack in {
        "application/zip": in_zip,
        "application/x-tar": in_tar,
        "application/gzip": gzip.compress,
        "image/png": lambda text: b"\x89PNG\r\n\x1a\n\0\0\0\r" + text,
        "application/octet-stream": lambda text: text + b"\0\n",
    }.items():
        make = each(
            lambda n, x, k=kind, f=pack: with_file(  # type: ignore[misc]
                n, x, k, f(mail(f"[PATCH] {x.subject}", x.body))
            )
        )
        yield Input(f"a patch in {kind}", make, 2, f"is attached to it, {kind}, is no text")
    yield Input(
        "a cover letter with a picture",
        lambda p: mbox(
            [with_file(0, replace(p[0], subject="Pages"), "image/png", b"\x89PNG\0"), *posted(p)]
        ),
    )
    said = "a signature, which is not checked (in 3)"
    yield Input("signed, to be read", each(signed), says=said)
    yield Input("and with CRLF", lambda p: each(signed)(p).replace(b"\n", b"\r\n"), says=said)
    yield Input("and with a footer", each(lambda n, x: signed(n, x, "the list\n")), says=said)
    for kind, why in {
        'message/partial; id="x"; number=1; total=2': "it is one piece of a mail",
        "message/external-body; access-type=local-file": "its text is not in it",
    }.items():
        make = each(lambda n, x, k=kind: mail(f"[PATCH {n}/3] x", x.body, Content_Type=k))  # type: ignore[misc]
        yield Input(kind, make, 2, why)
    yield Input(
        "a patch without a diff, and none has a number",
        lambda p: mbox([*posted(p, "PATCH"), mail("[PATCH] x", b"See my web page.\n")]),
        says="1 mail that calls itself a patch left out: it has no diff",
    )


def several() -> Iterator[Input]:
    """More than one mail in a mail."""
    why = "it holds several mails: a digest, or mails put together without 'From ' lines"
    rule = b"\n" + b"-" * 30 + b"\n\n"
    yield Input(
        "a digest of a list",
        lambda p: mbox([mail("Digest, Vol 1", b"Today:\n1. pages\n" + rule.join(posted(p)))]),
        2,
        why,
    )
    yield Input("put together by cat", lambda p: b"\n".join(posted(p, "PATCH")), 2, why)
    inner = {"Content-Type": "message/rfc822"}
    theirs = (inner, mail("[PATCH] theirs", SMALL, sender=OTHER))
    yield Input(
        "a patch that has another one with it",
        lambda p: mbox([multipart("[PATCH] mine", [(PLAIN, p[0].body), theirs])]),
        2,
        "it has a mail with a patch in it, and a diff besides",
    )
    yield Input(
        "an answer that has another patch with it",
        lambda p: mbox(
            [*posted(p), multipart("Re: [PATCH 1/3] x", [(PLAIN, b"Rather this.\n"), theirs])]
        ),
        says="1 answer or letter with a diff left out",
    )
    yield Input(
        "a digest as MIME has it, forwarded with words of one's own",
        lambda p: mbox(
            [multipart("Fwd: Digest", [(PLAIN, b"Hi.\n" + SMALL), (HTML, b"Hi\n"), *(
                (inner, one) for one in [letter("PATCH 0/3"), *posted(p)])])]
        ),
        says="with its cover letter",
    )  # fmt: skip
    yield Input(
        "a subject and an author in the text",
        lambda p: mbox(
            posted([replace(p[0], message=b"From: B <b@example.org>\nSubject: mm: it\n\nIt.\n"),
                    *p[1:]])
        ),
    )  # fmt: skip
    flowed = "text/plain; format=flowed"
    long = b"@@ -0,0 +1 @@\n+x " + b"\nx " * 200_000 + b"\n"
    added = b"diff --git a/l b/l\nnew file mode 100644\n--- /dev/null\n+++ b/l\n" + long
    yield Input(
        "a line that is broken 200 thousand times",
        lambda p: mbox([mail("[PATCH] x", b"---\n" + added, Content_Type=flowed)]),
        AND_MORE,
        "format=flowed",
    )
