# SPDX-License-Identifier: GPL-2.0-only
"""The same programs on two kernels, the bare base and the series: what each says of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.cases.selection import run_cases
from harness.core import events as ev
from harness.core.errors import InvocationError, SeriesError
from harness.core.stages import stage
from harness.image.programs import Case, Suite
from harness.run.assemble_guest import Equipment, assemble_guest, booted, case_runners
from harness.run.session import Session
from harness.run.states import BASE
from harness.series.base import Base
from harness.vm.splats import Splat
from harness.workloads.judge import Seen, seen
from harness.workloads.regression_selftests import RUNNER, Selftest, case_of

ON_BASE = "the bare base says it"
Observed = dict[str, list[Seen]]  # the runs of each test or case, by the text of its id


def assemble_both(
    session: Session, programs: Callable[[Session, Path, Base], Suite], guests: int = 1
) -> tuple[Session, Equipment, Equipment]:
    """The bare base, with a session of its own below ``base/``, and the series: the same programs.

    Raises:
        InvocationError: the bare base does not build.
        SeriesError, MachineError: see ``assemble_guest``.
    """
    bare = replace(session.settings, patches=0, variant=None, fix=None)
    base = replace(session, settings=bare, out=session.out / "base")
    base.out.mkdir()
    try:
        without = assemble_guest(base, programs, guests)
    except SeriesError as error:
        what = f"{BASE} is broken already: {error.what}"
        raise InvocationError(what, evidence=error.evidence) from error
    return base, without, assemble_guest(session, lambda *_: without.suite, guests)


@dataclass
class Reports:
    """What the kernels complain of. Those of the bare base do not count, on either kernel."""

    events: ev.Events
    titles: set[str] = field(default_factory=set)
    waiting: list[ev.SplatSeen] = field(default_factory=list)

    def of_base(self, splat: Splat) -> Splat:
        """Remembers a complaint of the bare base."""
        self.titles.add(splat.title)
        return replace(splat, foreign=ON_BASE)

    def of_series(self, judged: Callable[[Splat], Splat]) -> Callable[[Splat], Splat]:
        """As ``judged`` marks a complaint, unless the bare base has said the same."""
        return lambda splat: (
            replace(splat, foreign=ON_BASE) if splat.title in self.titles else judged(splat)
        )

    def emit(self) -> None:
        """Emits what waited for the bare base to have had its say."""
        for splat in self.waiting:
            known = not splat.foreign and splat.title in self.titles
            self.events.emit(replace(splat, foreign=ON_BASE) if known else splat)


@dataclass(frozen=True)
class ComparedKernel:
    """One of the two kernels, ready to be booted. ``name``: of its stage."""

    session: Session
    equipment: Equipment
    sort_out: Callable[[Splat], Splat]
    reports: Reports
    name: str
    tests: Sequence[Selftest]

    def observe(self, cases: Sequence[Case], expression: str, again: bool = False) -> Observed:
        """Boots the kernel, runs the cases; what each test said, in order of its runs."""
        out = self.session.out / "again" if again else self.session.out
        out.mkdir(exist_ok=True)
        session = replace(self.session, out=out)
        records: list[ev.CaseFinished] = []

        def take(event: ev.Event) -> None:
            if isinstance(event, ev.CaseFinished):
                records.append(event)
                done = len(records), len(cases), "tests", str(event.id)
                session.events.emit(ev.StageProgress(self.name, *done))
            elif isinstance(event, ev.SplatSeen):
                self.reports.waiting.append(event)
            elif not isinstance(event, ev.CaseStarted):
                session.events.emit(event)

        with booted(session, self.equipment, self.sort_out) as guests:
            # What is said of the cases goes through take() only: a run of a test is no record yet.
            runners = case_runners(session, self.equipment, guests)
            with stage(session.events, self.name) as outcome:
                run_cases(cases, runners, take, expression)
                passed = sum(record.status == "pass" for record in records)
                outcome.detail = f"{passed} of {len(records)} runs pass"
            guests.report_strays()
        points = {str(case_of(test, RUNNER).id): test.points for test in self.tests}
        found: Observed = {}
        for record in records:
            name = str(record.id)
            found.setdefault(name, []).append(seen(record, points.get(name, "")))
        return found
