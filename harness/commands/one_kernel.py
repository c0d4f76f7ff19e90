# SPDX-License-Identifier: GPL-2.0-only
"""The commands on one kernel: test-kernel, list-tests, shell, selftest-detectors."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from harness.build.debuginfo import build_debug
from harness.build.fragments import read_values
from harness.cases.host_checks import load_checks, run_check
from harness.cases.pool import at_once
from harness.cases.repeats import repeat, repeat_broken
from harness.cases.runner import CaseRunner
from harness.cases.selection import run_cases
from harness.core import events as ev
from harness.core.errors import SeriesError
from harness.core.settings import CASES, TOUCHED, TOUCHED_ONLY, Settings
from harness.core.stages import stage
from harness.core.words import counted
from harness.detectors import canaries, soundness
from harness.detectors.canaries import load_canaries, run_canaries
from harness.image.programs import Case
from harness.report import ktap_out
from harness.run.against_base import WorkloadRecords, settle
from harness.run.assemble_guest import (
    Equipment,
    assemble_guest,
    booted,
    case_runners,
    decode_splats,
    look_for_leaks,
)
from harness.run.change import ChangeWatch, watch_change
from harness.run.main_suite import MainSuite, planned
from harness.run.pipeline import base_stage, change_stage, series_stage
from harness.run.session import RunResult, Session, run_session
from harness.run.touched import touched_cases
from harness.setup.on_demand import provide
from harness.vm.serial_dialogue import SerialDialogue
from harness.vm.ssh import login_shell
from harness.workloads.choose import kinds_of
from harness.workloads.regression_selftests import RUNNER, case_of

NO_WORKLOAD = "no workload: nothing calls the change; RUN= or WORKLOADS= names one"


def test_kernel(settings: Settings) -> int:
    """``make test-kernel``: every stage, one verdict; KTAP= prints the results as KTAP as well."""
    result = run_kernel(settings)
    if settings.ktap:
        sys.stdout.write(ktap_out.run(result.document))
    return result.code


def run_kernel(settings: Settings) -> RunResult:
    """The run of ``make test-kernel``, which other commands make for each of their states."""
    return run_session(settings, "test-kernel", _tests)


def _tests(session: Session) -> None:
    main = MainSuite()
    equipment = assemble_guest(session, main.programs, at_once(session.settings.jobs))
    change_stage(session, equipment.prepared)
    proven = canaries.known(session.store, equipment.prepared.kernel)
    session.results.events.extend(proven)
    session.events.emit(ev.Note(canaries.sentence(proven)))
    tests = {str(case_of(test, RUNNER).id): test for test in main.tests}
    data = session.data
    cases = (case for case in equipment.suite.cases if data.owner(case.program.source) is not data)
    below = frozenset(str(case.id) for case in cases)
    equipment, change = watch_change(session, equipment)
    records = WorkloadRecords(session.events, tests, below)
    if change is not None:
        records.patches_run = change.patches_run
    try:
        try:
            config = _in_guests(session, equipment, records, change)
        except BaseException:
            records.emit({}, {}, set())  # what ends the run early loses no record
            raise
        if change is not None:
            change.conclude()
        settle(session, equipment, records)
        _soundness(session, equipment, config)
    except SeriesError:
        decode_splats(session, equipment.prepared)  # what kept it from booting
        raise
    decode_splats(session, equipment.prepared)


def _in_guests(
    session: Session,
    equipment: Equipment,
    workloads: WorkloadRecords,
    change: ChangeWatch | None,
) -> dict[str, str]:
    """Runs all cases on the kernel under test; the values of its configuration."""
    with booted(session, equipment) as guests:
        observe = () if change is None else (change.observe,)
        runners = case_runners(session, equipment, guests, *observe)
        with stage(session.events, "tests") as outcome:
            _host_checks(session, equipment, runners[0])
            if equipment.suite.cases:
                _cases(session, equipment, runners, workloads)
            else:
                session.events.note(NO_WORKLOAD)
            ended = len(session.results.all(ev.CaseFinished)) + len(workloads.broken)
            outcome.detail = counted(ended, "case")
        _repeats(session, equipment, runners[0])
        config = read_values(equipment.prepared.kernel.config.path)
        look_for_leaks(session, guests, config)
        guests.report_strays()
    return config


def _cases(
    session: Session,
    equipment: Equipment,
    runners: Sequence[CaseRunner],
    workloads: WorkloadRecords,
) -> None:
    """Runs the cases that TESTS= selects; those first that reach an edit, where that is asked."""
    settings = session.settings
    cases: Sequence[Case] = equipment.suite.cases
    touched = settings.tests in (TOUCHED, TOUCHED_ONLY)
    expression = "" if touched else settings.tests or ""
    if touched or (settings.touched_first and not (settings.tests or settings.only)):
        first = touched_cases(session, equipment.prepared, cases)
        left = [case for case in cases if case not in first.cases]
        session.events.note(f"touched: {len(first.cases)} of {len(cases)} cases; {first.why}")
        if not first.all and first.cases:
            with stage(session.events, TOUCHED) as outcome:
                run_cases(first.cases, runners, workloads.take, "", (), settings.maxfail,
                          in_order=True)  # fmt: skip
                broken = len(session.results.failures()) + len(workloads.broken)
                outcome.detail = f"{counted(len(first.cases), 'case')}, {broken} broken"
            cases = left
        if settings.tests == TOUCHED_ONLY and not first.all:
            session.events.note(f"{counted(len(left), 'case')} left out, which cannot reach it")
            return
        if not cases or session.stopped:
            return
    run_cases(cases, runners, workloads.take, expression, settings.only, settings.maxfail)


def _host_checks(session: Session, equipment: Equipment, runner: CaseRunner) -> None:
    """Host checks run with every complete run; TESTS= takes guest cases."""
    if session.settings.tests:
        return
    tree, bases = equipment.prepared.applied, equipment.prepared.base.chain
    for data, base in zip(session.data.chain, bases, strict=False):
        for item in load_checks(data.folder):
            record = runner.not_applicable(item.id, item.clauses, item.about)
            seen = replace(tree, base=base.commit)  # each against what its own series stands on
            session.events.emit(record or run_check(item, seen))


def _repeats(session: Session, equipment: Equipment, runner: CaseRunner) -> None:
    """Broken cases again, or with ``every`` all of them: how often each passes."""
    settings, cases = session.settings, equipment.suite.cases
    if not settings.repeat:
        return
    with stage(session.events, "repeats") as outcome:
        if settings.every:
            records = session.results.all(ev.CaseFinished)
            ran = {record.id for record in records if record.status in ev.RAN}
            for case in (case for case in cases if case.id in ran):
                repeat(case, runner, settings.repeat, session.events)
        else:
            repeat_broken(cases, session.results, runner, settings.repeat, session.events)
        outcome.detail = f"{len(session.results.all(ev.CaseRepeated))} cases"


def _soundness(session: Session, equipment: Equipment, config: dict[str, str]) -> None:
    """What the kernel's checkers say of a complete run is a record of its own."""
    data, applied = session.data, len(equipment.prepared.applied.patches)
    if session.settings.tests or not data.sound or not data.applicable(data.sound, applied):
        return
    if session.stopped:
        return
    flavour = equipment.prepared.kernel.config.name
    session.events.emit(soundness.record(data.sound, config, session.results, flavour))


