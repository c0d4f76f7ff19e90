# SPDX-License-Identifier: GPL-2.0-only
"""``make test-regression``: the kernel's own selftests, without the series and with it.

Two kernels, one run. What a test says on each is compared (``workloads/judge.py``), and becomes one
record, which names the clause that the series gives for it. What the kernel complains of
counts where the bare base does not say it as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from harness.build.fragments import read_values
from harness.cases.pool import at_once
from harness.core import events as ev
from harness.core.errors import MachineError
from harness.core.settings import Settings
from harness.image.programs import Case, Suite
from harness.run.assemble_guest import Equipment, complaints_of, decode_splats
from harness.run.session import Session, run_session
from harness.run.two_kernels import ComparedKernel, Observed, Reports, assemble_both
from harness.series.base import Base
from harness.series.kernels import known_kernels
from harness.setup.on_demand import provide
from harness.workloads.judge import AGAIN, SelftestRuns, cannot_run, judge, summary
from harness.workloads.regression_selftests import SelftestList, case_of, load
from harness.workloads.suite import selftest_suite

# Runs on one kernel those of some cases that an expression selects, or if again, all of them.
Observe = Callable[[Sequence[Case], str, bool], Observed]


def _equip(
    session: Session, reports: Reports
) -> tuple[SelftestList, ComparedKernel, ComparedKernel]:
    """Builds both kernels and the selftests, which come from the bare base."""
    settings, data = session.settings, session.data
    lists: list[SelftestList] = []

    def programs(here: Session, headers: Path, bare_base: Base) -> Suite:
        lists.append(load(data.folder, bare_base.line))
        for name in lists[0].row.libraries:
            provide(f"lib{name}", session.out / "setup.log", session.events)
        return selftest_suite(here.store, lists[0], bare_base, headers, settings.jobs)

    base, without, with_series = assemble_both(session, programs, at_once(settings.jobs))
    listed = lists[0]

    def roomy(equipment: Equipment) -> Equipment:
        memory = max(equipment.spec.memory_mb, listed.row.memory_mb)
        append = f"{equipment.spec.extra_append} {listed.row.append}".strip()
        spec = replace(equipment.spec, memory_mb=memory, extra_append=append)
        return replace(equipment, spec=spec)

    judged = reports.of_series(complaints_of(with_series))
    return (
        listed,
        ComparedKernel(base, roomy(without), reports.of_base, reports, "base", listed.tests),
        ComparedKernel(session, roomy(with_series), judged, reports, "series", listed.tests),
    )


def compare(
    listed: SelftestList, expression: str, base: Observe, series: Observe, events: ev.Events
) -> list[ev.CaseFinished]:
    """Runs the selftests on both kernels, what differs again on both; a record a test.

    Raises:
        MachineError: too few pass on the bare base for the comparison to say anything.
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
    listed, base, series = _equip(session, reports)
    expression = session.settings.tests or ""
    config = read_values(base.equipment.prepared.kernel.config.path)
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
    """``make test-regression``: no difference is exit 0."""
    settings.refuse_bare_base("test-regression")
    if settings.kernel in known_kernels():
        load(settings.project, settings.kernel)  # before anything is built
    return run_session(settings, "test-regression", _regression).code
