# SPDX-License-Identifier: GPL-2.0-only
"""``make test-regression``: the kernel's own selftests, without the series and with it.

Two kernels, one run. What a test says on each is compared (``regression_judge.py``), and
becomes one record, which names the clause that the series gives for it. What the kernel
complains of counts where the bare base does not say it as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from harness.build.kconfig import read_values
from harness.cases.pool import GuestPool, at_once
from harness.cases.selection import run_cases
from harness.commands.selftests.build import build_suite, case_of
from harness.commands.selftests.judge import (
    AGAIN,
    SelftestRuns,
    cannot_run,
    judge,
    summary,
    to_repeat,
)
from harness.commands.selftests.table import FILE, Selftest, SelftestList, load, unmet
from harness.commands.selftests.tap import Seen, seen
from harness.core import events as ev
from harness.core.errors import InvocationError, MachineError, SeriesError
from harness.core.settings import Settings
from harness.core.stages import stage
from harness.image.programs import Case, Suite
from harness.run.equip import Equipment, booted, complaints_of, decode_splats, equip, labs_of
from harness.run.session import Session, run_session
from harness.series.base import Base, known_kernels
from harness.setup.on_demand import provide
from harness.vm.splats import Splat

ON_BASE = "the bare base says it"
Observed = dict[str, list[Seen]]  # the runs of each test, by its name


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

        def sort_out(splat: Splat) -> Splat:
            return replace(splat, foreign=ON_BASE) if splat.title in self.titles else judged(splat)

        return sort_out

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
    points: Mapping[str, str]  # test -> how its results are found

    def observe(self, cases: Sequence[Case], expression: str, again: bool = False) -> Observed:
        """Boots the kernel, runs the cases; what each test said, in order of its runs."""
        out = self.session.out / "again" if again else self.session.out
        out.mkdir(exist_ok=True)
        session = replace(self.session, out=out)
        records: list[ev.CaseFinished] = []

        def take(event: ev.Event) -> None:
            match event:
                case ev.CaseStarted():
                    pass
                case ev.CaseFinished():
                    records.append(event)
                    done = ev.StageProgress(
                        self.name, len(records), len(cases), "tests", str(event.id)
                    )
                    session.events.emit(done)
                case ev.SplatSeen():
                    self.reports.waiting.append(event)
                case _:
                    session.events.emit(event)

        with booted(session, self.equipment, self.sort_out) as guests:
            # What is said of the cases goes through take() only: a run of a test is no record yet.
            pool = GuestPool(take, labs_of(session, self.equipment, guests))
            with stage(session.events, self.name) as outcome:
                run_cases(cases, pool, expression, session.data.folder)
                passed = sum(record.status == "pass" for record in records)
                outcome.detail = f"{passed} of {len(records)} runs pass"
            guests.report_strays()
        found: Observed = {}
        for record in records:
            name = record.id.name
            found.setdefault(name, []).append(seen(record, self.points[name]))
        return found


def _cases(tests: Sequence[Selftest], source: Path, repeated: bool) -> list[Case]:
    """A case for each run: one a test, and those by which rates are judged."""
    made = []
    for test in tests:
        first = [] if repeated else [case_of(test, source)]
        more = range(2, AGAIN + 2) if repeated or test.flaps else ()
        made += first + [case_of(test, source, attempt) for attempt in more]
    return made


def _paired(base: Observed, series: Observed) -> dict[str, SelftestRuns]:
    """The first round: one run of each, and the further ones of what is known to flap."""
    return {
        name: SelftestRuns(first[0], series[name][0], tuple(first[1:]), tuple(series[name][1:]))
        for name, first in base.items()
        if name in series
    }


def _equip(
    session: Session, reports: Reports
) -> tuple[SelftestList, ComparedKernel, ComparedKernel]:
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
        return build_suite(
            here.store,
            lists[0],
            bare_base,
            headers,
            settings.jobs,
            data.folder / FILE,
        )

    try:
        without = equip(base, programs, guests)
    except SeriesError as error:
        raise InvocationError(
            f"the bare base is broken already: {error.what}", evidence=error.evidence
        ) from error
    with_series = equip(session, lambda *_: without.suite, guests)
    listed = lists[0]
    points = {test.name: test.points for test in listed.tests}
    judged = reports.of_series(complaints_of(with_series))
    return (
        listed,
        ComparedKernel(base, _roomy(without, listed), reports.of_base, reports, "base", points),
        ComparedKernel(session, _roomy(with_series, listed), judged, reports, "series", points),
    )


def _roomy(equipment: Equipment, listed: SelftestList) -> Equipment:
    """With the memory and the words on the command line that the selftests ask for."""
    spec = equipment.spec
    memory = max(spec.memory_mb, listed.memory_mb)
    append = f"{spec.extra_append} {listed.append}".strip()
    return replace(equipment, spec=replace(spec, memory_mb=memory, extra_append=append))


class Observer(Protocol):
    """One of the two kernels, as far as comparing needs it."""

    def observe(self, cases: Sequence[Case], expression: str, again: bool = False) -> Observed:
        """Runs the cases that ``expression`` selects; each test's runs, in order."""


