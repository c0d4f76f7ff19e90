# SPDX-License-Identifier: GPL-2.0-only
"""What a unified diff says: its files, its hunks, the lines that it changes."""

from __future__ import annotations

import io
import re

from unidiff.errors import UnidiffParseError
from unidiff.patch import PatchSet

from harness.core.errors import InvocationError


def read_diff(text: str) -> PatchSet:
    """The files of a diff with their hunks.

    Raises:
        InvocationError: it is damaged.
    """
    try:
        return PatchSet(io.StringIO(text))
    except UnidiffParseError as error:
        raise InvocationError(str(error)) from error


def files_of(text: str) -> tuple[str, ...]:
    """Every path that a diff names, old and new, sorted.

    A hunk that is damaged is not this function's matter: applying the patch says
    which one it is, so the headers alone must do.
    """
    headers = re.findall(r"(?m)^diff --git (a/\S+) (b/\S+)$", text)
    found = {name for pair in headers for name in pair}
    try:
        found |= {n for file in read_diff(text) for n in (file.source_file, file.target_file)}
    except InvocationError:
        found |= set(re.findall(r"(?m)^(?:---|\+\+\+) ([^\t\n]+)", text))
    return tuple(sorted({p.split("/", 1)[1] for p in found if p[:2] in ("a/", "b/")}))


def changed_lines(text: str) -> dict[str, set[int]]:
    """The lines of each file, as numbered after it, that a ``git diff -U0`` touches.

    Where lines are only taken away, those around the place.
    """
    return {
        file.path: {
            line
            for hunk in file
            for line in range(hunk.target_start, hunk.target_start + (hunk.target_length or 2))
        }
        for file in read_diff(text)
        if not file.is_removed_file
    }
