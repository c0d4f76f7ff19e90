# SPDX-License-Identifier: GPL-2.0-only
"""``make test-series``: the tree after each patch, from none to all, one table.

A series that only works as a whole cannot be bisected. Each state is a run of its
own, with its own directory of results; builds are incremental.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rich.console import Console
from rich.table import Table

from harness.core.errors import InvocationError
from harness.core.events import Events
from harness.core.settings import Settings
from harness.core.store import Store
from harness.report.results import RunDocument
from harness.run.session import RunKernel, RunResult, worst
from harness.series.base import obtain_base
from harness.series.patches import load_series

BASE = "the bare base"  # the state of no patches
BUILT_BY = ("series", "config", "build")  # stages; the first of them that fails is named


@dataclass(frozen=True)
class SeriesState:
    """The tree after ``patches`` patches, and what came of it; '' where nothing did."""

    patches: int
    subject: str
    build: str
    boot: str
    cases: dict[str, int]
    complaints: int
    exit_code: int
    run: str

    @property
    def applies(self) -> bool:
        """Whether its patches apply."""
        return self.build != "series failed"

    @property
    def tests(self) -> str:
        """The counts of the cases in words."""
        parts = [f"{count} {name.replace('_', ' ')}" for name, count in self.cases.items()]
        return ", ".join(parts) or "none ran"


def state_of(patches: int, subject: str, document: RunDocument) -> SeriesState:
    """A state as its ``results.json`` tells it."""
    ended = {s["name"]: "failed" if s.get("failed") else "ok" for s in document["stages"]}
    broken = next((name for name in BUILT_BY if ended.get(name) == "failed"), "")
    counts: dict[str, int] = {}
    for test in document["tests"]:
        counts[test["status"]] = counts.get(test["status"], 0) + 1
    return SeriesState(
        patches,
        subject,
        f"{broken} failed" if broken else ended.get("build", ""),
        ended.get("boot", ""),
        counts,
        len(document["splats"]),
        document["exit_code"],
        document["run"],
    )


def table(states: Sequence[SeriesState]) -> Table:
    """One row a state."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("after", "patch", "builds", "boots", "cases", "complaints", "exit", "results"):
        shown.add_column(name)
    for state in states:
        colour = "green" if state.exit_code == 0 else "red"
        shown.add_row(
            str(state.patches),
            state.subject,
            state.build,
            state.boot,
            state.tests,
            str(state.complaints),
            f"[{colour}]{state.exit_code}[/]",
            state.run,
        )
    return shown


def subjects(settings: Settings) -> tuple[str, ...]:
    """The subjects of the series, in order.

    Raises:
        InvocationError: SERIES= or KERNEL= names none.
    """
    store, events = Store(settings.cache, settings.cache_limit), Events()
    base = obtain_base(settings, store, events)
    return tuple(patch.subject for patch in load_series(settings, base).patches)


def every_state(
    settings: Settings, run: RunKernel, names: Sequence[str], console: Console
) -> Iterator[tuple[SeriesState, RunResult]]:
    """Runs the bare base and each patch of the series ``names``, until no more can be said.

    That is where not the series but the invocation, the machine or the harness is at
    fault, or where a patch does not apply, for then later ones do not either.
    """
    for count in range(len(names) + 1):
        subject = names[count - 1] if count else BASE
        console.print(f"\n{count} of {len(names)} patches: {subject}", markup=False)
        result = run(replace(settings, patches=count))
        state = state_of(count, subject, result.document)
        yield state, result
        if not result.judged or not state.applies:
            break


def test_series(settings: Settings, run: RunKernel, console: Console) -> int:
    """``make test-series``: a revision's states without blame; the worst exit status.

    Raises:
        InvocationError: PATCHES= is given, or SERIES= or KERNEL= name none.
    """
    refuse_patches(settings, "test-series")
    states = [state for state, _ in every_state(settings, run, subjects(settings), console)]
    console.print()
    console.print(table(states))
    return worst(state.exit_code for state in states)


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