def list_tests(session: Session) -> None:
    """``make list-tests``: every case with its clauses and its claim, every workload with why.

    Of a foreign series nothing is built for that.
    """
    settings = session.settings
    if settings.series or settings.run or settings.workloads:
        series_stage(session, base_stage(session))
    kinds, listed = kinds_of(settings, session.data), Counter[str]()
    for kind, name, why in planned(session, kinds):
        session.console.print(f"{name}\n    {why}", soft_wrap=True, markup=False)
        listed[kind] += 1
    for case in assemble_guest(session).suite.cases if CASES in kinds else ():
        session.console.print(f"{case.id}  {' '.join(case.clauses)}", soft_wrap=True)
        session.console.print(f"    {case.about}", soft_wrap=True, markup=False)
        listed[CASES] += 1
    found = ", ".join(f"{kind} {count}" for kind, count in listed.items())
    session.events.note(f"what test-kernel would run: {found}" if found else NO_WORKLOAD)


def shell(session: Session) -> None:
    """``make shell``: an interactive shell in the built kernel."""
    if not session.settings.console:
        provide("shell", session.out / "setup.log", session.events)
    equipment = assemble_guest(session)
    if session.settings.debug:
        debug = build_debug(equipment.prepared.tree, equipment.prepared.kernel)
        gdb = str(session.out / "gdb")
        equipment = replace(equipment, spec=replace(equipment.spec, gdb=gdb))
        session.console.print(f"gdb {debug.vmlinux} -ex 'target remote {gdb}'", soft_wrap=True)
    with booted(session, equipment) as guests:
        session.console.print(f"console: {session.out / 'console.log'}", soft_wrap=True)
        first = guests.first
        if session.settings.console:
            session.console.print("the serial console; Ctrl-], exit or Ctrl-D ends the guest")
            with SerialDialogue(first.console) as line:
                line.interact(sys.stdin.fileno(), sys.stdout)
        else:
            session.console.print("exit or Ctrl-D ends the guest")
            login_shell(first.qemu.port, first.keys, first.spec.host_key)
        guests.report_strays()


def selftest_detectors(session: Session) -> None:
    """``make selftest-detectors``: provoke each failure on this very kernel."""
    # As the cases run, so do the canaries.
    equipment = assemble_guest(session, guests=at_once(session.settings.jobs))
    config = read_values(equipment.prepared.kernel.config.path)
    with booted(session, equipment) as guests, stage(session.events, "canaries") as outcome:
        found = run_canaries(guests.fresh, session.events, config, load_canaries())
        outcome.detail = f"{sum(canary.ok for canary in found)} of {len(found)} seen"
    canaries.keep(session.store, equipment.prepared.kernel, found)
