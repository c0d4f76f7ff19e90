# SPDX-License-Identifier: GPL-2.0-only
"""What a search comes to: a record, a table, race-search.json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.markup import escape
from rich.table import Table

from harness.core.events import CaseFinished, CaseId, Status
from harness.core.rates import wilson
from harness.core.tables import plain_table
from harness.races.batch import StressTotals
from harness.search.program_search import ProgramSearch

SCHEMA = 1


def record(one: ProgramSearch) -> CaseFinished:
    """The search with one program as a test of the run: a race that is found fails it."""
    name = CaseId("search", None, one.scenario.name)
    status: Status = "fail" if one.found else "pass" if one.tries else "skip"
    why = one.answer if status != "pass" else ""
    return CaseFinished(name, status, why, one.seconds, (), (one.answer,), one.scenario.about)


def table(searches: Sequence[ProgramSearch]) -> Table:
    """A row a program."""
    shown = plain_table(
        "program", "points reached", "tries", "s", "how they ended", "found", "by repetition",
        right=("tries", "s"), whole=("program", "tries", "s"),
    )  # fmt: skip
    for one in searches:
        reached = ", ".join(f"{name} {len(points)}" for name, points in one.reached.items())
        endings = ", ".join(f"{n} {ending}" for ending, n in one.endings.most_common())
        again = one.repeated
        shown.add_row(
            one.scenario.name, reached, str(one.tries), f"{one.seconds:.0f}", endings,
            escape(one.answer),
            f"{again.hits} of {again.runs} in {again.seconds:.0f} s" if again else "",
        )  # fmt: skip
    return shown


def document(one: ProgramSearch) -> dict[str, Any]:
    """One of the ``programs`` of race-search.json."""
    found, again = one.found, one.repeated or StressTotals(0, 0, 0.0)
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
        "once": [list(map(str, points)) for points in one.once],
        "reach_seconds": round(one.reach_seconds, 1),
        "seconds": round(one.seconds, 1),
        "found": found and {
            **asdict(found),
            "points": list(map(str, found.points)),
            "interval": [round(b, 4) for b in wilson(found.hits, found.runs)],
            "scenario": str(one.written or ""),
        },
        "repeated": {
            "hits": again.hits, "runs": again.runs, "seconds": round(again.seconds, 1),
        },
    }  # fmt: skip
