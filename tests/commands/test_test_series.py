# SPDX-License-Identifier: GPL-2.0-only
"""Every state of a series is run, and one table tells of all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from harness.commands import test_series
from harness.core.errors import InvocationError
from harness.core.settings import Settings
from harness.run.session import RunKernel, RunResult
from harness.run.states import BASE, SeriesState
from harness.run.verdict import worst
from tests.support.toy import Toy, grow


def document(code: int, **more: Any) -> Any:
    whole = {
        "exit_code": code,
        "run": "r",
        "splats": [],
        "stages": [{"name": "build"}, {"name": "boot"}],
        "tests": [{"status": "pass"}, {"status": "pass"}, {"status": "not_applicable"}],
    }
    return {**whole, **more}


@pytest.fixture
def settings(toy: Toy) -> Settings:
    steps = ("first patch", {"mm/swap.c": grow}), ("second patch", {"mm/madvise.c": grow})
    return toy.settings(series=str(toy.series(*steps)), out=toy.root / "out")


def runner(documents: list[Any], seen: list[int | None]) -> RunKernel:
    def run(settings: Settings) -> RunResult:
        found = documents[len(seen)]
        seen.append(settings.patches)
        return RunResult(found["exit_code"], settings.out, found)

    return run


@pytest.mark.parametrize(
    ("codes", "status", "ran"),
    [
        ([0, 0, 0], 0, [0, 1, 2]),
        ([0, 1, 0], 1, [0, 1, 2]),
        ([0, 3, 0], 3, [0, 1]),
        ([1, 2, 0], 2, [0, 1]),
        ([0, 130, 0], 130, [0, 1]),
    ],
)
def test_each_state_is_run_until_nothing_can_be_said(
    settings: Settings, codes: list[int], status: int, ran: list[int]
) -> None:
    seen: list[int | None] = []
    console = Console(width=160, record=True)
    assert (
        test_series.test_series(settings, runner([document(code) for code in codes], seen), console)
        == status
    )
    assert seen == ran
    said = console.export_text()
    assert "2 pass, 1 not applicable" in said
    assert BASE in said and "first patch" in said
    if len(ran) == 3:
        assert "2 of 2 patches: second patch" in said


def test_after_a_patch_that_does_not_apply_no_other_is_tried(settings: Settings) -> None:
    seen: list[int | None] = []
    stuck = document(1, stages=[{"name": "series", "failed": "series"}], tests=[])
    assert (
        test_series.test_series(settings, runner([document(0), stuck], seen), Console(quiet=True))
        == 1
    )
    assert seen == [0, 1]


def test_patches_makes_no_sense_here(settings: Settings) -> None:
    with pytest.raises(InvocationError, match="test-series runs every number of patches"):
        test_series.test_series(replace(settings, patches=1), runner([], []), Console())


def test_a_state_that_does_not_build_says_where_it_failed() -> None:
    stages = [{"name": "config"}, {"name": "build", "failed": "series"}]
    state = SeriesState(1, "x", document(1, stages=stages, tests=[]))
    assert (state.build, state.ended("boot"), state.tests) == ("build failed", "", "none ran")
    state = SeriesState(1, "x", document(1, stages=[{"name": "series", "failed": "series"}]))
    assert not state.applies


def test_no_state_is_no_failure() -> None:
    assert worst([]) == 0
