# SPDX-License-Identifier: GPL-2.0-only
"""Which failures a run has, and which of them ID= names."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core import events as ev
from harness.core.errors import InvocationError
from harness.findings.failures import choose_failure, failures
from harness.report.records import RunDocument
from harness.report.results import Results, document
from harness.run.session import RunResult

CASE = ev.CaseId.parse("volatile/a.c::it")
RACE = ev.CaseId.parse("races::one")


def ran(*events: ev.Event) -> RunDocument:
    results = Results()
    for event in events:
        results(event)
    return document(results, None)


def broken(case: ev.CaseId, reason: str) -> ev.CaseFinished:
    return ev.CaseFinished(case, "fail", reason, 0.1, ("V-IF-1",))


def test_a_failure_has_its_rate_of_that_run() -> None:
    splat = ev.SplatSeen("WARNING in f", "warning", CASE, "text")
    case, race, kernel = failures(
        ran(
            broken(CASE, "a.c:1: no"),
            ev.CaseRepeated(CASE, passed=3, runs=4),
            ev.CaseFinished(ev.CaseId.parse("volatile/a.c::other"), "pass", "", 0.1, ()),
            broken(RACE, "the race strikes on the series: 3 of 20 runs"),
            splat,
            splat,
        )
    )
    assert (case.seen, case.runs, case.title) == (2, 5, "volatile/a.c::it: a.c:1: no")
    assert (race.seen, race.runs) == (3, 20)
    assert (kernel.title, kernel.splat) == ("WARNING in f", "WARNING in f")
    assert kernel.test is not None and kernel.test["id"] == str(CASE)


def run_of(name: str, *events: ev.Event) -> RunResult:
    return RunResult(1, Path(name), ran(*events))


def test_the_latest_run_that_has_it_is_taken() -> None:
    runs = [run_of("1", broken(CASE, "no")), run_of("2", broken(CASE, "no")), run_of("3")]
    wanted = failures(runs[0].document)[0].id
    run, failure = choose_failure(runs, wanted[:5])
    assert (run.out.name, failure.id) == ("2", wanted)


def test_without_an_id_the_failures_are_listed() -> None:
    runs = [run_of("1", broken(CASE, "no"), broken(RACE, "yes"))]
    with pytest.raises(InvocationError, match=r"volatile/a\.c::it: no\n.*races::one: yes") as error:
        choose_failure(runs, None)
    assert error.value.next_step == f"make finding ID={failures(runs[0].document)[0].id}"


def test_an_id_that_no_run_has_is_said() -> None:
    with pytest.raises(InvocationError, match="no run has a failure with the id 00ff"):
        choose_failure([run_of("1", broken(CASE, "no"))], "00ff")
