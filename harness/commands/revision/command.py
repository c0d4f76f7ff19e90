# SPDX-License-Identifier: GPL-2.0-only
"""``make revision``: a verdict on a revision of a series, patch by patch.

The bare base, each state of the series and, where PREVIOUS= names one, the whole
previous revision are runs of their own. What is broken on the base is not blamed on
a patch, and a case that is flaky is measured on both kernels. The outcome lies in
``out/revision-<time>/``.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console

from harness.commands.each_patch import SeriesState, every_state, table
from harness.commands.revision import flaky, git_notes
from harness.commands.revision.files import write
from harness.commands.revision.inputs import Inputs, read_inputs
from harness.commands.revision.reply import reply
from harness.commands.revision.verdict import RevisionRuns, conclude
from harness.commands.static_checks.remarks import OpenRemarks, open_remarks
from harness.core.events import CaseId
from harness.core.settings import Settings
from harness.report import ktap_out
from harness.report.files import point_latest
from harness.report.results import RunDocument
from harness.report.summary import test_expression
from harness.run.session import JUDGED, RunKernel

REPEAT = 5  # times that a broken case is run again, where REPEAT= does not say


@dataclass
class Runner:
    """Makes the runs of one revision and keeps their results."""

    settings: Settings
    inputs: Inputs
    run: RunKernel
    console: Console
    steps: list[RunDocument] = field(default_factory=list)
    states: list[SeriesState] = field(default_factory=list)
    previous: RunDocument | None = None
    again: dict[int | None, list[RunDocument]] = field(default_factory=dict)
    statics: OpenRemarks = field(default_factory=dict)

    def every_state(self) -> None:
        """The base and each patch, until no more can be said."""
        names = self.inputs.subjects
        for state, result in every_state(self.settings, self.run, names, self.console):
            self.states.append(state)
            self.steps.append(result.document)

    def the_text(self, look: RunKernel) -> None:
        """What the static checkers say of each patch; they may be missing on this machine."""
        self.console.print("\ncheckpatch, sparse and kernel-doc", markup=False)
        self.statics = open_remarks(look(self.settings).out)

    @property
    def fine(self) -> bool:
        """Whether no run was ended by the invocation, the machine or the harness."""
        whole = len(self.steps) == len(self.inputs.patches) + 1
        return whole and all(step["exit_code"] in JUDGED for step in self.steps)

    def the_previous_one(self) -> None:
        """The whole previous revision, where there is one and the comparison can be made."""
        if not self.settings.previous or not self.fine:
            return
        self.console.print(f"\nthe previous revision: {self.settings.previous}", markup=False)
        self.previous = self.run(self._before()).document

    def _before(self) -> Settings:
        return replace(self.settings, series=self.settings.previous)

    def flaky_ones(self) -> None:
        """Each flaky case many times, on every kernel where it is flaky and on its yardstick."""
        if not self.fine:
            return
        wanted: dict[int | None, list[str]] = {}
        sticks = self.runs.yardsticks
        for count, document in enumerate(self.steps[1:], 1):
            for case in flaky.flaky_cases(document):
                against, where = sticks.yardstick(case)
                if against:
                    wanted.setdefault(count, []).append(case)
                    wanted.setdefault(where, []).append(case)
        for state, cases in wanted.items():
            self._repeat(state, tuple(dict.fromkeys(cases)))

    def _repeat(self, state: int | None, cases: tuple[str, ...]) -> None:
        where = "the previous revision" if state is None else self.inputs.name_of(state)
        self.console.print(f"\nflaky cases, {flaky.RUNS} times on: {where}", markup=False)
        settings = self._before() if state is None else replace(self.settings, patches=state)
        tests = " or ".join(test_expression(CaseId.parse(case)) for case in cases)
        asked = replace(settings, tests=tests, only=cases, repeat=flaky.RUNS - 1, every=True)
        document = self.run(asked).document
        if not document["error"]:
            self.again.setdefault(state, []).append(document)

    @property
    def runs(self) -> RevisionRuns:
        """All results so far."""
        return RevisionRuns(tuple(self.steps), self.previous, self.again, self.statics)


def revision(settings: Settings, run: RunKernel, look: RunKernel, console: Console) -> int:
    """Runs and judges a revision, prints the table and writes its files; the exit status.

    Args:
        run: makes the run of a state, and ``look`` that of the static checkers.

    Raises:
        InvocationError, SeriesError, MachineError: see ``read_inputs``.
    """
    inputs = read_inputs(settings)
    repeat = REPEAT if settings.repeat is None else settings.repeat
    settings = replace(settings, repeat=repeat, ref=inputs.ref or settings.ref)
    console.print(f"base: {inputs.base}\n      {inputs.why}", markup=False)
    runner = Runner(settings, inputs, run, console)
    runner.every_state()
    runner.the_previous_one()
    if runner.fine and settings.statics:
        runner.the_text(look)
    runner.flaky_ones()
    whole = conclude(inputs, runner.runs)
    out = settings.out / f"revision-{runner.steps[-1]['run']}"
    write(whole, runner.runs, out, settings.asked())
    point_latest(out)
    if settings.notes:
        count = git_notes.write(Path(settings.kernel).expanduser(), inputs, whole)
        console.print(f"{count} notes: git log --notes={git_notes.REF}", markup=False)
    console.print()
    console.print(table(runner.states))
    console.print("\n" + reply(whole), markup=False, soft_wrap=True)
    console.print(f"results: {out}", markup=False)
    if settings.ktap:
        sys.stdout.write(ktap_out.revision(whole, runner.steps))
    return whole.exit_code
