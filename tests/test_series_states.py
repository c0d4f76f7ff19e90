# SPDX-License-Identifier: GPL-2.0-only
"""Every state of a series is run, and one table tells of all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.errors import InvocationError
from harness.series_states import every_state, exit_status, state_of, subjects
from harness.settings import Settings, from_environment
from tests.ours import leave
from tests.toy import Toy, grow

NAMES = ("first patch", "second patch")


def document(code: int, **more: Any) -> dict[str, Any]:
    whole = {
        "exit_code": code,
        "run": "r",
        "splats": [],
        "stages": [{"name": "build"}, {"name": "boot"}],
        "tests": [{"status": "pass"}, {"status": "pass"}, {"status": "not_applicable"}],
    }
    return {**whole, **more}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return from_environment({"HARNESS_CACHE": str(tmp_path / "c"), "OUT": str(tmp_path / "out")})


def runner(codes: list[int], seen: list[int | None]) -> Callable[[Settings], int]:
    def run(settings: Settings) -> int:
        code = codes[len(seen)]
        seen.append(settings.patches)
        leave(settings.out, document(code))
        return code

    return run


@pytest.mark.parametrize(
    ("codes", "status", "ran"),
    [
        ([0, 0, 0], 0, [0, 1, 2]),
        ([0, 1, 0], 1, [0, 1, 2]),
        ([0, 3, 0], 3, [0, 1]),
        ([1, 2, 0], 2, [0, 1]),
    ],
)
def test_each_state_is_run_until_nothing_can_be_said(
    settings: Settings, codes: list[int], status: int, ran: list[int]
) -> None:
    seen: list[int | None] = []
    console = Console(width=160, record=True)
    assert every_state(settings, runner(codes, seen), NAMES, console) == status
    assert seen == ran
    said = console.export_text()
    assert "2 pass, 1 not applicable" in said
    assert "the bare base" in said


def test_patches_makes_no_sense_here(settings: Settings) -> None:
    from dataclasses import replace

    with pytest.raises(InvocationError, match="every number of patches"):
        every_state(replace(settings, patches=1), runner([], []), NAMES, Console())


def test_a_state_that_does_not_build_says_where_it_failed() -> None:
    stages = [{"name": "config"}, {"name": "build", "failed": "series"}]
    state = state_of(1, "x", document(1, stages=stages, tests=[]))
    assert (state.build, state.boot, state.tests) == ("build failed", "", "none ran")
    state = state_of(1, "x", document(1, stages=[{"name": "series", "failed": "series"}]))
    assert state.build == "series failed"


def test_no_state_is_no_failure() -> None:
    assert exit_status([]) == 0


def test_the_subjects_are_those_of_the_series(toy: Toy) -> None:
    folder = toy.series(("one", {"mm/swap.c": grow}), ("two", {"mm/madvise.c": grow}))
    assert subjects(toy.settings(series=str(folder))) == ("one", "two")
