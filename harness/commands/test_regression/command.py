# SPDX-License-Identifier: GPL-2.0-only
"""``make test-regression``: the kernel's own selftests, without the series and with it.

Two kernels, one run. What a test says on each is compared (``judge.py``), and becomes one
record, which names the clause that the series gives for it. What the kernel complains of
counts where the bare base does not say it as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.build.fragments import read_values
from harness.cases.pool import at_once
from harness.cases.selection import run_cases
from harness.commands.test_regression.build import SelftestList, build_suite, case_of, load
from harness.commands.test_regression.judge import (
    AGAIN,
    Seen,
    SelftestRuns,
    cannot_run,
    judge,
    seen,
    summary,
)
from harness.core import events as ev
from harness.core.errors import InvocationError, MachineError, SeriesError
from harness.core.settings import Settings
from harness.core.stages import stage
from harness.image.programs import Case, Suite
from harness.run.assemble_guest import (
    Equipment,
    assemble_guest,
    booted,
    case_runners,
    complaints_of,
    decode_splats,
)
from harness.run.session import Session, run_session
from harness.series.base import Base
from harness.series.kernels import known_kernels
from harness.setup.on_demand import provide
from harness.vm.splats import Splat

ON_BASE = "the bare base says it"
Observed = dict[str, list[Seen]]  # the runs of each test, by its name
# Runs on one kernel those of some cases that an expression selects, or if again, all of them.
Observe = Callable[[Sequence[Case], str, bool], Observed]


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
    """One of the two kernels, ready to be booted."""

    session: Session
    equipment: Equipment
    sort_out: Callable[[Splat], Splat]
    reports: Reports
    name: str
    listed: SelftestList

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
            elif not isinstance(event, (ev.CaseStarted, ev.CasesChosen)):
                session.events.emit(event)

        with booted(session, self.equipment, self.sort_out) as guests:
            # What is said of the cases goes through take() only: a run of a test is no record yet.
            runners = case_runners(session, self.equipment, guests)
            with stage(session.events, self.name) as outcome:
                run_cases(cases, runners, take, expression)
                passed = sum(record.status == "pass" for record in records)
                outcome.detail = f"{passed} of {len(records)} runs pass"
            guests.report_strays()
        points = {test.name: test.points for test in self.listed.tests}
        found: Observed = {}
        for record in records:
            name = record.id.name
            found.setdefault(name, []).append(seen(record, points[name]))
        return found


def _equip(session: Session, reports: Reports) -> tuple[ComparedKernel, ComparedKernel]:
    """Builds both kernels and the selftests, which come from the bare base."""
    settings, data = session.settings, session.data
    bare = replace(settings, patches=0, variant="")
    base = replace(session, settings=bare, out=session.out / "base")
    base.out.mkdir()
    guests = at_once(settings.jobs)
    lists: list[SelftestList] = []

    def programs(here: Session, headers: Path, bare_base: Base) -> Suite:
        lists.append(load(data.folder, bare_base.line))
        for name in lists[0].libraries:
            provide(f"lib{name}", session.out / "setup.log", session.events)
        return build_suite(here.store, lists[0], bare_base, headers, settings.jobs)

    try:
        without = assemble_guest(base, programs, guests)
    except SeriesError as error:
        raise InvocationError(
            f"the bare base is broken already: {error.what}", evidence=error.evidence
        ) from error
    with_series = assemble_guest(session, lambda *_: without.suite, guests)
    listed = lists[0]

    def roomy(equipment: Equipment) -> Equipment:
        memory = max(equipment.spec.memory_mb, listed.memory_mb)
        append = f"{equipment.spec.extra_append} {listed.append}".strip()
        spec = replace(equipment.spec, memory_mb=memory, extra_append=append)
        return replace(equipment, spec=spec)

    judged = reports.of_series(complaints_of(with_series))
    return (
        ComparedKernel(base, roomy(without), reports.of_base, reports, "base", listed),
        ComparedKernel(session, roomy(with_series), judged, reports, "series", listed),
    )


def compare(
    listed: SelftestList, expression: str, base: Observe, series: Observe, events: ev.Events
) -> list[ev.CaseFinished]:
    """Runs the selftests on both kernels, what differs again on both; a record a test.

    Raises:
        MachineError: too few pass on the bare base for the comparison to say anything.
        HarnessError: whatever kept the tests from being run.
    """
    repeats = range(2, AGAIN + 2)
    # What is known to flap is judged by rates at once.
    cases = [
        case_of(test, listed.source, attempt)
        for test in listed.tests
        for attempt in (1, *(repeats if test.flaps else ()))
    ]
    without, with_series = base(cases, expression, False), series(cases, expression, False)
    runs = {
        name: SelftestRuns(said, with_series[name])
        for name, said in without.items()
        if name in with_series
    }
    failed = [
        f"{name}: {run.base[0].status}: {run.base[0].reason}"
        for name, run in runs.items()
        if not run.passes_on_base
    ]
    passed = len(runs) - len(failed)
    # A comparison of tests that fail everywhere finds no difference, and shows nothing.
    if not expression and passed < listed.floor:
        few = f"only {passed} selftests pass on the bare base, and {listed.floor} must"
        raise MachineError("\n".join((f"{few} for the comparison to say anything", *failed)))
    selected = [test for test in listed.tests if test.name in runs]
    again = [test for test in selected if runs[test.name].differ and not test.flaps]
    if again:
        names = ", ".join(test.name for test in again)
        events.emit(ev.Note(f"different in one run each, {AGAIN} more of both: {names}"))
        cases = [case_of(test, listed.source, attempt) for test in again for attempt in repeats]
        without, with_series = base(cases, "", True), series(cases, "", True)
        for name in (test.name for test in again):
            first, more = runs[name], (without[name], with_series[name])
            runs[name] = SelftestRuns([*first.base, *more[0]], [*first.series, *more[1]])
    records = [judge(test, runs[test.name], listed.clause) for test in selected]
    events.emit(ev.Note(summary(listed.tests, runs, records)))
    return records


def _regression(session: Session) -> None:
    reports = Reports(session.events)
    base, series = _equip(session, reports)
    listed, expression = base.listed, session.settings.tests or ""
    config = read_values(base.equipment.prepared.kernel.config)
    lacking = [(test, symbol) for test in listed.tests if (symbol := test.lacks(config))]
    able = replace(listed, tests=[test for test in listed.tests if not test.lacks(config)])
    try:
        records = compare(able, expression, base.observe, series.observe, session.events)
    finally:
        reports.emit()  # what the kernels said is not lost with what ended the comparison
    if not expression:
        records += [cannot_run(test, name, listed.clause) for test, name in lacking]
    for record in records:
        session.events.emit(record)
    decode_splats(session, series.equipment.prepared)


def test_regression(settings: Settings) -> int:
    """``make test-regression``: no difference is exit 0.

    Raises:
        InvocationError: PATCHES=0 would compare the base with itself.
    """
    if settings.patches == 0:
        raise InvocationError(
            "test-regression compares the series with the bare base, which is PATCHES=0",
            next_step="leave PATCHES= out, or give 1 and more",
        )
    if settings.kernel in known_kernels():
        load(settings.project, settings.kernel)  # before anything is built
    return run_session(settings, "test-regression", _regression).code
