# SPDX-License-Identifier: GPL-2.0-only
"""Runs a scenario many times in one guest and says how each run ended."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

from harness.cases.ktap import read_case
from harness.debugger.gdb_remote import Remote, StubError
from harness.races.breakpoints import Breakpoint
from harness.races.driver import InterleavingDriver
from harness.races.guests import KernelGuests
from harness.races.landmarks import CASE, ROUNDS, SECONDS, reported_runs, total_line
from harness.races.scenario import Scenario
from harness.races.trace import RaceError, RaceRun
from harness.races.watch import WatchingDriver
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

    ``seen``: the watched addresses that each thread came to, in order.
    """

    runs: list[RaceRun] = field(default_factory=list)
    seconds: float = 0.0
    error: RaceError | None = None
    splats: list[Splat] = field(default_factory=list)
    seen: dict[str, list[int]] = field(default_factory=dict)

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


def _run(on: KernelGuests, guest: Guest, scenario: Scenario, option: str, value: int) -> CaseRun:
    argv = on.context.programs.argv(scenario, option, value)
    return guest.run_case(str(scenario.id), argv, PROGRAM_TIMEOUT_S)


@dataclass
class DrivenProgram:
    """A scenario's program in a guest that stands still: only what its driver lets go runs.

    After ``start`` it ends by ``finish``, or by ``give_up``, which costs the guest.
    ``runs``: of the program; ``watched``: see WatchingDriver. Errors of making one as of ``guest``.
    """

    on: KernelGuests
    scenario: Scenario
    breakpoints: Sequence[Breakpoint]
    runs: int
    watched: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        self.guest = self.on.guest()
        self._ended = Future[CaseRun]()
        self._remote: Remote | None = None
        # No executor: that would wait at the exit for a program which does not end.
        name = f"race {self.scenario.name}"
        self._thread = threading.Thread(target=self._run, daemon=True, name=name)

    def _run(self) -> None:
        try:
            self._ended.set_result(_run(self.on, self.guest, self.scenario, ROUNDS, self.runs))
        except BaseException as error:
            self._ended.set_exception(error)

    def _how_it_ended(self) -> str | None:
        """How it ended; None while it runs."""
        if not self._ended.done():
            return None
        if (failure := self._ended.exception()) is not None:
            return str(failure) or type(failure).__name__
        _, error = outcome(self._ended.result())
        return str(error) if error is not None else "with all its runs done"

    def start(self) -> InterleavingDriver:
        """Starts the program, whose threads stand; a StubError: the guest has no such stub."""
        symbols = self.on.symbols
        assert symbols is not None  # of the kernels of a controlled scenario
        program = self.on.context.programs.symbols(self.scenario.name)
        end, pace = self._how_it_ended, max(1.0, self.guest.pace)
        # The guest stands from here on: no run can begin unseen.
        remote = self._remote = Remote.connect(self.on.stub)
        self._thread.start()
        given = remote, symbols, self.scenario, self.breakpoints, program, end, pace
        watched = self.watched
        self.driver = (
            WatchingDriver(*given, watched=watched) if watched else InterleavingDriver(*given)
        )
        return self.driver

    def finish(self) -> CaseRun:
        """The program's end, when all its runs are done; a RaceError: it does not end."""
        self.driver.remote.detach()
        try:
            return self._ended.result(END_TIMEOUT_S * self.guest.pace)
        except TimeoutError as error:
            what = "all runs are done, and the guest program does not end"
            raise RaceError(what) from error

    def give_up(self) -> None:
        """Ends the program and its guest: after an error, or with runs that nobody wants."""
        self.guest.qemu.kill()
        if self._thread.ident is not None:
            self._thread.join(END_TIMEOUT_S)
        if self._remote is not None:
            self._remote.close()

    @property
    def splats(self) -> list[Splat]:
        """What the kernel said, of a program that has ended."""
        failed = not self._ended.done() or self._ended.exception() is not None
        return [] if failed else list(self._ended.result().splats)


def controlled(
    on: KernelGuests,
    scenario: Scenario,
    breakpoints: Sequence[Breakpoint],
    runs: int,
    progress: Callable[[int], None] = lambda done: None,
    watched: frozenset[int] = frozenset(),
) -> Batch:
    """Drives ``runs`` runs in a guest, of no use after an error; ``progress`` hears of each.

    ``watched``: addresses in the kernel; then runs are without an order, see WatchingDriver.
    """
    batch = Batch()
    start = time.monotonic()
    program = DrivenProgram(on, scenario, breakpoints, runs, watched)
    try:
        driver = program.start()
        if isinstance(driver, WatchingDriver):
            batch.seen = driver.seen
        for number in range(1, runs + 1):
            batch.runs.append(driver.run(number))
            progress(number)
        lines, batch.error = outcome(program.finish())
        remarks = {run.number: run.remark for run in reported_runs(lines)}
        batch.runs = [replace(run, remark=remarks.get(run.number)) for run in batch.runs]
    except (RaceError, StubError) as error:
        batch.error = error if isinstance(error, RaceError) else RaceError(str(error))
        program.give_up()
    batch.splats = program.splats
    batch.seconds = time.monotonic() - start
    return batch


def sequential(on: KernelGuests, scenario: Scenario, runs: int) -> Batch:
    """Runs a program without control, so many runs at once. Errors as of ``guest``."""
    guest, start = on.guest(), time.monotonic()
    done = _run(on, guest, scenario, ROUNDS, runs)
    lines, error = outcome(done)
    ended = reported_runs(lines)
    if scenario.splat and any(re.search(scenario.splat, s.title) for s in done.splats):
        # What the kernel says outweighs what becomes of the program, or of the guest.
        ended, error = [RaceRun(1, "hit")], None
    return Batch(ended, time.monotonic() - start, error, list(done.splats))


def stress(on: KernelGuests, scenario: Scenario, seconds: int) -> StressTotals:
    """Repeats a program without control for so long. Errors as of ``guest``."""
    lines, error = outcome(_run(on, on.guest(), scenario, SECONDS, seconds))
    return StressTotals(*(total_line(lines) or (0, 0, 0.0)), str(error) if error else None)
