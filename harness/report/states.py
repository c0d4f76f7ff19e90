# SPDX-License-Identifier: GPL-2.0-only
"""The states of a series, after each number of patches, as their runs tell them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from harness.report.results import RunDocument

BASE = "the bare base"  # the state of no patches
BUILT_BY = ("series", "config", "build")  # stages; the first of them that fails is named


@dataclass(frozen=True)
class SeriesState:
    """The tree after ``patches`` patches, and what came of it; '' where nothing did."""

    patches: int
    subject: str
    build: str
    boot: str
    cases: Counter[str]
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
    return SeriesState(
        patches,
        subject,
        f"{broken} failed" if broken else ended.get("build", ""),
        ended.get("boot", ""),
        Counter(test["status"] for test in document["tests"]),
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
