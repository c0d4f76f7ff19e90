# SPDX-License-Identifier: GPL-2.0-only
"""One kernel, booted once and measured: cases run in each condition, and what they counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.cases.runner import CaseRunner
from harness.commands.cost.bars import Condition, CostTable
from harness.commands.cost.judge import ALONE, FigureKey, Unit, figures
from harness.core import events as ev
from harness.core.errors import HarnessError, InvocationError, SeriesError
from harness.image.programs import Case
from harness.run.assemble_guest import Equipment, complaints_of, kvm_verdict
from harness.run.session import Session
from harness.vm.guests import Guests
from harness.vm.machine import GuestSpec

Sample = dict[FigureKey, float]  # of one boot


@dataclass(frozen=True)
class MeasuredKernel:
    """One of the two kernels, ready to be booted; ``name``: 'base' or 'series'."""

    name: str
    session: Session
    equipment: Equipment
    table: CostTable
    promised: int  # patches of the whole series

    def spec(self, unit: Unit) -> GuestSpec:
        """A guest that counts: instructions under TCG, time under KVM."""
        spec = replace(self.equipment.spec, memory_mb=self.table.memory_mb)
        if unit == "instructions":
            return spec.counting()
        return replace(spec, accel="kvm", extra_append="", in_turn=False, cpus=1)

    def boot(self, number: int, unit: Unit, cases: Sequence[Case]) -> Sample:
        """Boots it and runs the cases of ``compared`` in each condition, in order, and then,
        with the series, those of ``alone``. Empty where there is no time to be measured, because
        KVM turns out not to run it.

        Raises:
            SeriesError, InvocationError: a case cannot be measured on the series, on the base.
        """
        session, out = self.session, self.session.out / f"{self.name}-{unit}-{number}"
        version = self.equipment.prepared.base.version
        sort_out, kvm = complaints_of(self.equipment), kvm_verdict(session)
        sample: Sample = {}
        with Guests(self.spec(unit), out, session.events, kvm, sort_out) as guests:
            guest = guests.fresh()
            if unit == "time" and guest.spec.accel != "kvm":
                return {}
            runner = CaseRunner(session.data, self.promised, version, guests.fresh, guest, sort_out)
            for condition in self.table.conditions:
                for case in of_programs(cases, self.table.compared):
                    sample |= self._figures(runner, case, condition, unit)
            if self.name == "series":
                for case in of_programs(cases, self.table.alone):
                    sample |= self._figures(runner, case, Condition(ALONE), unit)
            guests.report_strays()
        return sample

    def _figures(self, runner: CaseRunner, case: Case, condition: Condition, unit: Unit) -> Sample:
        record = runner.run(case, self._emit, condition.env)
        if record.status == "not_applicable":
            return {}
        found = figures(record.diagnostics)
        own = condition.base_says if self.name == "base" else condition.series_says
        if record.status != "pass":
            raise self._wrong(case, condition, f"{record.status}: {record.reason}", record)
        if not found:
            raise self._wrong(case, condition, "it passes and has counted nothing", record)
        for line in filter(None, (condition.base_says, condition.series_says)):
            if (line in record.diagnostics) != (line == own):
                said = "does not say" if line == own else "says"
                raise self._wrong(case, condition, f"it {said} '{line}'", record)
        return {FigureKey(unit, condition.name, name): value for name, value in found.items()}

    def _emit(self, event: ev.Event) -> None:
        """A case of a boot is no record of the run, what the kernel says meanwhile is."""
        if not isinstance(event, (ev.CaseStarted, ev.CaseFinished)):
            self.session.events.emit(event)

    def _wrong(
        self, case: Case, condition: Condition, why: str, record: ev.CaseFinished
    ) -> HarnessError:
        kind = SeriesError if self.name == "series" else InvocationError
        told = "\n".join(record.diagnostics[-5:])
        return kind(
            f"{case.id} cannot be measured on the {self.name}, {condition.name}: {why}\n{told}",
            evidence=self.session.out,
        )


def of_programs(cases: Sequence[Case], programs: Sequence[str]) -> list[Case]:
    """The cases of these programs, by the names of the programs' sources without their endings."""
    return [case for case in cases if case.program.source.stem in programs]
