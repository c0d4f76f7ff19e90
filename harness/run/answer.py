# SPDX-License-Identifier: GPL-2.0-only
"""FIX=: a patch that somebody has mailed in answer to one of the series, on top of it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from harness.core.errors import InvocationError
from harness.core.settings import Settings
from harness.series.base import Base
from harness.series.patches import Patch, Series, load_series, parse_patch

_REPLY = re.compile(rb"^(Subject:)[ \t]*(?:(?:re|aw|sv)(?:\[\d+\])?:[ \t]*)+", re.I | re.M)


def _patches(fix: str, settings: Settings, base: Base) -> tuple[Patch, ...]:
    """Those of a series, or the diff that stands in a reply, which no series takes for a patch."""
    try:
        return load_series(replace(settings, series=fix), base).patches
    except InvocationError as error:
        path = Path(fix).expanduser()
        mail = path.read_bytes() if path.is_file() else b""
        if _REPLY.search(mail):
            return (parse_patch(_REPLY.sub(rb"\1 ", mail, count=1), fix),)
        raise InvocationError(f"FIX={fix}: {error.what}", next_step=error.next_step) from error


def with_answer(series: Series, settings: Settings, base: Base) -> Series:
    """The series with what FIX= names on top of it.

    Raises:
        InvocationError: there is no patch in it, or it cannot be taken as it came.
    """
    assert settings.fix is not None
    both = (*series.patches, *_patches(settings.fix, settings, base))
    return replace(series, source=f"{series.source} and {settings.fix}", patches=both)
