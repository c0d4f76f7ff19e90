# SPDX-License-Identifier: GPL-2.0-only
"""Runs a scenario many times in one guest and says how each run ended."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.conductor import Conductor
from harness.gdbremote import Remote, StubError
from harness.guest import CaseRun, Guest
from harness.ktap import read_case
from harness.places import Spot
from harness.racefaults import RaceError
from harness.racetrace import Ending, RaceRun, Stage
from harness.scenario import Scenario
from harness.splat import Splat
from harness.symbols import Symbols

CASE = "race"  # in every program's result line
PROGRAM = 600.0  # seconds that a program may take; each of its runs has limits of its own
_RUN = re.compile(r"^run (?P<number>\d+): (?P<hit>hit|not)(?:: (?P<remark>.*))?$")
_TOTAL = re.compile(r"^(?P<runs>\d+) runs, (?P<hits>\d+) hits, (?P<ms>\d+) ms$")


@dataclass(frozen=True)
class Counts:
    """How the runs on one kernel ended."""

    runs: int = 0
    hit: int = 0
    miss: int = 0
    excluded: int = 0

    def record(self) -> dict[str, int]:
        """For repro.json."""
        return {"runs": self.runs, "hit": self.hit, "miss": self.miss, "excluded": self.excluded}


@dataclass
class Batch:
    """All runs of a scenario on one kernel.

    Args:
        error: why they were given up, '' if they were not; ``advice``: what to do then.
        stages: of the run that could not be conducted.
        splats: what the kernel said.
        stress: rounds, hits and seconds without control, where that was asked for.
    """

    endings: list[Ending] = field(default_factory=list)
    runs: list[RaceRun] = field(default_factory=list)
    seconds: float = 0.0
    error: str = ""
    advice: str = ""
    stages: tuple[Stage, ...] = ()
    splats: list[Splat] = field(default_factory=list)
    stress: tuple[int, int, float] | None = None

    @property
    def counts(self) -> Counts:
        """The endings, counted."""
        ended = self.endings
        return Counts(len(ended), ended.count("hit"), ended.count("miss"), ended.count("excluded"))


def program_argv(scenario: Scenario, program: str, *how: str) -> list[str]:
    """The command of a guest program: how often, and who runs where."""
    return [program, *how, *(f"{t.name}={t.cpu}" for t in scenario.threads)]


@dataclass(frozen=True)
class RunLine:
    """What a program says of one run."""

    number: int
    hit: bool
    remark: str


def run_lines(diagnostics: Iterable[str]) -> list[RunLine]:
    """The lines of single runs among a program's diagnostics."""
    found = [_RUN.match(line) for line in diagnostics]
    return [RunLine(int(m["number"]), m["hit"] == "hit", m["remark"] or "") for m in found if m]


def total_line(diagnostics: Iterable[str]) -> tuple[int, int, float] | None:
    """Runs, hits and seconds of all of them; None where the program did not come so far."""
    for line in diagnostics:
        if match := _TOTAL.match(line):
            return int(match["runs"]), int(match["hits"]), int(match["ms"]) / 1000
    return None


def complaint(done: CaseRun) -> str:
    """What is wrong with a program's own end; '' if nothing."""
    if done.lost:
        return f"the guest was lost: {done.lost}"
    if done.timed_out:
        return "the guest program did not end"
    said = read_case(done.stdout, CASE, done.exit_code)
    if said.outcome == "pass":
        return ""
    return f"the guest program failed: {said.reason}"


class _Program(threading.Thread):
    """A guest program's command, waited for beside the conductor."""

    def __init__(self, guest: Guest, scenario: Scenario, argv: Sequence[str]) -> None:
        super().__init__(daemon=True, name=f"race {scenario.name}")
        self._guest, self._scenario, self._argv = guest, scenario, argv
        self.done: CaseRun | None = None
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            self.done = self._guest.run_case(f"races::{self._scenario.name}", self._argv, PROGRAM)
        except BaseException as error:
            self.failure = error

    def over(self) -> str:
        """How it ended; '' while it runs."""
        if self.is_alive():
            return ""
        if self.failure is not None:
            return str(self.failure) or type(self.failure).__name__
        return (complaint(self.done) if self.done else "") or "with all its runs done"

    def result(self, timeout: float) -> CaseRun | None:
        """Its end, waited for."""
        self.join(timeout)
        if self.failure is not None:
            raise self.failure
        return self.done


def controlled(
    guest: Guest,
    stub: Path,
    scenario: Scenario,
    spots: Sequence[Spot],
    symbols: Symbols,
    program: dict[str, int],
    argv: Sequence[str],
    runs: int,
    progress: Callable[[int], None] = lambda done: None,
) -> Batch:
    """Conducts ``runs`` runs in a guest. After an error the guest is of no use any more.

    Args:
        stub: the socket of the guest's gdbstub.
        argv: the command of the guest program, for as many runs.
    """
    batch = Batch()
    start = time.monotonic()
    remote: Remote | None = None
    thread = _Program(guest, scenario, argv)
    try:
        remote = Remote.connect(stub)  # the guest stands: no run can begin unseen
        thread.start()
        conductor = Conductor(
            remote, symbols, scenario, spots, program, thread.over, max(1.0, guest.pace)
        )
        for number in range(1, runs + 1):
            batch.runs.append(conductor.run(number))
            progress(number)
        remote.detach()
        done = thread.result(60.0 * guest.pace)
        _take_end(batch, done)
    except (RaceError, StubError) as error:
        batch.error = str(error)
        if isinstance(error, RaceError):
            batch.advice, batch.stages = error.advice, error.stages
        guest.qemu.kill()
        thread.join(60.0)
        if thread.done is not None:
            batch.splats += thread.done.splats
    finally:
        if remote is not None:
            remote.close()
    batch.endings = [run.ending for run in batch.runs]
    batch.seconds = time.monotonic() - start
    return batch


def _take_end(batch: Batch, done: CaseRun | None) -> None:
    """Adds what the program said at its end: remarks of runs, and whether all is well."""
    if done is None:
        batch.error = "all runs are done, and the guest program does not end"
        return
    batch.splats += done.splats
    said = {line.number: line for line in run_lines(read_case(done.stdout, CASE, 0).diagnostics)}
    batch.runs = [
        replace(run, remark=said[run.number].remark) if run.number in said else run
        for run in batch.runs
    ]
    batch.error = complaint(done)


def sequential(guest: Guest, scenario: Scenario, argv: Sequence[str]) -> Batch:
    """Runs a program without control, for as many runs as its command says."""
    start = time.monotonic()
    done = guest.run_case(f"races::{scenario.name}", argv, PROGRAM)
    batch = Batch(splats=list(done.splats), error=complaint(done))
    lines = run_lines(read_case(done.stdout, CASE, done.exit_code).diagnostics)
    pattern = re.compile(scenario.splat) if scenario.splat else None
    if pattern is not None and any(pattern.search(splat.title) for splat in done.splats):
        # What the kernel says outweighs what becomes of the program, or of the guest.
        batch.endings, batch.error = ["hit"], ""
    else:
        batch.endings = ["hit" if line.hit else "miss" for line in lines]
    batch.seconds = time.monotonic() - start
    return batch


def stress(guest: Guest, scenario: Scenario, argv: Sequence[str]) -> Batch:
    """Repeats a program without control for the time that its command says."""
    done = guest.run_case(f"races::{scenario.name}", argv, PROGRAM)
    batch = Batch(splats=list(done.splats), error=complaint(done))
    batch.stress = total_line(read_case(done.stdout, CASE, done.exit_code).diagnostics)
    return batch
