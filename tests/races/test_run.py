# SPDX-License-Identifier: GPL-2.0-only
"""A scenario whose outcome is a splat: each run is a run of the program, and costs a guest."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from harness.core import events as ev
from harness.races.run import run_batch
from harness.vm.guest import CaseRun
from harness.vm.splats import Splat
from tests.races.test_batch_run import OK, done, quick, splatting

SPLAT = Splat("KASAN: slab-use-after-free in f", "kasan", "text", 1, 0, 0)
HIT = done("", None, "the guest died", (SPLAT,))
MISS = done(OK.format(lines="# run 1: not: nothing\n"))


def on_kernel(ends: list[CaseRun], seen: list[ev.Event]) -> Any:
    """Guests of which each ends as the next of ``ends`` says."""
    programs = SimpleNamespace(argv=lambda scenario, *words: ["program", *map(str, words)])
    session = SimpleNamespace(events=ev.Events([seen.append]))
    return SimpleNamespace(
        context=SimpleNamespace(programs=programs, session=session),
        guests=SimpleNamespace(folder=SimpleNamespace(name="variant")),
        guest=lambda: quick(ends.pop(0)),
    )


def test_runs_are_counted_over_their_guests() -> None:
    seen: list[ev.Event] = []
    batch = run_batch(on_kernel([HIT, MISS, HIT], seen), splatting(), (), 3)
    assert [(run.number, run.ending) for run in batch.runs] == [(1, "hit"), (2, "miss"), (3, "hit")]
    assert batch.runs[1].remark == "nothing" and batch.splats == [SPLAT, SPLAT]
    assert [e.done for e in seen if isinstance(e, ev.StageProgress)] == [1, 2, 3]


def test_a_program_that_fails_ends_them() -> None:
    lost = done("", None, "the guest hangs")
    batch = run_batch(on_kernel([HIT, lost, HIT], []), splatting(), (), 3)
    assert [run.ending for run in batch.runs] == ["hit"]
    assert batch.error is not None and "the guest hangs" in batch.error.what
