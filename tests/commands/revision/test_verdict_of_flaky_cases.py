# SPDX-License-Identifier: GPL-2.0-only
"""A case that gives both verdicts is measured on two kernels before anybody is blamed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.cases.repeats import MAX_BROKEN_CASES, repeat_broken
from harness.commands.revision.command import revision
from harness.commands.revision.reply import statement
from harness.commands.revision.verdict import FLAKY_RUNS, RevisionRuns, flaky_cases
from harness.core import events as ev
from harness.core.settings import Settings
from harness.report.results import Results
from harness.run.session import RunKernel, RunResult
from harness.series.contract import SeriesData
from tests.cases.test_runner import FakeGuest, case, run, runner_of, said
from tests.support.recorder import Recorder
from tests.support.toy import Toy, grow

CASE = "t/p.c::a"
Again = dict[int | None, Any]


def test_a_broken_case_is_run_again_and_its_record_stays(
    events: ev.Events, recorder: Recorder, data: SeriesData
) -> None:
    results = Results()
    events.consumers.append(results)
    bad = run(said("not ok 1 one", "first"), exit_code=1)
    guest = FakeGuest([bad, run(), run(said("not ok 1 one", "second"), exit_code=1), run()])
    runner = runner_of(data, guest)
    runner.run(case(), events.emit)
    repeat_broken([case()], results, runner, 3, events)
    assert [(r.passed, r.runs) for r in results.all(ev.CaseRepeated)] == [(2, 3)]
    (record,) = results.all(ev.CaseFinished)
    assert (record.status, record.reason) == ("fail", "first")
    assert not results.complaints()


def test_with_many_broken_cases_none_is_run_again(events: ev.Events, data: SeriesData) -> None:
    results = Results()
    names = [f"c{n}" for n in range(MAX_BROKEN_CASES + 1)]
    for name in names:
        results(
            ev.CaseFinished(ev.CaseId.parse(f"volatile/p.c::{name}"), "fail", "x", 1.0, ("V-IF-2",))
        )
    guest = FakeGuest([])
    cases = [case(name) for name in names]
    repeat_broken(cases, results, runner_of(data, guest), 3, events)
    assert guest.asked == [] and not results.all(ev.CaseRepeated)


def document(status: str = "pass", repeats: tuple[int, int] | None = None, **more: Any) -> Any:
    said = {"reason": "so", "about": "A claim.", "diagnostics": ["p.c:7: no"]}
    again = [{"id": CASE, "passed": repeats[0], "runs": repeats[1]}] if repeats else []
    return {
        "exit_code": 1 if status == "fail" else 0,
        "run": "r",
        "error": [],
        "untested": [],
        "coverage": None,
        "splats": [],
        "stages": [{"name": "build"}, {"name": "boot"}],
        "tests": [{"id": CASE, "status": status, "seconds": 1.0, **said}],
        "clauses": {},
        "repeats": again,
        "pace": ev.PaceMeasured(0.0, 0.0, 1.0),
        **more,
    }


def test_only_what_passes_sometimes_is_flaky() -> None:
    assert flaky_cases(document("fail", (0, 5))) == ()
    assert flaky_cases(document("fail", (2, 5))) == (CASE,)


def test_the_run_that_found_it_does_not_count() -> None:
    again: Again = {1: document("pass", (9, 19)), 0: document("fail", (11, 19))}
    found = RevisionRuns([document(), document("fail", (2, 5))], None, again).flaky(CASE, 1)
    assert (found.passes_here, found.runs_here) == (2 + 10, 5 + 20)
    assert (found.passes_there, found.runs_there) == (1 + 11, 1 + 20)
    assert found.verdict == "no evidence of a difference" and found.excused
    said_so = "12 of 25, 12 of 21 on the base: no evidence of a difference (Fisher's exact test, "
    assert said_so in statement(found)


def test_a_rate_that_fell_is_the_patchs_fault() -> None:
    again: Again = {1: document("fail", (5, 19)), 0: document("pass", (19, 19))}
    found = RevisionRuns([document(), document("fail", (2, 5))], None, again).flaky(CASE, 1)
    assert found.verdict == "worse" and not found.excused and found.p < 0.01


def test_where_the_base_cannot_run_it_the_previous_revision_is_the_baseline() -> None:
    steps = [document("not_applicable"), document("fail", (8, 15))]
    again: Again = {None: document("pass", (10, 19))}
    found = RevisionRuns(steps, document(), again).flaky(CASE, 1)
    assert (found.against, found.runs_there) == ("the previous revision", 21)
    lone = RevisionRuns(steps).flaky(CASE, 1)
    assert lone.verdict == "no yardstick" and not lone.excused


def test_without_repetition_elsewhere_too_few_runs_excuse_nothing() -> None:
    found = RevisionRuns([document(), document("fail", (2, 5))]).flaky(CASE, 1)
    assert found.verdict == "too few runs" and not found.excused


@pytest.mark.parametrize(("here", "code"), [((9, 19), 0), ((1, 19), 1)])
def test_a_revision_with_a_flaky_case(
    toy: Toy, tmp_path: Path, here: tuple[int, int], code: int
) -> None:
    series = toy.series(("one", {"mm/swap.c": grow}))
    settings = toy.settings(series=str(series), out=tmp_path / "out")
    documents = [
        document("pass", run="base"),
        document("fail", (1, 5), run="one"),
        document("fail", here),  # the patch, again
        document("pass", (10, 19)),  # the base, again
    ]
    seen: list[Settings] = []
    assert revision(settings, runner(documents, seen), look, look, Console(quiet=True)) == code
    assert [s.patches for s in seen] == [0, 1, 1, 0]
    assert [(s.repeat, s.every) for s in seen[:2]] == [(5, False)] * 2
    assert all(s.only == (CASE,) and s.repeat == FLAKY_RUNS - 1 and s.every for s in seen[2:])
    folder = settings.out / "revision-one"
    (step,) = json.loads((folder / "revision.json").read_text())["steps"][1:]
    assert step["blame"]["flaky"] == ([CASE] if code == 0 else [])
    assert step["blame"]["ours"] == ([] if code == 0 else [CASE])
    assert "flaky: t/p.c::a passed" in (folder / "reply.txt").read_text()


def look(settings: Settings) -> RunResult:
    """The static checkers of a machine that has none."""
    return RunResult(3, settings.out, document())


def runner(documents: list[Any], seen: list[Settings]) -> RunKernel:
    def run(settings: Settings) -> RunResult:
        found = documents[len(seen)]
        seen.append(replace(settings))
        return RunResult(found["exit_code"], settings.out, found)

    return run
