# SPDX-License-Identifier: GPL-2.0-only
"""The states of a series, after each number of patches: run one after the other, in one table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rich.console import Console
from rich.table import Table

from harness.core.errors import InvocationError
from harness.core.settings import Settings
from harness.core.tables import plain_table
from harness.report.records import RunDocument
from harness.run.session import RunKernel, RunResult

BASE = "the bare base"  # the state of no patches
BUILT_BY = ("series", "config", "build")  # stages; the first of them that fails is named


@dataclass(frozen=True)
class SeriesState:
    """The tree after ``patches`` patches, and the ``results.json`` of its run."""

    patches: int
    subject: str
    document: RunDocument

    def ended(self, name: str) -> str:
        """How a stage ended: 'ok', 'failed', or '' where it was not reached."""
        stages = [stage for stage in self.document["stages"] if stage["name"] == name]
        return ("failed" if stages[-1].get("failed") else "ok") if stages else ""

    @property
    def build(self) -> str:
        """'ok', 'build failed' or what failed before it, '' where nothing was built."""
        broken = next((name for name in BUILT_BY if self.ended(name) == "failed"), None)
        return f"{broken} failed" if broken else self.ended("build")

    @property
    def applies(self) -> bool:
        """Whether its patches apply."""
        return self.ended("series") != "failed"

    @property
    def cases(self) -> Counter[str]:
        """How many cases have each status."""
        return Counter(test["status"] for test in self.document["tests"])

    @property
    def tests(self) -> str:
        """The counts of the cases in words."""
        parts = [f"{count} {name.replace('_', ' ')}" for name, count in self.cases.items()]
        return ", ".join(parts) or "none ran"


def table(states: Sequence[SeriesState]) -> Table:
    """One row a state."""
    names = ("after", "patch", "builds", "boots", "cases", "complaints", "exit", "results")
    shown = plain_table(*names, whole=("results",))
    for state in states:
        code = state.document["exit_code"]
        shown.add_row(
            str(state.patches),
            state.subject,
            state.build,
            state.ended("boot"),
            state.tests,
            str(len(state.document["splats"])),
            f"[{'red' if code else 'green'}]{code}[/]",
            state.document["run"],
        )
    return shown


def run_state(run: RunKernel, settings: Settings, console: Console, heading: str) -> RunResult:
    """One of the runs."""
    console.print(f"\n{heading}", markup=False)
    return run(settings)


def every_state(
    settings: Settings, run: RunKernel, subjects: Sequence[str], console: Console
) -> Iterator[SeriesState]:
    """Runs the bare base and each patch of the series, until no more can be said.

    That is where not the series but the invocation, the machine or the harness is at
    fault, or where a patch does not apply, for then later ones do not either.
    """
    for count in range(len(subjects) + 1):
        subject = subjects[count - 1] if count else BASE
        heading = f"{count} of {len(subjects)} patches: {subject}"
        result = run_state(run, replace(settings, patches=count), console, heading)
        state = SeriesState(count, subject, result.document)
        yield state
        if not result.judged or not state.applies:
            break


def refuse_patches(settings: Settings, command: str) -> None:
    """For a command that runs every state.

    Raises:
        InvocationError: PATCHES= is given.
    """
    if settings.patches is not None:
        raise InvocationError(
            f"make {command} runs every number of patches by itself",
            next_step=f"leave PATCHES={settings.patches} out, or {settings.command('test-kernel')}",
        )
