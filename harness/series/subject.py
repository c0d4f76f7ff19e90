# SPDX-License-Identifier: GPL-2.0-only
"""What the subject of a mail says: its tags, and whether it is an answer."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TAGS = re.compile(r"\s*\[([^\]]*)\]\s*")
_REPLY = re.compile(r"(?i)(re|aw|sv|fwd?|wg|antw|回复|答复)\s*(\[\d+\])?\s*[:：]\s*")  # noqa: RUF001
# "v2", "v2.1", "PATCHv2", "RFC-v2", but not the v of "dev2".
_VERSION = re.compile(r"(?i)(?:^|[^a-z0-9]|patch|rfc|resend)v\s?(\d{1,4}(?:\.\d{1,4})*)(?![\w.])")
_COUNT = re.compile(r"(?:^|(?<=[^\d/]))(\d{1,4})/(\d{1,4})(?![\d/])")
# Kernels that a backport is for: "PATCH 5.15/6.1 1/3".
_KERNELS = re.compile(r"\b\d+\.\d+(?:\.\w+)?(?:/v?\d+\.\d+(?:\.\w+)?)+")


@dataclass(frozen=True)
class Subject:
    """What the tags of a subject say; ``count`` is n and m of 'n/m', None where it has none.

    ``kernel``: of 'v6.1 v2' the first, which is no version of the series. ``patch``: whether it
    says that it is one.
    """

    whole: str
    plain: str
    reply: bool
    version: tuple[int, ...] | None
    count: tuple[int, int] | None
    kernel: tuple[int, ...] | None = None
    patch: bool = False


def read_subject(subject: str) -> Subject:
    """Reads the tags. b4 0.16 does not know '[PATCH3/4]', 'v2.1' and '[list] Re:'."""
    whole = rest = " ".join(subject.split())
    tags, reply = "", False
    while True:
        if found := _REPLY.match(rest):
            reply = True
        elif found := _TAGS.match(rest):
            tags += f" {found[1]}"
        else:
            break
        rest = rest[found.end() :]
    versions = _VERSION.findall(tags)
    counts = _COUNT.findall(_KERNELS.sub("", tags))
    numbers = [tuple(map(int, version.split("."))) for version in versions]
    return Subject(
        whole,
        rest,
        reply,
        numbers[-1] if numbers else None,
        (int(counts[-1][0]), int(counts[-1][1])) if counts else None,
        next((number for number in numbers[:-1] if len(number) > 1), None),
        "patch" in tags.lower(),
    )
