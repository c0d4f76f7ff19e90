# SPDX-License-Identifier: GPL-2.0-only
"""The race of a finding, run again: its CPUs held in order, or its program many times."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from harness.cases.ktap import read_case
from harness.debugger.code import KnownCode, Unit
from harness.debugger.gdb_remote import Remote, StubError
from harness.debugger.symbols import KernelSource, Symbols
from harness.findings.compare import ReplayedRun, compared
from harness.findings.finding import OUT_FILE, STUB, SYMBOL_MAP, Schedule
from harness.findings.replay_guest import ReplayGuest
from harness.races.clocksource import wait_for_final_clocksource
from harness.races.driver import AT_BEGINNING, InterleavingDriver
from harness.races.landmarks import CASE, reported_runs
from harness.races.trace import RaceError, RaceRun

END_TIMEOUT_S = 60.0  # of a program whose runs are over, in a guest of reference speed


class ResolvedCode(KnownCode):
    """Of the kernel's code that which a schedule asks about; ``symbols``: with all others."""

    def __init__(self, schedule: Schedule, symbol_map: str) -> None:
        self._code, self._assembly = schedule.code, frozenset(schedule.assembly)
        self.symbols = Symbols(symbol_map, self, KernelSource(Path(), ""))

    def covers(self, address: int) -> bool:
        """Whether it is compiled code, and no assembly."""
        return address - self.symbols.symbol_at(address)[1] not in self._assembly

    def unit_at(self, address: int) -> Unit | None:
        """One unit for all that is compiled; None for assembly."""
        return self._code if self.covers(address) else None


def _told(run: RaceRun) -> str:
    """How a run went: where who was held, in order."""
    held = [f"{h.thread} held at {h.where}" for h in run.holds if h.where != AT_BEGINNING]
    return f"{run.ending}: {'; '.join(held)}"


def ordered_runs(guest: ReplayGuest, number: int, runs: int) -> Iterator[ReplayedRun]:
    """Drives ``runs`` runs of the race in a guest; after an error it is of no use."""
    finding, schedule = guest.finding, guest.finding.schedule
    assert schedule is not None  # of this mode
    wait_for_final_clocksource(guest)
    symbols = ResolvedCode(schedule, (guest.folder / SYMBOL_MAP).read_text("utf-8")).symbols
    try:
        remote = Remote.connect(guest.folder / STUB)
    except StubError as error:
        yield ReplayedRun("other", str(error))
        return
    try:
        wait = guest.begin_case(number, runs)

        def program_end() -> str | None:
            status = wait(0.0)
            return None if status is None else f"with status {status}"

        driver = InterleavingDriver(
            remote, symbols, schedule.scenario, schedule.breakpoints, schedule.program,
            program_end, guest.pace,
        )  # fmt: skip
        for one in range(1, runs + 1):
            run = driver.run(one)
            hit = run.ending == "hit"
            yield ReplayedRun("same" if hit else "not seen", _told(run))
        remote.detach()
        if wait(END_TIMEOUT_S * guest.pace) is None:
            yield ReplayedRun("other", "all runs are done, and the guest program does not end")
    except (RaceError, StubError) as error:
        yield ReplayedRun("other", str(error))
    finally:
        remote.close()
    if complaints := guest.complaints(number):
        yield compared(finding, False, "", complaints)


def program_runs(guest: ReplayGuest, number: int, runs: int) -> Iterator[ReplayedRun]:
    """Runs the program of a race without control, ``runs`` times in a row."""
    finding, schedule = guest.finding, guest.finding.schedule
    assert schedule is not None  # of this mode
    status = guest.begin_case(number, runs)(finding.timeout_s * guest.pace)
    splat, complaints = schedule.scenario.splat, guest.complaints(number)
    if splat is not None:
        struck = next((title for title in complaints if re.search(splat, title)), None)
        if struck is not None:
            yield ReplayedRun("same", f"kernel: {struck}")
            return
    if complaints or status is None:
        yield ReplayedRun("other", complaints[0] if complaints else "the program does not end")
        return
    output = read_case(guest.file(OUT_FILE), CASE, status)
    if output.outcome != "pass":
        yield ReplayedRun("other", f"the guest program failed: {output.reason}")
    for run in reported_runs(output.diagnostics):
        hit = run.ending == "hit" and splat is None
        yield ReplayedRun("same" if hit else "not seen", run.remark or run.ending)
