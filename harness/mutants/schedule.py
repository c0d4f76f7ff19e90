# SPDX-License-Identifier: GPL-2.0-only
"""Mutants that need a schedule: no case notices them, and a race scenario strikes on them.

The threads of a scenario are held in its order on the kernel that has all mutants, as ``make
repro`` does it, with the number set: no kernel is built for a mutant. The control is the same
order without a mistake, which must not strike, and tells which mutants the scenario passes.
What was found out is kept by the mutant's code and what the scenario is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core import events as ev
from harness.core.errors import HarnessError, InternalError
from harness.core.jsondata import read_kept, write_json
from harness.core.stages import StageOutcome, stage
from harness.core.store import digest, file_digest
from harness.mutants.mutant import Mutant
from harness.mutants.reach import SOUND, ControlRun, choose, reached
from harness.races.batch import Batch
from harness.races.guests import KernelGuests, kernel_guests, race_context
from harness.races.kernels import RaceKernel
from harness.races.programs import libraries_of
from harness.races.run import run_batch
from harness.races.scenario import Scenario
from harness.races.scenario import choose as choose_scenarios
from harness.races.trace import RaceError
from harness.run.pipeline import Prepared
from harness.run.session import Session
from harness.vm.channel import SshError

STAGE = "schedule"
RUNS = 3  # of each scenario; an order that is held strikes each time or never


def scenarios_for(session: Session, line: str) -> list[Scenario]:
    """Those of the series and the kernel line that this run's flavour is for, as in make repro."""
    every, config = choose_scenarios("all", line, session.data.name), session.settings.config
    return [scenario for scenario in every if scenario.flavour(config) == config]


@dataclass(frozen=True)
class ScheduleSearch:
    """Tries mutants in the scenarios that pass their places.

    Args:
        scenarios: not empty.
        prepared: with the kernel that has all mutants; ``traced``: makes its twin, which tells
            where things are.
        codes: number -> digest of the mutant's code.
        folder: where what is found out is kept, of one sound kernel.
    """

    session: Session
    scenarios: Sequence[Scenario]
    prepared: Prepared
    traced: Callable[[], RaceKernel]
    codes: Mapping[int, str]
    folder: Path

    def run(self, mutants: Sequence[Mutant]) -> Iterator[tuple[Mutant, Scenario, str]]:
        """The mutants that a scenario strikes on, with the first such, and what was seen.

        Raises:
            SeriesError, MachineError: as for any build and any boot.
        """
        events, outcome = self.session.events, StageOutcome()
        control = read_kept(dict[str, ControlRun], self._control_path())
        on: KernelGuests | None = None
        with contextlib.ExitStack() as stack:

            def guests() -> KernelGuests:
                """Those of the stage, which is entered where something is left to try."""
                nonlocal outcome, on
                if on is None:
                    kernel = self.traced()
                    context = race_context(self.session, self.prepared, kernel, self.scenarios)
                    quiet = ev.filtered(events, lambda event: isinstance(event, ev.Note))
                    outcome = stack.enter_context(stage(events, STAGE))
                    name = f"races/{STAGE}"
                    on = stack.enter_context(kernel_guests(context, kernel, name, quiet))
                return on

            if control is None:
                control = self._control(guests())
            struck = 0
            for done, mutant in enumerate(mutants, 1):
                if (found := self._first(mutant, control, guests)) is not None:
                    struck += 1
                    yield mutant, *found
                note = f"{struck} need a schedule"
                events.emit(ev.StageProgress(STAGE, done, len(mutants), "survivors", note))
            used = sum(ran.unused is None for ran in control.values())
            outcome.detail = f"{struck} of {len(mutants)} survivors by {used} scenarios"

    def _identity(self, scenario: Scenario) -> str:
        libraries = file_digest(*libraries_of(self.session.data))
        return digest(libraries, file_digest(scenario.source), RUNS)

    def _control_path(self) -> Path:
        identity = [self._identity(scenario) for scenario in self.scenarios]
        kernel = self.prepared.kernel.entry.name
        return self.folder / f"schedules-{digest(kernel, identity)}.json"

    def _first(
        self,
        mutant: Mutant,
        control: Mapping[str, ControlRun],
        guests: Callable[[], KernelGuests],
    ) -> tuple[Scenario, str] | None:
        """The first scenario that strikes on a mutant, and what was seen; None: none does.

        What was tried is kept: identity of a scenario -> what was seen; None: no strike.
        """
        path = self.folder / f"scheduled-{self.codes[mutant.number]}.json"
        tried = read_kept(dict[str, str | None], path) or {}
        passing = [
            (self._identity(scenario), scenario)
            for scenario in self.scenarios
            if scenario.name in control and mutant.number in control[scenario.name].reached
        ]
        for name, scenario in passing:
            if said := tried.get(name):
                return scenario, said
        for name, scenario in passing:
            if name not in tried:
                tried[name] = said = self._try(guests(), mutant, scenario)
                write_json(path, tried)
                if said is not None:
                    return scenario, said
        return None

    def _control(self, on: KernelGuests) -> dict[str, ControlRun]:
        """Each scenario without a mistake, in a guest that may have run the ones before."""
        found: dict[str, ControlRun] = {}
        for done, scenario in enumerate(self.scenarios, 1):
            batch, numbers = _batch(on, scenario, SOUND), frozenset[int]()
            why = None if batch.error is None else str(batch.error)
            if why is None and (said := struck_by(scenario, batch)):
                why = f"without a mistake: {said}"
            if why is None:
                numbers = reached(on.guest())
            else:
                self.session.events.note(f"{scenario.name} judges no mutant: {why}")
            found[scenario.name] = ControlRun(batch.seconds, why, reached=tuple(sorted(numbers)))
            counted = done, len(self.scenarios), "scenarios", scenario.name
            self.session.events.emit(ev.StageProgress(STAGE, *counted))
        write_json(self._control_path(), found)
        return found

    @staticmethod
    def _try(on: KernelGuests, mutant: Mutant, scenario: Scenario) -> str | None:
        """What a scenario shows of a mutant; a strike counts if it is seen in a guest of its own.

        The guest may have run other mutants, and what one of them has spoiled is not this
        one's mistake.
        """
        said = struck_by(scenario, _batch(on, scenario, mutant.number))
        if said is not None:
            on.renew()
            said = struck_by(scenario, _batch(on, scenario, mutant.number))
            on.renew()
        return said


def _batch(on: KernelGuests, scenario: Scenario, number: int) -> Batch:
    """The runs of a scenario with a mutant on; an error alone where they could not be made."""
    try:
        breakpoints = on.breakpoints(scenario)
        on.ready = lambda guest: choose(guest, number)
        on.ready(on.guest())
        return run_batch(on, scenario, breakpoints, RUNS)
    except InternalError:
        raise
    except (HarnessError, SshError, TimeoutError) as error:
        return Batch(error=RaceError(str(error).partition("\n")[0]))


def struck_by(scenario: Scenario, batch: Batch) -> str | None:
    """What runs have shown, in words; None: nothing that the sound kernel would not.

    Only an outcome counts, or what the kernel says while all goes its way: an order that
    cannot be held any more may be another as good as the one before.
    """
    if hits := batch.counts.hit:
        return f"{scenario.hit} ({hits} of {batch.counts.runs} runs)"
    if batch.error is None and batch.splats:
        return batch.splats[0].title
    return None
