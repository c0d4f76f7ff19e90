# SPDX-License-Identifier: GPL-2.0-only
"""Tries one order after another with a program that goes on running: a try costs no start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.debugger.gdb_remote import StubError
from harness.races.batch import DrivenProgram
from harness.races.guests import KernelGuests
from harness.races.scenario import Point, Scenario
from harness.races.trace import RaceError, RaceRun

PROGRAM_RUNS = 60  # of a program before it is started anew: it has a time limit of its own
# What a CPU that stands still brings about by itself.
STALLS = frozenset({"soft_lockup", "hard_lockup", "rcu_stall", "hung_task", "workqueue_lockup"})


@dataclass(frozen=True)
class TriedRun:
    """One try of an order; ``said``: the title of a complaint of the kernel, if there was one."""

    run: RaceRun
    said: str | None = None

    @property
    def struck(self) -> bool:
        """Whether the program or the kernel saw a bad outcome."""
        return self.run.ending == "hit" or self.said is not None


@dataclass
class Prober:
    """A scenario's program on one kernel. ``close`` ends it: its guest is of no use any more."""

    on: KernelGuests
    scenario: Scenario
    _program: DrivenProgram | None = None
    _runs: int = 0

    def attempt(self, points: Sequence[Point]) -> TriedRun:
        """Tries an order once; after an error the guest is replaced for the next one.

        Raises:
            InvocationError: a point is nowhere in this kernel.
            SeriesError, MachineError: no guest boots.
        """
        at = self.on.breakpoints(replace(self.scenario, points=tuple(points)))
        try:
            if self._program is None:
                self._runs = 0
                self._program = DrivenProgram(self.on, self.scenario, (), PROGRAM_RUNS)
                self._program.start()
            program = self._program
            self._runs += 1
            run = program.driver.explore(self._runs, points, at)
            said = _complaint(program)
            if said is not None:  # nothing that comes after it can be trusted
                self.close()
            elif self._runs == PROGRAM_RUNS:
                program.finish()
                self._program = None
            return TriedRun(run, said)
        except (RaceError, StubError) as error:
            failed = self._program
            self.close()
            said = _complaint(failed) if failed is not None else None
            return TriedRun(RaceRun(self._runs, "error", str(error)), said)

    def close(self) -> None:
        """Ends the program, and its guest with it, unless all its runs are done."""
        if self._program is not None:
            self._program.give_up()
            self._program = None


def _complaint(program: DrivenProgram) -> str | None:
    """What the kernel has said that no held CPU explains."""
    splats = (s for s in program.guest.splats() if s.spoils and not s.expected)
    return next((s.title for s in splats if s.category not in STALLS), None)
