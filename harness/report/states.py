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
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("after", "patch", "builds", "boots", "cases", "complaints", "exit", "results"):
        shown.add_column(name)
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
