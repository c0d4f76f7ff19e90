# SPDX-License-Identifier: GPL-2.0-only
"""``make revision``: a verdict on a revision of a series, patch by patch.

The bare base, each state of the series and, where PREVIOUS= names one, the whole
previous revision are runs of their own. What is broken on the base is not blamed on
a patch, and a case that is flaky is measured on both kernels. The outcome lies in
``out/revision-<time>/``.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from harness.commands.revision.inputs import Inputs, read_inputs
from harness.commands.revision.page import write
from harness.commands.revision.previous_findings import to_try
from harness.commands.revision.reply import NOTES_REF, reply, write_notes
from harness.commands.revision.verdict import FLAKY_RUNS, RevisionRuns, conclude
from harness.commands.static_checks import open_remarks
from harness.core.errors import InvocationError
from harness.core.events import CaseId
from harness.core.jsondata import read_kept
from harness.core.settings import Settings
from harness.report import ktap_out
from harness.report.files import point_latest
from harness.report.mutants import FILE as MUTANTS
from harness.report.mutants import MutantsDocument
from harness.report.screen import test_expression
from harness.run.session import INTERRUPTED, RunKernel
from harness.run.states import every_state, run_state, table
from harness.run.verdict import JUDGED

NO_MUTANT = (*JUDGED, InvocationError.exit_code)  # exit statuses without mutants.json
REPEAT = 5  # times that a broken case is run again, where REPEAT= does not say


def revision(
    settings: Settings, run: RunKernel, look: RunKernel, mutate: RunKernel, console: Console
) -> int:
    """Runs and judges a revision, prints the table and writes its files; the exit status.

    Args:
        run: makes the run of a state, ``look`` that of the static checkers, ``mutate`` that
            of the mutants.

    Raises:
        InvocationError, SeriesError, MachineError: see ``read_inputs``.
    """
    inputs = read_inputs(settings)
    repeat = REPEAT if settings.repeat is None else settings.repeat
    settings = replace(settings, repeat=repeat, ref=inputs.ref or settings.ref, touched_first=True)
    console.print(f"base: {inputs.base}\n      {inputs.why}", markup=False)
    states = list(every_state(settings, run, inputs.subjects, console))
    steps = [state.document for state in states]
    runs = RevisionRuns(steps, score=settings.score)
    # A run that the invocation, the machine or the harness ended compares with nothing.
    if len(steps) == len(inputs.patches) + 1 and all(s["exit_code"] in JUDGED for s in steps):
        _compare(runs, settings, inputs, run, look, console)
        _mutate(runs, settings, mutate, console)
    whole = conclude(inputs, runs)
    out = settings.out / f"revision-{steps[-1]['run']}"
    write(whole, runs, out, settings.asked())
    point_latest(out)
    if settings.notes:
        count = write_notes(Path(settings.kernel).expanduser(), inputs, whole)
        console.print(f"{count} notes: git log --notes={NOTES_REF}", markup=False)
    console.print()
    console.print(table(states))
    console.print("\n" + reply(whole), markup=False, soft_wrap=True)
    console.print(f"results: {out}", markup=False)
    if settings.ktap:
        names = [f"{step.patches} {step.subject}" for step in whole.steps]
        good = [not (step.error or (step.patches and step.bad)) for step in whole.steps]
        sys.stdout.write(ktap_out.states(list(zip(names, good, steps, strict=True))))
    return whole.exit_code


def _compare(
    runs: RevisionRuns,
    settings: Settings,
    inputs: Inputs,
    run: RunKernel,
    look: RunKernel,
    console: Console,
) -> None:
    """Adds the previous revision, the static checkers, and flaky cases, many times."""
    earlier = replace(settings, series=settings.previous)
    if settings.previous:
        heading = f"the previous revision: {settings.previous}"
        runs.previous = run_state(run, earlier, console, heading).document
        if cases := to_try(runs.previous, runs.steps[-1]):
            asked = _many_times(settings, cases)
            heading = f"what failed in the previous revision, {FLAKY_RUNS} times"
            tried = run_state(run, asked, console, heading).document
            runs.tried = None if tried["error"] else tried
    if settings.statics:  # they may be missing on this machine
        heading = "checkpatch, sparse and kernel-doc"
        runs.statics = open_remarks(run_state(look, settings, console, heading).out)
    for state, cases in runs.to_repeat().items():
        where = "the previous revision" if state is None else inputs.name_of(state)
        kernel = earlier if state is None else replace(settings, patches=state)
        asked = _many_times(kernel, cases)
        heading = f"flaky cases, {FLAKY_RUNS} times on: {where}"
        document = run_state(run, asked, console, heading).document
        if not document["error"]:
            runs.again[state] = document


def _many_times(settings: Settings, cases: tuple[str, ...]) -> Settings:
    """A run of these cases alone, each FLAKY_RUNS times."""
    tests = " or ".join(test_expression(CaseId.parse(case)) for case in cases)
    return replace(settings, tests=tests, only=cases, repeat=FLAKY_RUNS - 1, every=True)


def _mutate(runs: RevisionRuns, settings: Settings, mutate: RunKernel, console: Console) -> None:
    """Adds the mutants of each patch of the whole series, where MUTANTS= asks for some."""
    if settings.mutants is None:
        return
    asked = replace(settings, sample=settings.mutants, each_patch=True, repeat=None)
    heading = f"{settings.mutants} mutants of each patch"
    result = run_state(mutate, asked, console, heading)
    runs.mutants = read_kept(MutantsDocument, result.out / MUTANTS)
    if runs.mutants is None:
        runs.mutants_error = tuple(result.document["error"]) or (f"exit {result.code}",)
    # That there is none, or that some survive, is no end of a run.
    if result.code == INTERRUPTED or (runs.mutants is None and result.code not in NO_MUTANT):
        runs.mutants_code = result.code
