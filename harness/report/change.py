# SPDX-License-Identifier: GPL-2.0-only
"""The diff of each patch with what ran of it: ``coverage.json``, and the page's part of it."""

from __future__ import annotations

from typing import Literal, TypedDict

FILE = "coverage.json"
# '' is a line that is not added, or is of no C file; ``later``: a later patch wrote it anew.
LineState = Literal["", "run", "not_run", "no_code", "later"]


class DiffRow(TypedDict):
    """A line of a diff; ``case``: the id of the one that ran it first, '' for none."""

    text: str
    state: LineState
    case: str


class PatchDiff(TypedDict):
    """What one patch adds, and how many of its lines have code in this kernel, and have run."""

    subject: str
    lines_run: int
    lines: int
    rows: list[DiffRow]


class PatchDiffs(TypedDict):
    """``coverage.json``: the patches in order."""

    patches: list[PatchDiff]
