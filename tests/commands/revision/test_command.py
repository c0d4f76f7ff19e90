# SPDX-License-Identifier: GPL-2.0-only
"""A revision is judged patch by patch; the base excuses what it breaks itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.commands.revision import verdict
from harness.commands.revision.command import revision
from harness.commands.revision.inputs import Inputs, read_inputs
from harness.commands.revision.reply import MAX_LINES, reply
from harness.commands.revision.verdict import Blame, Revision, RevisionRuns, Step, exit_status
from harness.core.errors import InvocationError
from harness.core.settings import Settings
from harness.run.session import RunKernel, RunResult
from harness.series.patches import Patch
from tests.support.toy import Toy, grow

SUBJECTS = ("one", "two", "three", "four")


INPUTS = Inputs("b", "w", "", "s", "", tuple(Patch(s, b"", s, ()) for s in SUBJECTS), "")


def judge(documents: list[Any]) -> tuple[Step, ...]:
    return verdict.judge(RevisionRuns(tuple(documents), None, {}), INPUTS)


def document(clause: str, code: int = 0, *bad: str, error: str = "", run: str = "r") -> Any:
    return {
        "exit_code": code,
        "run": run,
        "error": [error] if error else [],
        "untested": [],
        "splats": [],
        "coverage": None,
        "stages": [{"name": "build"}, {"name": "boot"}],
        "tests": [
            {"id": name, "status": "fail", "reason": "", "about": "", "diagnostics": []}
            for name in bad
        ],
        "clauses": {"A-1": {"verdict": clause}},
        "repeats": [],
        "pace": {"seconds": 0.0, "reference": 0.0},
    }


def test_broken_by_patch_three_and_repaired_by_patch_four() -> None:
    runs = [document("not_applicable"), document("not_applicable"), document("pass")]
    steps = judge([*runs, document("fail", 1, "t::a"), document("pass")])
    assert [c.kind for c in steps[3].changes] == ["broken"]
    assert [c.kind for c in steps[4].changes] == ["fixed"]
    assert steps[3].blame.ours == ("t::a",)
    assert exit_status(steps) == 1


def test_what_the_base_breaks_is_no_fault_of_the_series() -> None:
    steps = judge([document("fail", 1, "t::a"), document("fail", 1, "t::a")])
    assert steps[1].blame.before == ("t::a",)
    assert exit_status(steps) == 0
    steps = judge([document("fail", 1, "t::a"), document("fail", 1, "t::a", "t::b")])
    assert exit_status(steps) == 1


def test_a_patch_that_does_not_build_is_excused_by_nothing() -> None:
    steps = judge([document("fail", 1, "t::a"), document("", 1, error="no")])
    assert exit_status(steps) == 1


@pytest.mark.parametrize("code", [2, 3, 70, 130])
def test_the_machine_is_named_before_the_series(code: int) -> None:
    steps = judge([document("pass"), document("fail", 1, "t::a")])
    assert exit_status(steps, code) == code
    assert exit_status(judge([document("", code, error="no")])) == code


def runner(documents: list[Any], seen: list[tuple[str, int | None]]) -> RunKernel:
    def run(settings: Settings) -> RunResult:
        found = documents[len(seen)]
        seen.append((Path(settings.series or "").name, settings.patches))
        return RunResult(found["exit_code"], settings.out, found)

    return run


def look(settings: Settings) -> RunResult:
    """The static checkers of a machine that has none."""
    return RunResult(3, settings.out, document("", 3))


def two_revisions(toy: Toy, tmp_path: Path) -> Settings:
    steps = (("one", {"mm/swap.c": grow}), ("two", {"mm/madvise.c": grow}))
    before = toy.series(*steps, name="v1")
    again = toy.series(
        steps[0], ("two", {"mm/madvise.c": lambda text: grow(text).replace("7", "8")}), name="v2"
    )
    return toy.settings(series=str(again), previous=str(before), out=tmp_path / "out")


def test_a_revision_from_end_to_end(toy: Toy, tmp_path: Path) -> None:
    settings = two_revisions(toy, tmp_path)
    documents = [
        document("not_applicable"),
        document("fail", 1, "t::a"),
        document("pass", run="whole"),
        document("fail", 1, "t::a"),
    ]
    seen: list[tuple[str, int | None]] = []
    console = Console(width=160, record=True)
    assert revision(settings, runner(documents, seen), look, look, console) == 1
    assert seen == [("v2", 0), ("v2", 1), ("v2", 2), ("v1", None)]
    folder = settings.out / "revision-whole"
    assert (settings.out / "latest").resolve() == folder
    found = json.loads((folder / "revision.json").read_text())
    assert [(c["clause"], c["kind"]) for c in found["previous"]] == [("A-1", "fixed")]
    said = (folder / "reply.txt").read_text()
    assert "patch 1: broken  one\n  broken: t::a\n" in said
    assert "patch 2: ok  two\n  repairs: A-1\n" in said
    assert "  fixed: A-1\n" in said
    page = (folder / "report.html").read_text()
    assert 'repairs <span class="id">A-1</span>' in page
    assert '<h1 class="fail">the series is at fault: something is broken after patch 1, ' in page
    assert "and repaired by patch 2</h1>" in page
    assert '<td class="fixed">fixed</td>' in page
    assert "<script" not in page
    assert "http" not in page
    heads = [line.split() for line in said.splitlines() if line.lstrip()[:2] in ("1:", "2:")]
    assert [(head[2], head[-1]) for head in heads] == [("=", "one"), ("!", "two")]
    assert "@@" not in said


def test_ktap_does_not_blame_a_patch_for_what_the_base_breaks(
    toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = replace(two_revisions(toy, tmp_path), previous="", ktap=True)
    bad = document("fail", 1, "t::a")
    documents = [bad, bad, document("fail", 1, "t::a", "t::b")]
    assert revision(settings, runner(documents, []), look, look, Console(quiet=True)) == 1
    told = [line for line in capsys.readouterr().out.splitlines() if line[:1] in "on"]
    assert told == ["ok 1 0 the bare base", "ok 2 1 one", "not ok 3 2 two"]


def test_what_could_not_be_run_is_not_compared(toy: Toy, tmp_path: Path) -> None:
    settings = two_revisions(toy, tmp_path)
    documents = [document("not_applicable"), document("", 3, error="the disk is full")]
    seen: list[tuple[str, int | None]] = []
    assert revision(settings, runner(documents, seen), look, look, Console(record=True)) == 3
    assert len(seen) == 2
    said = (settings.out / "revision-r" / "reply.txt").read_text()
    assert "no verdict" in said
    assert "not compared" in said


def test_a_previous_revision_that_is_none_is_said_before_anything_runs(toy: Toy) -> None:
    folder = toy.series(("one", {"mm/swap.c": grow}))
    settings = toy.settings(series=str(folder), previous="/nowhere/at-all")
    with pytest.raises(InvocationError, match="nowhere"):
        read_inputs(settings)
    with pytest.raises(InvocationError, match="every number of patches"):
        read_inputs(replace(settings, patches=1))


def test_a_reply_is_never_longer_than_sixty_lines() -> None:
    step = Step(1, "s", "", "", 1, "r", ("no",), Blame(tuple("abcdef"), ("z",)), ())
    steps = (replace(step, error=()), *[step] * 50)
    whole = Revision("b", "w", "s", "", "", steps, False, (), "", 1)
    lines = reply(whole).splitlines()
    assert len(lines) == MAX_LINES
    assert "more lines: see revision.json" in lines[-1]
    assert "  broken: a, b, c, d and 2 more" in lines


def test_a_reply_says_how_much_of_the_change_has_run() -> None:
    step = Step(1, "s", "", "", 0, "r", (), Blame((), ()), ())
    ran = replace(step, change="9 of 12 lines run, 2 of 2 functions")
    text = reply(Revision("b", "w", "s", "", "", (step, ran), False, (), "", 0))
    assert text.count("change so far: 9 of 12 lines run, 2 of 2 functions") == 1
