# SPDX-License-Identifier: GPL-2.0-only
"""Whose series is it: one of the project's own, known by its patches, or a foreign one.

A patch is known by its patch-id, on any kernel line, or by its subject, which may have been
reworded. A revision may add, drop, join and split patches; what the contract says of patch
numbers is then counted anew. Of a foreign series nothing is promised: no clause, no case.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harness.core.settings import PROJECT, Settings
from harness.series.contract import FOLDER, SeriesData, load
from harness.series.patches import Series, parse_patch

FOREIGN = "foreign"  # the name of a series that is none of ours
SAME_SUBJECT = 0.8  # how alike two subjects are, of 1, where one is the other reworded
COVER = "0000-"  # what git format-patch calls a cover letter
SHIPPED = PROJECT / "patches"


@dataclass(frozen=True)
class TakenFor:
    """``data``: what is promised of the series; ``why``: what it was taken for, in a line."""

    data: SeriesData
    why: str


def is_foreign(data: SeriesData) -> bool:
    """Whether nothing is promised of a series."""
    return data.name == FOREIGN


def foreign(series: Series, guest_tests: str) -> SeriesData:
    """The data of a series of which nothing is promised; it is titled by its first patch.

    Args:
        guest_tests: whose modules programs may use all the same.
    """
    title = series.patches[0].subject if series.patches else "no patches"
    return SeriesData(FOREIGN, title, SHIPPED, guest_tests, (), {})


def take(settings: Settings, series: Series) -> TakenFor:
    """Says whose ``series`` is: PROJECT='s, where that is given or SERIES= is not.

    Raises:
        InvocationError, InternalError: see ``contract.load``.
    """
    asked = load(settings.project)
    if settings.claimed or not settings.series:
        return TakenFor(asked, f"{asked.name} ({asked.title})")
    folders = {settings.project, *(path.parent for path in SHIPPED.glob("*/series.yaml"))}
    known = [load(folder) for folder in sorted(folders)]
    found = [(match(series, data.subjects, _patch_ids(data)), data) for data in known]
    pairs, data = max(found, key=lambda one: len(one[0]))
    # Half of the shorter one: a revision changes much, and a patch alone is of the series too.
    if pairs and 2 * len(pairs) >= min(len(series.patches), len(data.subjects)):
        count = f"{len(pairs)} of its {len(data.subjects)} patches"
        why = f"{data.name} ({data.title}): {count} are among these {len(series.patches)}"
        return TakenFor(recounted(data, pairs, len(series.patches)), why)
    names = ", ".join(sorted(data.name for data in known))
    why = f"a foreign series, by patch-ids and subjects none of ours ({names}):"
    return TakenFor(foreign(series, asked.guest_tests), f"{why} no contract, and none of our cases")


def _patch_ids(data: SeriesData) -> dict[str, int]:
    """The patch-ids of all kernel lines: which patch it is, from 1."""
    found: dict[str, int] = {}
    for line in sorted({path.parent for path in data.folder.glob("*/*.patch")}):
        if line.name != FOLDER:
            paths = (p for p in sorted(line.glob("*.patch")) if not p.name.startswith(COVER))
            for number, path in enumerate(paths, 1):
                found[parse_patch(path.read_bytes(), str(path)).patch_id] = number
    return found


def match(series: Series, subjects: Sequence[str], ids: Mapping[str, int]) -> dict[int, int]:
    """Which of our patches is which of theirs, by number from 1; each once.

    Args:
        subjects: ours, in order.
        ids: our patch-ids, with the numbers of their patches.
    """
    pairs: dict[int, int] = {}
    for theirs, patch in enumerate(series.patches, 1):
        if ours := ids.get(patch.patch_id):
            pairs.setdefault(ours, theirs)
    plain = [subject.casefold() for subject in subjects]
    for theirs, patch in enumerate(series.patches, 1):
        open_ones = [s for n, s in enumerate(plain, 1) if n not in pairs]
        if theirs not in pairs.values():
            subject = patch.subject.casefold()
            if close := difflib.get_close_matches(subject, open_ones, 1, SAME_SUBJECT):
                pairs[plain.index(close[0]) + 1] = theirs
    return pairs


def recounted(data: SeriesData, pairs: Mapping[int, int], total: int) -> SeriesData:
    """``data`` with the clauses' patch numbers as they are in a revision of ``total`` patches.

    What was joined holds from the last patch that stands in its place. What was left out at
    the end never holds: no number of these patches promises it.
    """
    holds: dict[int, int] = {0: 0}
    for ours in range(1, len(data.subjects) + 1):
        later = [pairs[n] for n in sorted(pairs) if n > ours]
        before = max((pairs[n] for n in pairs if n < ours), default=0)
        if ours in pairs:
            at = pairs[ours]
        else:
            # Theirs between the neighbours that are known; else it came with the next one.
            gap = range(before + 1, later[0] if later else total + 1)
            at = gap[-1] if gap else later[0] if later else total + 1
        holds[ours] = max(at, holds[ours - 1])
    clauses = {
        name: replace(clause, holds_from=holds.get(clause.holds_from, clause.holds_from))
        for name, clause in data.clauses.items()
    }
    return replace(data, clauses=clauses)
