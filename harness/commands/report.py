# SPDX-License-Identifier: GPL-2.0-only
"""``make report``: the runs of one series merged into one clause table.

A run is a cell: kernel, configuration, command. Of two runs of the
same cell the later one counts, so merging a run twice changes nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.command_table import command
from harness.core.errors import InvocationError
from harness.core.settings import Settings
from harness.report.records import RunDocument
from harness.run.session import read_results

PARTIAL = ("TESTS", "VARIANT", "KIND", "CELL")  # a run with one of these says nothing of the whole
RACES = "repro"  # the command whose runs are a column of their own


@dataclass(frozen=True)
class ReportColumn:
    """One run's verdicts. ``name``: kernel and flavour, e.g. '6.1.192 default'."""

    name: str
    run: str
    patches: int
    verdicts: dict[str, str]


def rows(cells: Sequence[ReportColumn]) -> dict[str, tuple[str, ...]]:
    """Each clause's verdict in every cell, in their order."""
    clauses = dict.fromkeys(clause for cell in cells for clause in cell.verdicts)
    return {c: tuple(cell.verdicts.get(c, "untested") for cell in cells) for c in clauses}


def overall(verdicts: Sequence[str]) -> str:
    """fail anywhere is fail; else pass somewhere is pass; else the weakest statement."""
    return min(verdicts, key=("fail", "pass", "untested", "not_applicable").index)


def read_runs(out: Path) -> list[RunDocument]:
    """All runs in ``out`` that judged clauses, oldest first."""
    found = read_results(out.glob("*/results.json"))
    return [result.document for result in found if result.document["clauses"]]


def merge(runs: Sequence[RunDocument]) -> tuple[ReportColumn, ...]:
    """Merges the runs that tested the same patches as the last one; InvocationError if none did.

    Partial runs (TESTS=), planted mistakes (VARIANT=) and soaks (KIND=) stay out.
    """
    whole = [r for r in runs if not any(r["asked"].get(name) for name in PARTIAL)]
    if not whole:
        raise InvocationError("no complete run to report on", next_step=command("test-kernel"))
    series = [patch.patch_id for patch in whole[-1]["series"]["patches"]]
    cells: dict[str, ReportColumn] = {}
    for run in whole:
        if [patch.patch_id for patch in run["series"]["patches"]] != series:
            continue
        name = f"{run['kernel'].version} {run['config'].name}"
        # A run that shows other clauses than the main one does not stand in its place.
        if run["command"] != "test-kernel":
            name += f", {run['command']}"
        verdicts = {clause: v["verdict"] for clause, v in run["clauses"].items()}
        if run["command"] == RACES:
            # A run of one race says nothing of the others, which an earlier one may have tried.
            said = {clause: v for clause, v in verdicts.items() if v in ("pass", "fail")}
            verdicts = (cells[name].verdicts if name in cells else verdicts) | said
        cells[name] = ReportColumn(name, run["run"], len(series), verdicts)
    return tuple(cells.values())


def lines(columns: Sequence[ReportColumn]) -> Iterable[str]:
    """The table as text: a line a clause, a column a cell."""
    yield f"series: {columns[0].patches} patches"
    for index, cell in enumerate(columns, 1):
        yield f"  [{index}] {cell.name}  (run {cell.run})"
    by_clause = rows(columns)
    width = max(map(len, ("clause", *by_clause)))
    head = "  ".join(f"[{i}]".ljust(14) for i in range(1, len(columns) + 1))
    yield f"{'clause':{width}}  {'overall':14}  {head}".rstrip()
    for clause, verdicts in by_clause.items():
        cells = "  ".join(v.replace("_", " ").ljust(14) for v in (overall(verdicts), *verdicts))
        yield f"{clause:{width}}  {cells}".rstrip()


def report(settings: Settings) -> int:
    """``make report``: prints the table; raises as :func:`merge` does."""
    for line in lines(merge(read_runs(settings.out))):
        sys.stdout.write(line + "\n")
    return 0