def compare(
    listed: SelftestList,
    source: Path,
    expression: str,
    base: Observer,
    series: Observer,
    events: ev.Events,
) -> tuple[ev.CaseFinished, ...]:
    """Runs the selftests on both kernels, what differs again on both; a record a test.

    Raises:
        MachineError: too few pass on the bare base for the comparison to say anything.
        HarnessError: whatever kept the tests from being run.
    """
    cases = _cases(listed.tests, source, repeated=False)
    first = base.observe(cases, expression)
    runs = _paired(first, series.observe(cases, expression))
    _check_floor(listed, runs, expression)
    again = [test for test in to_repeat(listed.tests, runs) if not test.flaps]
    if again:
        names = ", ".join(test.name for test in again)
        events.emit(ev.Note(f"different in one run each, {AGAIN} more of both: {names}"))
        cases = _cases(again, source, repeated=True)
        before, after = (kernel.observe(cases, "", again=True) for kernel in (base, series))
        for test in again:
            runs[test.name] = replace(
                runs[test.name],
                base_again=tuple(before[test.name]),
                series_again=tuple(after[test.name]),
            )
    records = [judge(t, runs[t.name], listed.clause) for t in listed.tests if t.name in runs]
    events.emit(ev.Note(summary(listed.tests, runs, records)))
    return tuple(records)


def _regression(session: Session) -> None:
    reports = Reports(session.events)
    listed, base, series = _equip(session, reports)
    source = session.data.folder / FILE
    expression = session.settings.tests
    config = read_values(base.equipment.prepared.kernel.config)
    lacking = [test for test in listed.tests if unmet(test, config)]
    able = replace(listed, tests=tuple(test for test in listed.tests if test not in lacking))
    try:
        records = compare(able, source, expression, base, series, session.events)
    finally:
        reports.emit()  # what the kernels said is not lost with what ended the comparison
    for record in records:
        session.events.emit(record)
    for test in () if expression else lacking:
        session.events.emit(cannot_run(test, unmet(test, config), listed.clause))
    decode_splats(session, series.equipment.prepared)


def _check_floor(listed: SelftestList, runs: dict[str, SelftestRuns], expression: str) -> None:
    """A comparison of tests that fail everywhere finds no difference, and shows nothing.

    Raises:
        MachineError: too few of a complete run pass on the bare base.
    """
    passed = [name for name, r in runs.items() if any(s.status == "pass" for s in r.all_base)]
    if not expression and len(passed) < listed.floor:
        failed = "\n".join(
            f"{name}: {r.base.status}: {r.base.reason}"
            for name, r in runs.items()
            if name not in passed
        )
        raise MachineError(
            f"only {len(passed)} selftests pass on the bare base, and {listed.floor} must for the "
            f"comparison to say anything\n{failed}"
        )


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
