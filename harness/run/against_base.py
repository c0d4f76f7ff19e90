# SPDX-License-Identifier: GPL-2.0-only
"""What fails in a workload is run on the bare base too: what was broken before excuses itself.

So is what fails of the cases of a series that this one stands on, which is part of the base. A
workload's record that passes is emitted at once. One that does not, and what the kernel said
in a workload, wait until the base has had its say. What differs in one run of each is run
again on both, as often as the time for it allows, and then rates count (``workloads/judge.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.cases.outcome import COMPLAINED
from harness.cases.pool import at_once
from harness.core import events as ev
from harness.core.errors import HarnessError
from harness.core.stages import stage
from harness.core.words import counted
from harness.image.programs import Case
from harness.run.assemble_guest import Equipment, assemble_guest, complaints_of
from harness.run.session import Session
from harness.run.two_kernels import ON_BASE, ComparedKernel, Observed, Reports
from harness.workloads import kunit
from harness.workloads.judge import AGAIN, Seen, SelftestRuns, alone, excused, seen, without_known
from harness.workloads.regression_selftests import Selftest

STAGE = "base"
BROKEN_BY_THIS = "broken by this series, without it passes"
AGAIN_S = 120.0  # for the repetitions of one test on one kernel
FEWEST = 5  # repetitions that can tell: five of five against none of five


@dataclass
class WorkloadRecords:
    """Hears what is said of cases, and keeps what the base must have its say on.

    ``tests``: the workloads, by the texts of their cases' ids; ``below``: such texts of the
    cases of a series below; ``patches_run``: which patches a workload ran lines of, in words.
    """

    events: ev.Events
    tests: Mapping[str, Selftest]
    below: Collection[str] = ()
    patches_run: Callable[[ev.CaseId], str] = field(default=lambda _: "")
    broken: list[tuple[ev.CaseFinished, Seen]] = field(default_factory=list)
    splats: list[ev.SplatSeen] = field(default_factory=list)

    def take(self, event: ev.Event) -> None:
        """Emits an event, or keeps it."""
        case = str(event.id if isinstance(event, ev.CaseFinished) else getattr(event, "test", ""))
        if case not in self.tests and case not in self.below:
            self.events.emit(event)
        elif isinstance(event, ev.CaseFinished):
            run = seen(event, self.tests[case].points if case in self.tests else "")
            record = alone(event, run)
            if record.status in ev.BROKEN:
                self.broken.append((record, run))
            else:
                self.events.emit(record)
        elif isinstance(event, ev.SplatSeen):
            self.splats.append(event)
        else:
            self.events.emit(event)

    @property
    def waiting(self) -> list[str]:
        """The ids of the cases that are to be run on the base."""
        own = {name for name, test in self.tests.items() if test.own}
        ids = [t for record, _ in self.broken if (t := str(record.id)) not in own]
        counting = (s for s in self.splats if not s.expected and not s.foreign)
        return list(dict.fromkeys([*ids, *(str(splat.test) for splat in counting)]))

    def emit(self, base: Observed, again: Mapping[str, SelftestRuns], titles: set[str]) -> None:
        """Emits what waited, judged by what the bare base said; ``titles``: its complaints."""
        counting = {s.test: False for s in self.splats}  # case -> whether one counts
        for splat in self.splats:
            known = not splat.foreign and splat.title in titles
            counting[splat.test] |= not (known or splat.foreign or splat.expected)
            self.events.emit(replace(splat, foreign=ON_BASE) if known else splat)
        for record, run in self.broken:
            name = str(record.id)
            if not counting.get(record.id, True) and record.reason.startswith(COMPLAINED):
                reason = f"on the bare base too: {record.reason}"
                self.events.emit(replace(record, status="skip", reason=reason))
                continue
            there = base.get(name)
            runs = again.get(name) or (SelftestRuns(there, [run]) if there else None)
            if runs:  # a complaint counts whatever the base's results are
                judged = without_known if counting.get(record.id) else excused
                record = judged(record, runs)
            if name in self.below and record.status in ev.BROKEN and runs and runs.passes_on_base:
                record = replace(record, reason=f"{BROKEN_BY_THIS}: {record.reason}")
            if record.status in ev.BROKEN and name in self.tests:
                said = filter(None, [self.patches_run(record.id)])
                record = replace(record, diagnostics=(*record.diagnostics, *said))
            self.events.emit(record)


def settle(session: Session, equipment: Equipment, records: WorkloadRecords) -> None:
    """The stage base, where something failed: runs that on the bare base, and emits the records.

    That the base cannot be run is said, and excuses nothing.
    """
    waiting = set(records.waiting)
    cases = [case for case in equipment.suite.cases if str(case.id) in waiting]
    base: Observed = {}
    again: dict[str, SelftestRuns] = {}
    reports = Reports(session.events)
    try:
        if cases and equipment.prepared.applied.patches:
            with stage(session.events, STAGE) as outcome:
                tests = list(records.tests.values())
                kernel = _base(session, equipment, reports, tests)
                base = kernel.observe(cases, "")
                again = _repeated(session, equipment, kernel, tests, records, base)
                outcome.detail = f"{counted(len(cases), 'case')}, {len(again)} of them repeated"
    except HarnessError as error:
        session.events.emit(ev.Note(f"not compared with the bare base: {error.what}", "warning"))
    finally:
        records.emit(base, again, reports.titles)  # after an interrupt too


def _quiet(events: ev.Events) -> ev.Events:
    """Of the base's own stages only how far they are: the run's results are of the series."""

    def progress(event: ev.Event) -> None:
        if isinstance(event, ev.StageProgress):
            events.emit(replace(event, name=STAGE))

    return ev.Events([progress])


def _base(
    session: Session, equipment: Equipment, reports: Reports, tests: Sequence[Selftest]
) -> ComparedKernel:
    bare = replace(session.settings, patches=0, variant=None, fix=None, dump=False)
    out = session.out / STAGE
    out.mkdir(exist_ok=True)
    here = replace(
        session, settings=bare, events=_quiet(session.events), out=out,
        known=replace(session.known),
    )  # fmt: skip
    guests = at_once(bare.jobs)
    assembled = assemble_guest(here, lambda *_: equipment.suite, guests)
    return ComparedKernel(here, assembled, reports.of_base, reports, STAGE, tests)


def to_repeat(
    records: WorkloadRecords, all_cases: Sequence[Case], first: Observed
) -> tuple[list[Case], dict[str, SelftestRuns]]:
    """What failed here and not there, of ``first``: as cases, each many times, and its runs so far.

    None of what complained, nor of what a KUnit suite said at boot: that is the same however
    often the kernel's log is read.
    """
    complained = {str(splat.test) for splat in records.splats if not splat.expected}
    by_id = {str(case.id): case for case in all_cases}
    cases: list[Case] = []
    known: dict[str, SelftestRuns] = {}
    for record, run in records.broken:
        name = str(record.id)
        said = first.get(name)
        if not said or name in complained or record.id.program == kunit.GROUP:
            continue
        runs = SelftestRuns(said, [run])
        # Cases do not vary as workloads do, and many may fail; what was lost, or hung, took longer
        # than it takes, and may do so by chance: one of four runs of the stressor procfs did.
        most, seconds = AGAIN, run.seconds
        if name in records.below or seconds * FEWEST > AGAIN_S:
            most, seconds = FEWEST, said[0].seconds
        times = min(most, int(AGAIN_S / max(seconds, 0.1)))
        if excused(record, runs).status in ev.BROKEN and times >= FEWEST:
            known[name] = runs
            case = by_id[name]
            cases += [replace(case, id=replace(case.id, attempt=n)) for n in range(2, times + 2)]
    return cases, known


def _repeated(
    session: Session,
    equipment: Equipment,
    base: ComparedKernel,
    tests: Sequence[Selftest],
    records: WorkloadRecords,
    first: Observed,
) -> dict[str, SelftestRuns]:
    """The runs of what failed here and not there, many times on both."""
    cases, known = to_repeat(records, equipment.suite.cases, first)
    if not cases:
        return {}
    quiet = replace(session, events=base.session.events)
    # Not watched for the change any more: that is concluded, and the marks would stay.
    equipment = replace(equipment, spec=replace(equipment.spec, watch=None))
    series = ComparedKernel(quiet, equipment, complaints_of(equipment), base.reports, STAGE, tests)
    without, with_series = base.observe(cases, "", True), series.observe(cases, "", True)
    return {
        name: SelftestRuns([*runs.base, *without[name]], [*runs.series, *with_series[name]])
        for name, runs in known.items()
    }
