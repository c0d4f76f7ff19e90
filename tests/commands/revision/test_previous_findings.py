# SPDX-License-Identifier: GPL-2.0-only
"""What has become of the previous revision's failures: with rates, and no luck taken for a fix."""

from __future__ import annotations

import pytest

from harness.commands.revision.previous_findings import fates, to_try
from harness.core import events as ev
from harness.report.records import RunDocument
from harness.report.results import Results, document

CASE = ev.CaseId.parse("volatile/a.c::it")


def ran(status: ev.Status, reason: str = "", repeats: tuple[int, int] | None = None) -> RunDocument:
    """A run of one case; ``repeats``: passes, runs."""
    results = Results()
    results(ev.CaseFinished(CASE, status, reason, 0.1, ("V-IF-1",)))
    if repeats is not None:
        results(ev.CaseRepeated(CASE, *repeats))
    return document(results, None)


ALWAYS = ran("fail", "a.c:1: no", (0, 5))
SOMETIMES = ran("fail", "a.c:1: no", (5, 5))


@pytest.mark.parametrize(
    ("before", "now", "fate", "seen"),
    [
        (ALWAYS, [ran("pass"), ran("pass", repeats=(19, 19))], "fixed", (6, 6, 0, 21)),
        (ALWAYS, [ran("pass")], "no evidence", (6, 6, 0, 1)),
        (SOMETIMES, [ran("pass"), ran("pass", repeats=(19, 19))], "no evidence", (1, 6, 0, 21)),
        (ALWAYS, [ran("fail", "a.c:9: no", (2, 5))], "still there", (6, 6, 4, 6)),
        (ALWAYS, [ran("fail", "a.c:9: other")], "unrelated change", (6, 6, 0, 0)),
        (ALWAYS, [ran("not_applicable", "no")], "unrelated change", (6, 6, 0, 0)),
    ],
)
def test_a_failure_is_fixed_still_there_or_something_else(
    before: RunDocument, now: list[RunDocument], fate: str, seen: tuple[int, int, int, int]
) -> None:
    (one,) = fates(before, now)
    assert one.fate == fate
    assert (one.seen_there, one.runs_there, one.seen_here, one.runs_here) == seen


def test_a_revision_without_failures_has_none() -> None:
    assert fates(ran("pass"), [ran("fail", "new")]) == ()


def test_only_what_passes_now_is_tried_again() -> None:
    assert to_try(ALWAYS, ran("pass")) == (str(CASE),)
    assert to_try(ALWAYS, ran("fail", "a.c:1: no")) == ()
