# SPDX-License-Identifier: GPL-2.0-only
"""Batches of runs: the program's command beside the driver, and what is kept of both."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.debugger.gdb_remote import Remote
from harness.races import batch
from harness.races.batch import Batch, StressTotals, controlled, sequential, stress
from harness.races.breakpoints import Breakpoint
from harness.races.driver import InterleavingDriver
from harness.races.scenario import Scenario, parse
from harness.vm.guest import CaseRun
from harness.vm.splats import Splat
from tests.debugger.fake_stub import Cpu, PlayedStub
from tests.races.fake_machine import (
    PROGRAM,
    Machine,
    address,
    begin,
    end,
    outcome,
    scenario,
    symbols,
)
from tests.races.test_scenario import BODY, written
from tests.support.limits import NEVER_S

IN_ORDER = ["A: fault()", "B: ends"]
OK = "KTAP version 1\n1..1\n{lines}ok 1 race\n"


class FakeGuest:
    """A guest whose program ends when it is told to, or when QEMU is killed."""

    def __init__(self, ends: Callable[[], CaseRun]) -> None:
        self.pace = 1.0
        self.finished = threading.Event()
        self.killed = False
        self.qemu = SimpleNamespace(kill=self._kill)
        self.asked: list[list[str]] = []
        self._ends = ends

    def _kill(self) -> None:
        self.killed = True
        self.finished.set()

    def run_case(self, case: str, argv: list[str], timeout: float) -> CaseRun:
        self.asked.append(argv)
        self.finished.wait()
        return self._ends()


def done(stdout: str, code: int | None = 0, lost: str = "", splats: tuple[Splat, ...] = ()) -> Any:
    return CaseRun(code, stdout, "", 1.0, False, lost, None, splats)


def on_kernel(guest: FakeGuest, stub: Path) -> Any:
    programs = SimpleNamespace(argv=lambda *_: ["x"], symbols=lambda name: PROGRAM)
    context = SimpleNamespace(programs=programs)
    return SimpleNamespace(guest=lambda: guest, stub=stub, symbols=symbols(), context=context)


def drive(
    monkeypatch: pytest.MonkeyPatch, guest: FakeGuest, cpus: list[Cpu], machine: Machine, runs: int
) -> Batch:
    stub = PlayedStub(cpus, machine.memory)
    stub.remote.attach(NEVER_S)
    monkeypatch.setattr(Remote, "connect", lambda path: stub.remote)
    monkeypatch.setattr(batch, "InterleavingDriver", partial(InterleavingDriver, clock=stub.clock))
    monkeypatch.setattr(stub.remote, "detach", guest.finished.set)
    breakpoints = [Breakpoint((address("fault"),)), Breakpoint((PROGRAM["race_end"],))]
    try:
        return controlled(on_kernel(guest, Path("stub")), scenario(IN_ORDER), breakpoints, runs)
    finally:
        stub.close()


def test_runs_are_counted_and_have_the_programs_remarks(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine()
    lines = "# run 1: hit: SIGBUS\n# run 2: not: read 7\n"
    guest = FakeGuest(lambda: done(OK.format(lines=lines)))
    cpus = [Cpu([outcome(0, 1)]), Cpu([]), Cpu([])]

    def second() -> dict[str, int]:
        cpus[0].path.append(outcome(1, 0))
        return begin(0)

    cpus[1].path = [begin(0), machine.kernel("fault", "caller"), end(0), second]
    cpus[1].path += [machine.kernel("fault", "caller"), end(0)]
    cpus[2].path = [begin(1), end(1), begin(1), end(1)]
    batch = drive(monkeypatch, guest, cpus, machine, 2)
    assert batch.error is None
    assert [(run.ending, run.remark) for run in batch.runs] == [
        ("hit", "SIGBUS"),
        ("miss", "read 7"),
    ]
    assert (batch.counts.hit, batch.counts.miss, batch.counts.runs) == (1, 1, 2)
    assert not guest.killed


def test_an_error_ends_the_guest_and_keeps_what_was_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine()
    splat = Splat("BUG: x", "oops", "text", 1, 0, 0)
    guest = FakeGuest(lambda: done("", None, "the guest died", (splat,)))
    cpus = [Cpu([outcome(0, 0)]), Cpu([begin(0), end(0)]), Cpu([begin(1), end(1)])]
    batch = drive(monkeypatch, guest, cpus, machine, 20)
    assert batch.error is not None and "thread A never reached 'fault()'" in batch.error.what
    assert batch.runs == [] and guest.killed
    assert batch.splats == [splat] and batch.error.steps


def test_a_program_that_failed_at_its_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine()
    said = "KTAP version 1\n1..1\n# run 1: hit\n# races/toy.c:9: no\nnot ok 1 race\n"
    guest = FakeGuest(lambda: done(said, 1))
    cpus = [
        Cpu([outcome(0, 1)]),
        Cpu([begin(0), machine.kernel("fault", "caller"), end(0)]),
        Cpu([begin(1), end(1)]),
    ]
    batch = drive(monkeypatch, guest, cpus, machine, 1)
    assert str(batch.error) == "the guest program failed: races/toy.c:9: no"


def test_a_stub_that_nobody_listens_at_is_an_error_and_no_crash(tmp_path: Path) -> None:
    """The program has not been started then, and cannot be waited for."""
    guest = quick(done(OK.format(lines="")))
    batch = controlled(on_kernel(guest, tmp_path / "nothing"), scenario(IN_ORDER), [], 1)
    assert batch.error is not None and "no stub at" in batch.error.what
    assert guest.killed and guest.asked == []


def endings(batch: Batch) -> list[str]:
    return [run.ending for run in batch.runs]


def splatting() -> Scenario:
    head = BODY[: BODY.index("points:")]
    text = head + 'controlled: false\noutcome: {hit: a, miss: b, splat: "KASAN: .*after-free"}\n'
    found = parse(written(text), Path("toy.c"), "6.1")
    assert found is not None
    return found


def quick(result: CaseRun) -> FakeGuest:
    guest = FakeGuest(lambda: result)
    guest.finished.set()
    return guest


def test_without_control_the_programs_lines_count() -> None:
    head = BODY[: BODY.index("points:")]
    text = head + "controlled: false\noutcome: {hit: a, miss: b}\n"
    toy = parse(written(text), Path("toy.c"), "6.1")
    assert toy is not None
    guest = quick(done(OK.format(lines="# run 1: hit\n# run 2: not\n# run 3: hit\n")))
    batch = sequential(on_kernel(guest, Path("stub")), toy, 1)
    assert endings(batch) == ["hit", "miss", "hit"]


def test_a_splat_that_is_the_outcome_is_a_hit_whatever_became_of_the_guest() -> None:
    splat = Splat("KASAN: slab-use-after-free in f", "kasan", "text", 1, 0, 0)
    guest = quick(done("", None, "the guest died", (splat,)))
    batch = sequential(on_kernel(guest, Path("stub")), splatting(), 1)
    assert endings(batch) == ["hit"] and batch.error is None


def test_another_splat_is_none() -> None:
    splat = Splat("WARNING in f", "warning", "text", 1, 0, 0)
    guest = quick(done(OK.format(lines="# run 1: not\n"), splats=(splat,)))
    batch = sequential(on_kernel(guest, Path("stub")), splatting(), 1)
    assert endings(batch) == ["miss"] and batch.splats == [splat]


def test_a_guest_that_is_lost_is_no_miss() -> None:
    guest = quick(done("", None, "the guest hangs"))
    batch = sequential(on_kernel(guest, Path("stub")), splatting(), 1)
    assert endings(batch) == [] and "lost" in str(batch.error)


def test_stress_reads_the_line_of_all_runs() -> None:
    guest = quick(done(OK.format(lines="# 4711 runs, 3 hits, 20010 ms\n")))
    totals = stress(on_kernel(guest, Path("stub")), splatting(), 20)
    assert totals == StressTotals(4711, 3, 20.01)
