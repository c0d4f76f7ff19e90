# SPDX-License-Identifier: GPL-2.0-only
"""Runs a scenario many times in one guest and says how each run ended."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial

from harness.cases.ktap import read_case
from harness.debugger.gdb_remote import Remote, StubError
from harness.races.breakpoints import Breakpoint
from harness.races.driver import InterleavingDriver
from harness.races.guests import KernelGuests
from harness.races.landmarks import CASE, ROUNDS, reported_runs, total_line
from harness.races.scenario import Scenario
from harness.races.trace import RaceError, RaceRun
from harness.vm.guest import CaseRun, Guest
from harness.vm.splats import Splat

PROGRAM_TIMEOUT_S = 600.0  # of a program; each of its runs has limits of its own
END_TIMEOUT_S = 60.0  # of a program whose runs are over


@dataclass(frozen=True)
class Counts:
    """How the runs on one kernel ended."""

    runs: int = 0
    hit: int = 0
    miss: int = 0
    excluded: int = 0

    def __str__(self) -> str:
        return f"{self.hit} hits, {self.miss} misses, {self.excluded} excluded of {self.runs} runs"


@dataclass
class Batch:
    """All runs of a scenario on one kernel; ``error``: why they were given up.

    ``seen``: the watched addresses that each thread came to.
    """

    runs: list[RaceRun] = field(default_factory=list)
    seconds: float = 0.0
    error: RaceError | None = None
    splats: list[Splat] = field(default_factory=list)
    seen: dict[str, set[int]] = field(default_factory=dict)

    @property
    def counts(self) -> Counts:
        """The endings, counted."""
        endings = [run.ending for run in self.runs]
        hit, miss = endings.count("hit"), endings.count("miss")
        return Counts(len(endings), hit, miss, endings.count("excluded"))


@dataclass(frozen=True)
class StressTotals:
    """All runs of a program without control; ``error``: what was wrong with its end."""

    runs: int
    hits: int
    seconds: float
    error: str | None = None


def outcome(done: CaseRun) -> tuple[Sequence[str], RaceError | None]:
    """The diagnostics of a program, and what is wrong with its own end."""
    output = read_case(done.stdout, CASE, done.exit_code)
    what = None
    if done.lost:
        what = f"the guest was lost: {done.lost}"
    elif done.timed_out:
        what = "the guest program did not end"
    elif output.outcome != "pass":
        what = f"the guest program failed: {output.reason}"
    return output.diagnostics, RaceError(what) if what else None


def _run(guest: Guest, scenario: Scenario, argv: Sequence[str]) -> CaseRun:
    return guest.run_case(str(scenario.id), argv, PROGRAM_TIMEOUT_S)


def _how_it_ended(program: Future[CaseRun]) -> str | None:
    """How a program that is driven ended; None while it runs."""
    if not program.done():
        return None
    if (failure := program.exception()) is not None:
        return str(failure) or type(failure).__name__
    _, error = outcome(program.result())
    return str(error) if error is not None else "with all its runs done"


def controlled(
    on: KernelGuests,
    scenario: Scenario,
    breakpoints: Sequence[Breakpoint],
    runs: int,
    progress: Callable[[int], None] = lambda done: None,
    watched: frozenset[int] = frozenset(),
) -> Batch:
    """Drives ``runs`` runs in a guest, of no use after an error; ``progress`` hears of each.

    ``watched``: addresses in the kernel; then runs are without an order, see the driver.
    """
    guest, symbols, programs = on.guest(), on.symbols, on.context.programs
    assert symbols is not None  # of the kernels of a controlled scenario
    argv, program = programs.argv(scenario, ROUNDS, runs), programs.symbols(scenario.name)
    batch = Batch()
    start = time.monotonic()
    ended: Future[CaseRun] = Future()

    def run_program() -> None:
        try:
            ended.set_result(_run(guest, scenario, argv))
        except BaseException as error:
            ended.set_exception(error)

    # No executor: that would wait at the exit for a program which does not end.
    thread = threading.Thread(target=run_program, daemon=True, name=f"race {scenario.name}")
    with contextlib.ExitStack() as stack:
        try:
            remote = Remote.connect(on.stub)  # the guest stands: no run can begin unseen
            stack.callback(remote.close)
            thread.start()
            end, pace = partial(_how_it_ended, ended), max(1.0, guest.pace)
            driver = InterleavingDriver(
                remote, symbols, scenario, breakpoints, program, end, pace, watched=watched
            )
            batch.seen = driver.seen
            for number in range(1, runs + 1):
                if watched:
                    driver.watch(number, scenario.threads[(number - 1) % len(scenario.threads)])
                else:
                    batch.runs.append(driver.run(number))
                progress(number)
            remote.detach()
            try:
                done = ended.result(END_TIMEOUT_S * guest.pace)
            except TimeoutError as error:
                what = "all runs are done, and the guest program does not end"
                raise RaceError(what) from error
            lines, batch.error = outcome(done)
            remarks = {run.number: run.remark for run in reported_runs(lines)}
            batch.runs = [replace(run, remark=remarks.get(run.number)) for run in batch.runs]
        except (RaceError, StubError) as error:
            batch.error = error if isinstance(error, RaceError) else RaceError(str(error))
            guest.qemu.kill()
            if thread.ident is not None:
                thread.join(END_TIMEOUT_S)
    if ended.done() and ended.exception() is None:
        batch.splats = list(ended.result().splats)
    batch.seconds = time.monotonic() - start
    return batch


def sequential(guest: Guest, scenario: Scenario, argv: Sequence[str]) -> Batch:
    """Runs a program without control, for as many runs as its command says."""
    start = time.monotonic()
    done = _run(guest, scenario, argv)
    lines, error = outcome(done)
    runs = reported_runs(lines)
    if scenario.splat and any(re.search(scenario.splat, s.title) for s in done.splats):
        # What the kernel says outweighs what becomes of the program, or of the guest.
        runs, error = [RaceRun(1, "hit")], None
    return Batch(runs, time.monotonic() - start, error, list(done.splats))


def stress(guest: Guest, scenario: Scenario, argv: Sequence[str]) -> StressTotals:
    """Repeats a program without control for the time that its command says."""
    lines, error = outcome(_run(guest, scenario, argv))
    return StressTotals(*(total_line(lines) or (0, 0, 0.0)), str(error) if error else None)
