# SPDX-License-Identifier: GPL-2.0-only
"""``make revision``: a verdict on a revision of a series, patch by patch.

The bare base, each state of the series and, where PREVIOUS= names one, the whole
previous revision are runs of their own. What is broken on the base is not blamed on
a patch, and a case that is flaky is measured on both kernels. The outcome lies in
``out/revision-<time>/``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from harness import flaky, ktap_report, notes
from harness.outputs import last_of_ours
from harness.revision_files import write
from harness.revision_inputs import Inputs, read_inputs
from harness.revision_text import reply
from harness.series_states import SERIES_BROKEN, State, newest_document, state_of, table
from harness.settings import Settings
from harness.static_checks import LEFT
from harness.summary import test_expression
from harness.verdicts import Runs, conclude

Run = Callable[[Settings], int]
REPEAT = 5  # times that a broken case is run again, where REPEAT= does not say


@dataclass
class Runner:
    """Makes the runs of one revision and keeps their results."""

    settings: Settings
    inputs: Inputs
    run: Run
    console: Console
    steps: list[dict[str, Any]] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    previous: dict[str, Any] | None = None
    again: dict[int | None, list[dict[str, Any]]] = field(default_factory=dict)
    statics: dict[str, Any] | None = None

    def every_state(self) -> None:
        """The base and each patch, until no more can be said."""
        total = len(self.inputs.patches)
        for count in range(total + 1):
            subject = self.inputs.name_of(count)
            self.console.print(f"\n{count} of {total} patches: {subject}", markup=False)
            code = self.run(replace(self.settings, patches=count))
            self.steps.append(newest_document(self.settings.out))
            self.states.append(state_of(count, subject, self.steps[-1]))
            if code not in (0, SERIES_BROKEN) or self.states[-1].build == "series failed":
                break  # and where a patch does not apply, later ones do not either

    def the_text(self, look: Run) -> None:
        """What the static checkers say of each patch; they may be missing on this machine."""
        self.console.print("\ncheckpatch, sparse and kernel-doc", markup=False)
        look(self.settings)
        left = (last_of_ours(self.settings.out) or self.settings.out) / LEFT
        self.statics = json.loads(left.read_text()) if left.is_file() else None

    @property
    def fine(self) -> bool:
        """Whether no run was ended by the invocation, the machine or the harness."""
        whole = len(self.steps) == len(self.inputs.patches) + 1
        return whole and all(step["exit_code"] in (0, SERIES_BROKEN) for step in self.steps)

    def the_previous_one(self) -> None:
        """The whole previous revision, where there is one and the comparison can be made."""
        if not self.settings.previous or not self.fine:
            return
        self.console.print(f"\nthe previous revision: {self.settings.previous}", markup=False)
        self.run(self._before())
        self.previous = newest_document(self.settings.out)

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
        tests = " or ".join(test_expression(case) for case in cases)
        self.run(replace(settings, tests=tests, only=cases, repeat=flaky.RUNS - 1, every=True))
        document = newest_document(self.settings.out)
        if not document["error"]:
            self.again.setdefault(state, []).append(document)

    @property
    def runs(self) -> Runs:
        """All results so far."""
        return Runs(tuple(self.steps), self.previous, self.again, self.statics)


def revision(settings: Settings, run: Run, look: Run, console: Console) -> int:
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
    if settings.notes:
        count = notes.write(Path(settings.kernel).expanduser(), inputs, asdict(whole))
        console.print(f"{count} notes: git log --notes={notes.REF}", markup=False)
    console.print()
    console.print(table(runner.states))
    console.print("\n" + reply(asdict(whole)), markup=False, soft_wrap=True)
    console.print(f"results: {out}", markup=False)
    if settings.ktap:
        sys.stdout.write(ktap_report.revision(asdict(whole), runner.steps))
    return whole.exit_code
