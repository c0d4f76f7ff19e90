# SPDX-License-Identifier: GPL-2.0-only
"""MUTANTS= of a revision: the score of each patch, and when it fails one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from rich.console import Console

from harness.commands.revision.command import revision
from harness.commands.revision.mutants import scores
from harness.core.jsondata import write_json
from harness.core.settings import Settings
from harness.mutants.mutant import Outcome
from harness.report.mutants import FILE, SCHEMA, MutantRecord, MutantsDocument
from harness.run.session import RunResult
from tests.commands.revision.test_command import document, look, runner, two_revisions
from tests.support.toy import Toy


def record(number: int, patch: int, outcome: Outcome | None) -> MutantRecord:
    made = {
        "number": number, "key": "k", "operator": "condition-negated", "path": "mm/swap.c",
        "line": number, "function": "grown", "patch": patch, "text": "a", "instead": "b",
        "outcome": outcome, "by": None, "case": None, "reason": "", "seconds": 1.0,
        "kept": False, "ran": [], "reached_by": [],
    }  # fmt: skip
    return cast(MutantRecord, made)


def told(*patches: Sequence[Outcome | None]) -> MutantsDocument:
    """``patches``: the outcomes of the mutants of each."""
    records = [
        record(10 * patch + at, patch, outcome)
        for patch, outcomes in enumerate(patches, 1)
        for at, outcome in enumerate(outcomes)
    ]
    return {
        "schema": SCHEMA, "found": 99, "outcomes": {}, "killed": 0, "judged": 0, "interval": [],
        "median_seconds": None, "seconds": 1.0, "unused_cases": {}, "outlived_arguments": [],
        "mutants": records,
    }  # fmt: skip


def judged(
    toy: Toy, tmp_path: Path, found: MutantsDocument | None, *, code: int = 1, score: int | None
) -> tuple[int, str, str, list[Settings]]:
    """Exit status, reply, page and what the run of mutants was asked for."""
    settings = replace(two_revisions(toy, tmp_path), previous=None, mutants=10, score=score)
    asked: list[Settings] = []

    def mutate(its: Settings) -> RunResult:
        asked.append(its)
        out = tmp_path / "mutants"
        out.mkdir()
        if found is not None:
            write_json(out / FILE, found)
        return RunResult(code, out, document("", code, error="there is no mutant"))

    documents = [document("pass", run="whole") for _ in range(3)]
    ended = revision(settings, runner(documents, []), look, mutate, Console(quiet=True))
    folder = settings.out / "revision-whole"
    page = (folder / "report.html").read_text()
    return ended, (folder / "reply.txt").read_text(), page, asked


NOTICED: list[Outcome] = ["killed"] * 10
LOST: list[Outcome] = ["survived"] * 8
WEAK = told(NOTICED, [*LOST, "not reached", "killed by the build"])


def test_survivors_are_told_and_fail_nothing_where_no_score_is_asked_for(
    toy: Toy, tmp_path: Path
) -> None:
    code, said, page, (asked,) = judged(toy, tmp_path, WEAK, score=None)
    assert code == 0
    assert (asked.sample, asked.each_patch, asked.patches) == (10, True, None)
    assert "  10 of 10 mutants noticed, 100% (95 % interval 72% to 100%)" in said
    assert "  1 of 10 mutants noticed, 10% (95 % interval 2% to 40%)" in said
    assert "not noticed: mm/swap.c:20 grown (condition-negated), " in said
    assert "All patches: 11 of 20 mutants noticed" in said
    assert "1 of 10 mutants noticed" in page and "mm/swap.c:28 grown" in page


@pytest.mark.parametrize(("score", "code"), [(40, 0), (41, 1), (80, 1)])
def test_a_patch_is_below_the_score_where_its_whole_interval_is(
    toy: Toy, tmp_path: Path, score: int, code: int
) -> None:
    ended, said, _, _ = judged(toy, tmp_path, WEAK, score=score)
    assert ended == code, said
    assert (f"fewer mutants are noticed than SCORE={score} asks for" in said) == bool(code)


def test_what_nothing_could_notice_does_not_count_and_what_was_lost_is_said() -> None:
    (one,) = scores(told(["equivalent", "argued", "invalid", "killed", "lost", None])).values()
    assert (one.killed, one.judged, one.lost) == (1, 1, 2)
    assert "; 2 could not be judged here" in str(one)
    (none,) = scores(told(["equivalent"])).values()
    assert not none.below(100) and str(none) == "no mutant that anything could notice"


@pytest.mark.parametrize(("code", "ended"), [(2, 0), (3, 3), (70, 70), (130, 130)])
def test_a_run_without_mutants_says_why_and_one_that_came_to_no_end_counts(
    toy: Toy, tmp_path: Path, code: int, ended: int
) -> None:
    found, said, page, _ = judged(toy, tmp_path, None, code=code, score=80)
    assert found == ended
    assert "No mutants: there is no mutant" in said and "none: there is no mutant" in page


def test_revision_json_has_the_scores(toy: Toy, tmp_path: Path) -> None:
    judged(toy, tmp_path, WEAK, score=80)
    found = json.loads((tmp_path / "out" / "revision-whole" / "revision.json").read_text())
    assert [s["mutants"] and s["mutants"]["killed"] for s in found["steps"]] == [None, 10, 1]
    assert (found["mutants"]["judged"], found["score"], found["exit_code"]) == (20, 80, 1)
