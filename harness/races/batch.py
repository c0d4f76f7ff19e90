# SPDX-License-Identifier: GPL-2.0-only
"""Runs a scenario many times in one guest and says how each run ended."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.cases.ktap import read_case
from harness.debugger.gdb_remote import Remote, StubError
from harness.debugger.symbols import Symbols
from harness.races.breakpoints import Breakpoint
from harness.races.conductor import InterleavingDriver
from harness.races.failures import RaceError
from harness.races.scenario import Scenario
from harness.races.trace import RaceRun
from harness.races.words import CASE, RunLine, run_lines, total_line
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
    """All runs of a scenario on one kernel.

    Args:
        error: why they were given up.
        splats: what the kernel said.
    """

    runs: list[RaceRun] = field(default_factory=list)
    seconds: float = 0.0
    error: RaceError | None = None
    splats: list[Splat] = field(default_factory=list)

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


def complaint(done: CaseRun) -> str | None:
    """What is wrong with a program's own end."""
    if done.lost:
        return f"the guest was lost: {done.lost}"
    if done.timed_out:
        return "the guest program did not end"
    output = read_case(done.stdout, CASE, done.exit_code)
    return None if output.outcome == "pass" else f"the guest program failed: {output.reason}"


def _error(done: CaseRun) -> RaceError | None:
    what = complaint(done)
    return RaceError(what) if what else None


def _diagnostics(done: CaseRun) -> Sequence[str]:
    return read_case(done.stdout, CASE, done.exit_code).diagnostics


class _ProgramThread(threading.Thread):
    """A guest program's command, waited for beside those who hold its threads."""

    def __init__(self, guest: Guest, scenario: Scenario, argv: Sequence[str]) -> None:
        super().__init__(daemon=True, name=f"race {scenario.name}")
        self._guest, self._scenario, self._argv = guest, scenario, argv
        self.done: CaseRun | None = None
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            self.done = _run(self._guest, self._scenario, self._argv)
        except BaseException as error:
            self.failure = error

    def end(self) -> str | None:
        """How it ended; None while it runs."""
        if self.is_alive():
            return None
        if self.failure is not None:
            return str(self.failure) or type(self.failure).__name__
        return (complaint(self.done) if self.done else None) or "with all its runs done"

    def result(self, timeout: float) -> CaseRun:
        """Its end, waited for.

        Raises:
            RaceError: it does not end.
            whatever kept its command from an end.
        """
        self.join(timeout)
        if self.failure is not None:
            raise self.failure
        if self.done is None:
            raise RaceError("all runs are done, and the guest program does not end")
        return self.done


def _run(guest: Guest, scenario: Scenario, argv: Sequence[str]) -> CaseRun:
    return guest.run_case(str(scenario.id), argv, PROGRAM_TIMEOUT_S)


def controlled(
    guest: Guest,
    stub: Path,
    scenario: Scenario,
    breakpoints: Sequence[Breakpoint],
    symbols: Symbols,
    program: Mapping[str, int],
    argv: Sequence[str],
    runs: int,
    progress: Callable[[int], None] = lambda done: None,
) -> Batch:
    """Drives ``runs`` runs in a guest. After an error the guest is of no use any more.

    Args:
        stub: the socket of the guest's gdbstub.
        program: the symbols of the guest program.
        argv: its command, for as many runs.
        progress: hears of each run that is done.
    """
    batch = Batch()
    start = time.monotonic()
    remote: Remote | None = None
    thread = _ProgramThread(guest, scenario, argv)
    try:
        remote = Remote.connect(stub)  # the guest stands: no run can begin unseen
        thread.start()
        pace = max(1.0, guest.pace)
        driver = InterleavingDriver(
            remote, symbols, scenario, breakpoints, program, thread.end, pace
        )
        for number in range(1, runs + 1):
            batch.runs.append(driver.run(number))
            progress(number)
        remote.detach()
        done = thread.result(END_TIMEOUT_S * guest.pace)
        remarks = {line.number: line.remark for line in run_lines(_diagnostics(done))}
        batch.runs = [replace(run, remark=remarks.get(run.number)) for run in batch.runs]
        batch.splats, batch.error = list(done.splats), _error(done)
    except (RaceError, StubError) as error:
        batch.error = error if isinstance(error, RaceError) else RaceError(str(error))
        guest.qemu.kill()
        if thread.ident is not None:
            thread.join(END_TIMEOUT_S)
        if thread.done is not None:
            batch.splats = list(thread.done.splats)
    finally:
        if remote is not None:
            remote.close()
    batch.seconds = time.monotonic() - start
    return batch


def sequential(guest: Guest, scenario: Scenario, argv: Sequence[str]) -> Batch:
    """Runs a program without control, for as many runs as its command says."""
    start = time.monotonic()
    done = _run(guest, scenario, argv)
    lines, error = run_lines(_diagnostics(done)), _error(done)
    if scenario.splat and any(re.search(scenario.splat, s.title) for s in done.splats):
        # What the kernel says outweighs what becomes of the program, or of the guest.
        lines, error = [RunLine(1, True, None)], None
    runs = [RaceRun(line.number, "hit" if line.hit else "miss", line.remark) for line in lines]
    return Batch(runs, time.monotonic() - start, error, list(done.splats))


def stress(guest: Guest, scenario: Scenario, argv: Sequence[str]) -> StressTotals:
    """Repeats a program without control for the time that its command says."""
    done = _run(guest, scenario, argv)
    totals = total_line(_diagnostics(done)) or (0, 0, 0.0)
    return StressTotals(*totals, complaint(done))
