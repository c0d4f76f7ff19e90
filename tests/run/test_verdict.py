# SPDX-License-Identifier: GPL-2.0-only
"""The verdict of a run that came to its end, and of several of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.core import events as ev
from harness.core.errors import UNTESTED
from harness.report.results import Results
from harness.run.verdict import judge_run, worst, worst_of_states

PASSED = ev.CaseFinished(ev.CaseId.parse("a.c::b"), "pass", "", 0.1, ("V-IF-1",))
FAILED = ev.CaseFinished(ev.CaseId.parse("a.c::c"), "fail", "so", 0.1, ("V-IF-1",))
ENTERED = ev.ChangeCoverage(2, 2, 9, 12, ("m.c:7 f",))
MISSED = ev.ChangeCoverage(1, 2, 9, 12, ("m.c:20 g",))


@pytest.mark.parametrize(
    ("events", "end"),
    [
        ([PASSED], ("pass", 0)),
        ([PASSED, ENTERED], ("pass", 0)),
        ([PASSED, MISSED], ("untested", UNTESTED)),
        ([PASSED, FAILED, MISSED], ("fail", 1)),
    ],
)
def test_a_pass_takes_that_each_changed_function_was_entered(
    events: list[ev.Event], end: tuple[str, int]
) -> None:
    results = Results(events)
    assert judge_run(results) == end
    assert bool(results.untested()) == (MISSED in events)


def known(kind: ev.FileKind, compiled: bool | None, said: str = "so") -> ev.ChangeKnown:
    return ev.ChangeKnown((ev.TouchedFile("a/file", kind, compiled, said),))


SKIPPED = ev.CaseFinished(ev.CaseId.parse("a.c::d"), "skip", "no", 0.1, ())
HOST = ev.CaseFinished(ev.CaseId("host", None, "looks"), "pass", "", 0.1, ())


@pytest.mark.parametrize(
    ("events", "why"),
    [
        ([known("code", True), PASSED], ""),
        ([known("code", True)], "no workload ran"),
        ([known("code", True), SKIPPED, HOST], "no workload ran"),
        ([known("code", False, "needs CONFIG_X"), PASSED], "a/file: needs CONFIG_X"),
        ([known("documentation", None)], ""),
        ([known("configuration", None)], ""),
        ([known("comments", None)], ""),
        ([known("selftest", None)], "no workload ran"),
        ([known("selftest", None), PASSED], ""),
        ([known("tool", None)], "no workload ran"),
        ([SKIPPED], ""),  # a run that looked at no change
    ],
)
def test_what_a_pass_takes(events: list[ev.Event], why: str) -> None:
    results = Results(events)
    assert why in "\n".join(results.untested()) and bool(results.untested()) == bool(why)
    assert judge_run(results) == (("untested", UNTESTED) if why else ("pass", 0))


def test_what_was_not_entered_is_named() -> None:
    first, *places = Results([MISSED]).untested()
    assert first.startswith("1 of 2 functions") and places == ["not reached: m.c:20 g"]


def test_where_no_workload_ran_the_functions_are_named_too() -> None:
    why, *places = Results([known("code", True), MISSED]).untested()
    assert why.startswith("no workload ran") and places == ["not reached: m.c:20 g"]


def test_what_did_not_run_in_a_part_of_the_cases_proves_nothing() -> None:
    assert judge_run(Results([PASSED, replace(MISSED, whole=False)])) == ("pass", 0)


@pytest.mark.parametrize(("least", "code"), [(None, 0), (75, 0), (76, UNTESTED)])
def test_a_share_of_the_lines_can_be_asked_for(least: int | None, code: int) -> None:
    results = Results([PASSED, replace(ENTERED, least=least, lines_not_run=("m.c:8: x;",))])
    assert judge_run(results)[1] == code
    if code:
        asked = "75.0 % of the changed lines have run, and COVER=76 asks for more:"
        assert results.untested() == [asked, "not run: m.c:8: x;"]


def test_several_runs() -> None:
    assert worst([0, UNTESTED, 0]) == UNTESTED
    assert worst([0, UNTESTED, 1]) == 1
    assert worst([1, 3, UNTESTED]) == 3
    assert worst([]) == 0
    # What the first patch adds, the second one uses.
    assert worst_of_states([0, UNTESTED, 0]) == 0
    assert worst_of_states([0, 0, UNTESTED]) == UNTESTED
    assert worst_of_states([0, 1, UNTESTED]) == 1
