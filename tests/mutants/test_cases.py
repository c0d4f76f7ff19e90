# SPDX-License-Identifier: GPL-2.0-only
"""What a run of a case has noticed of a mutant, and what makes a case a judge."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.core import events as ev
from harness.mutants.cases import Judges
from harness.mutants.reach import ControlRun, ReachRecord, _control
from harness.mutants.verdict import KeptVerdicts, MutantVerdict
from harness.workloads.judge import MARK
from harness.workloads.regression_selftests import Selftest

CASE = ev.CaseId("guest", "toy/a.c", "one")
WORK = ev.CaseId("guest", "mm", "ksm")
TEST = Selftest("ksm", ("ksm",))
JUDGES = Judges({}, {str(WORK): TEST}, {})


def record(
    status: ev.Status, reason: str = "", said: Sequence[str] = (), case: ev.CaseId = CASE
) -> ev.CaseFinished:
    lines = tuple(f"{MARK}{line}" for line in said)
    return ev.CaseFinished(case, status, reason, 1.5, (), lines)


def splat(**more: object) -> ev.SplatSeen:
    return ev.SplatSeen("BUG: x", "bug", CASE, "text", **more)  # type: ignore[arg-type]


LOST = ev.GuestLost("the guest died (BUG: x)", CASE, None)


@pytest.mark.parametrize(
    ("status", "said", "noticed"),
    [
        ("pass", [], None),
        ("skip", [], None),
        ("fail", [], ("check", "why")),
        ("error", [], ("check", "why")),
        ("timeout", [], ("time limit", "why")),
        ("fail", [splat()], ("complaint", "BUG: x")),
        ("pass", [splat(expected=True), splat(foreign="another's")], None),
        ("error", [splat(), LOST], ("lost guest", "the guest died (BUG: x)")),
    ],
)
def test_what_a_case_notices(
    status: ev.Status, said: list[ev.Event], noticed: tuple[str, str] | None
) -> None:
    assert JUDGES.noticed(record(status, "why"), said, ()) == noticed


TAP = ["1..2", "ok 1 a", "ok 2 b"]
BAD = ["1..2", "ok 1 a", "not ok 2 b"]


def test_of_a_workload_a_result_counts_that_does_not_fail_without_the_mutant() -> None:
    good, bad = record("pass", said=TAP, case=WORK), record("fail", "exit status 1", BAD, WORK)
    assert JUDGES.noticed(good, [], ()) is None
    assert JUDGES.noticed(bad, [], ()) == ("check", "2 b fails: exit status 1")
    known = _control(bad, [], TEST, frozenset({3}))
    assert known.unused is None and known.reached == (3,)
    assert JUDGES.noticed(bad, [], known.failing) is None
    assert JUDGES.noticed(record("error", "", [], WORK), [LOST], known.failing)


def test_a_case_judges_where_it_passes_without_a_mutant() -> None:
    assert _control(record("pass"), [], None, frozenset({2, 1})) == ControlRun(
        1.5, None, (), (1, 2)
    )
    assert _control(record("skip", "no swap"), [], None, frozenset()).unused == "skip: no swap"
    assert _control(
        record("fail", "no", ["1..1", "not ok 1 a"], WORK), [], TEST, frozenset()
    ).unused
    assert _control(record("error", "x", TAP, WORK), [LOST], TEST, frozenset()).unused == "error: x"


def test_the_quickest_case_that_reaches_it_goes_first() -> None:
    reach = ReachRecord({
        "slow": ControlRun(9.0, None, (), (1, 2)),
        "quick": ControlRun(0.1, None, (), (1,)),
        "broken": ControlRun(0.0, "fail: x", (), (1,)),
    })  # fmt: skip
    assert [reach.of(n) for n in (1, 2, 3)] == [["quick", "slow"], ["slow"], []]
    assert reach.unused == {"broken": "fail: x"}


KILL = MutantVerdict("killed", "why", "check", "b", 2.0, {"a": "1", "b": "1"})
SURVIVAL = MutantVerdict("survived", seconds=2.0, ran={"a": "1", "b": "1"})


@pytest.mark.parametrize(
    ("verdict", "cases", "holds"),
    [
        (KILL, {"a": "1", "b": "1"}, True),
        (KILL, {"a": "2", "b": "1", "c": "1"}, True),  # it fails in b all the same
        (KILL, {"a": "1", "b": "2"}, False),
        (KILL, {"a": "1"}, False),
        (SURVIVAL, {"a": "1", "b": "1"}, True),
        (SURVIVAL, {"a": "1"}, True),
        (SURVIVAL, {"a": "1", "b": "2"}, False),
        (SURVIVAL, {"a": "1", "b": "1", "c": "1"}, False),  # a new case may notice it
        (MutantVerdict("lost", "no memory"), {"a": "1"}, False),
    ],
)
def test_how_long_a_verdict_holds(
    verdict: MutantVerdict, cases: dict[str, str], holds: bool, tmp_path: Path
) -> None:
    kept = KeptVerdicts(tmp_path)
    kept.keep("code", verdict)
    found = kept.find("code", cases)
    assert (found is not None) == holds
    assert kept.find("other", cases) is None
    if found is not None:
        assert found.kept and (found.outcome, found.reason) == (verdict.outcome, verdict.reason)


def test_a_survival_of_cases_that_are_enough_holds_though_others_reach_the_line(
    tmp_path: Path,
) -> None:
    kept, cases = KeptVerdicts(tmp_path), {"a": "1", "b": "1", "c": "1"}
    kept.keep("code", SURVIVAL)
    assert kept.find("code", cases) is None
    assert kept.find("code", cases, lambda names: len(names) >= 2) is not None
    # One of the two is another case now.
    assert kept.find("code", {**cases, "b": "2"}, lambda names: len(names) >= 2) is None


def test_a_verdict_of_another_version_is_none(tmp_path: Path) -> None:
    (tmp_path / "verdict-code.json").write_text('{"old": 1}')
    assert KeptVerdicts(tmp_path).find("code", {}) is None
