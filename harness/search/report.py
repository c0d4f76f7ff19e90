# SPDX-License-Identifier: GPL-2.0-only
"""What a search comes to: a table, what was found, race-search.json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from harness.core.events import CaseFinished, CaseId, Status
from harness.core.rates import wilson
from harness.races.scenario import Point
from harness.search.program_search import ProgramSearch

SCHEMA = 1


@dataclass
class SearchReport:
    """``scenarios``, ``repeated``: by the program: the file that was written, and what plain
    repetition has come to (hits, runs, seconds)."""

    searches: list[ProgramSearch] = field(default_factory=list)
    scenarios: dict[str, Path | None] = field(default_factory=dict)
    repeated: dict[str, tuple[int, int, float]] = field(default_factory=dict)

    def record(self, one: ProgramSearch) -> CaseFinished:
        """The search with one program as a test of the run: a race that is found fails it."""
        name = CaseId("search", None, one.scenario.name)
        status: Status = "fail" if one.found else "pass" if one.tries else "skip"
        why = one.answer if status != "pass" else ""
        return CaseFinished(name, status, why, one.seconds, (), (one.answer,), one.scenario.about)

    def table(self) -> Table:
        """A row a program."""
        shown = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        shown.add_column("program", no_wrap=True)
        shown.add_column("points reached")
        for name in ("tries", "s"):
            shown.add_column(name, justify="right", no_wrap=True)
        shown.add_column("how they ended")
        shown.add_column("found")
        shown.add_column("by repetition")
        for one in self.searches:
            reached = ", ".join(f"{name} {len(points)}" for name, points in one.reached.items())
            endings = ", ".join(f"{n} {ending}" for ending, n in one.endings.most_common())
            shown.add_row(
                one.scenario.name, reached, str(one.tries), f"{one.seconds:.0f}", endings,
                escape(one.answer), self._repetition(one),
            )  # fmt: skip
        return shown

    def _repetition(self, one: ProgramSearch) -> str:
        if one.scenario.name not in self.repeated:
            return ""
        hits, runs, seconds = self.repeated[one.scenario.name]
        return f"{hits} of {runs} in {seconds:.0f} s"

    def document(self, run: str, version: str) -> dict[str, Any]:
        """race-search.json; ``run``: its id, ``version``: of the kernel."""
        programs = [self._program(one) for one in self.searches]
        return {"schema": SCHEMA, "run": run, "version": version, "programs": programs}

    def _program(self, one: ProgramSearch) -> dict[str, Any]:
        found = one.found
        hits, runs, seconds = self.repeated.get(one.scenario.name, (0, 0, 0.0))
        return {
            "name": one.scenario.name,
            "seed": one.seed,
            "reached": {
                name: [f"{point.place} ({point.kind})" for point in points]
                for name, points in one.reached.items()
            },
            "tries": one.tries,
            "skipped": one.skipped,
            "endings": dict(one.endings),
            "errors": dict(one.errors),
            "once": [written(points) for points in one.once],
            "reach_seconds": round(one.reach_seconds, 1),
            "seconds": round(one.seconds, 1),
            "found": found and {
                **{k: v for k, v in asdict(found).items() if k != "points"},
                "points": written(found.points),
                "interval": [round(b, 4) for b in wilson(found.hits, found.runs)],
                "scenario": str(self.scenarios.get(one.scenario.name) or ""),
            },
            "repeated": {"hits": hits, "runs": runs, "seconds": round(seconds, 1)},
        }  # fmt: skip


def written(points: Sequence[Point]) -> list[str]:
    """The points as a scenario has them."""
    return [f"{point.thread}: {point.place}" for point in points]
