# SPDX-License-Identifier: GPL-2.0-only
"""``make test-series``: the tree after each patch, from none to all, one table.

A series that only works as a whole cannot be bisected. Each state is a run of its
own, with its own directory of results; builds are incremental.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from harness.base import obtain_base
from harness.errors import InternalError, InvocationError
from harness.events import Events
from harness.outputs import last_of_ours
from harness.series import load_series
from harness.settings import Settings
from harness.store import Store

SERIES_BROKEN = 1  # exit status: the next state may still be worth a look
STAGES = ("series", "config", "build", "boot")
Run = Callable[[Settings], int]


@dataclass(frozen=True)
class State:
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
    def tests(self) -> str:
        """The counts of the cases in words."""
        parts = [f"{count} {name.replace('_', ' ')}" for name, count in self.cases.items()]
        return ", ".join(parts) or "none ran"


def state_of(patches: int, subject: str, document: dict[str, Any]) -> State:
    """A state as its ``results.json`` tells it."""
    ended = {s["name"]: "failed" if s.get("failed") else "ok" for s in document["stages"]}
    broken = next((name for name in STAGES[:3] if ended.get(name) == "failed"), "")
    counts: dict[str, int] = {}
    for test in document["tests"]:
        counts[test["status"]] = counts.get(test["status"], 0) + 1
    return State(
        patches,
        subject,
        f"{broken} failed" if broken else ended.get("build", ""),
        ended.get("boot", ""),
        counts,
        len(document["splats"]),
        document["exit_code"],
        document["run"],
    )


def table(states: Sequence[State]) -> Table:
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


def newest_document(out: Path) -> dict[str, Any]:
    """The results of the run of this process that has just ended."""
    folder = last_of_ours(out)
    path = (folder or out) / "results.json"
    if not path.is_file():
        raise InternalError(f"{path} is not there after a run")
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def subjects(settings: Settings) -> tuple[str, ...]:
    """The subjects of the series, in order.

    Raises:
        InvocationError: SERIES= or KERNEL= names none.
    """
    store, events = Store(settings.cache, settings.cache_limit), Events()
    base = obtain_base(settings, store, events)
    return tuple(patch.subject for patch in load_series(settings, base).patches)


def every_state(settings: Settings, run: Run, names: Sequence[str], console: Console) -> int:
    """Runs every state of the series ``names`` and prints the table; the exit status.

    It is that of the first state for which not the series but the invocation, the
    machine or the harness is at fault, where there is one: no later state is run
    then. Else it is 1 where any state is broken.

    Raises:
        InvocationError: PATCHES= is given.
    """
    if settings.patches is not None:
        raise InvocationError(
            "test-series runs every number of patches by itself",
            next_step=f"leave PATCHES={settings.patches} out, or {settings.command('test-kernel')}",
        )
    states: list[State] = []
    for count in range(len(names) + 1):
        subject = names[count - 1] if count else "the bare base"
        console.print(f"\n[bold]{count} of {len(names)} patches[/]: {subject}")
        code = run(replace(settings, patches=count))
        states.append(state_of(count, subject, newest_document(settings.out)))
        if code not in (0, SERIES_BROKEN):
            break
    console.print()
    console.print(table(states))
    return exit_status(states)


def test_series(settings: Settings, run: Run, console: Console) -> int:
    """``make test-series``; raises as :func:`every_state` and :func:`subjects` do."""
    return every_state(settings, run, subjects(settings), console)


def exit_status(states: Sequence[State]) -> int:
    """See :func:`every_state`."""
    for state in states:
        if state.exit_code not in (0, SERIES_BROKEN):
            return state.exit_code
    return max((state.exit_code for state in states), default=0)
