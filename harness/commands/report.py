# SPDX-License-Identifier: GPL-2.0-only
"""``make report``: the runs of one series merged into one clause table.

A run is a cell: kernel, configuration, command. Of two runs of the
same cell the later one counts, so merging a run twice changes nothing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.errors import InvocationError
from harness.core.settings import Settings
from harness.core.usage import command

PARTIAL = ("TESTS", "VARIANT", "KIND", "CELL")  # a run with one of these says nothing of the whole


RACES = "repro"  # the command whose runs are a column of their own


@dataclass(frozen=True)
class Cell:
    """One run's verdicts. ``name``: kernel and flavour, e.g. '6.1.192 default'."""

    name: str
    run: str
    verdicts: dict[str, str]


@dataclass(frozen=True)
class Merged:
    """``rows``: clause -> verdict of each cell, in the order of ``cells``."""

    series: tuple[str, ...]
    cells: tuple[Cell, ...]
    rows: dict[str, tuple[str, ...]]

    def overall(self, clause: str) -> str:
        """fail anywhere is fail; else pass somewhere is pass; else the weakest statement."""
        seen = set(self.rows[clause])
        for verdict in ("fail", "pass", "untested", "not_applicable"):
            if verdict in seen:
                return verdict
        return "untested"


def read_runs(out: Path) -> list[dict[str, Any]]:
    """All readable ``results.json`` below ``out``, oldest first; ``latest`` is only a link."""
    runs = []
    for path in sorted(out.glob("*/results.json")):
        if path.parent.is_symlink():
            continue
        document = json.loads(path.read_text())
        if document.get("schema") == 1 and document.get("clauses"):
            runs.append(document)
    return runs


def patch_ids(document: dict[str, Any]) -> tuple[str, ...]:
    """What identifies a series: the patch ids of all that was applied."""
    return tuple(p["patch_id"] for p in document["series"]["patches"])


def merge(runs: Sequence[dict[str, Any]]) -> Merged:
    """Merges the runs that tested the same series as the last one.

    Partial runs (TESTS=), planted mistakes (VARIANT=) and soaks (KIND=) stay out.

    Raises:
        InvocationError: there is nothing to merge.
    """
    whole = [r for r in runs if not any(r["asked"].get(name) for name in PARTIAL)]
    if not whole:
        raise InvocationError("no complete run to report on", next_step=command("test-kernel"))
    series = patch_ids(whole[-1])
    cells: dict[str, Cell] = {}
    for run in whole:
        if patch_ids(run) != series:
            continue
        name = f"{run['kernel']['version']} {run['config']['name']}"
        # A run that shows other clauses than the main one does not stand in its place.
        if run.get("command", "test-kernel") != "test-kernel":
            name += f", {run['command']}"
        verdicts = {clause: v["verdict"] for clause, v in run["clauses"].items()}
        if run.get("command") == RACES:
            # A run of one race says nothing of the others, which an earlier one may have tried.
            said = {clause: v for clause, v in verdicts.items() if v in ("pass", "fail")}
            verdicts = (cells[name].verdicts if name in cells else verdicts) | said
        cells[name] = Cell(name, run["run"], verdicts)
    clauses = dict.fromkeys(c for cell in cells.values() for c in cell.verdicts)
    rows = {
        clause: tuple(cell.verdicts.get(clause, "untested") for cell in cells.values())
        for clause in clauses
    }
    return Merged(_subjects(whole[-1]), tuple(cells.values()), rows)


def _subjects(document: dict[str, Any]) -> tuple[str, ...]:
    return tuple(p["subject"] for p in document["series"]["patches"])


def lines(merged: Merged) -> Iterable[str]:
    """The table as text: a line a clause, a column a cell."""
    yield f"series: {len(merged.series)} patches"
    for index, cell in enumerate(merged.cells, 1):
        yield f"  [{index}] {cell.name}  (run {cell.run})"
    width = max(len(c) for c in ("clause", *merged.rows))
    head = "  ".join(f"[{i}]".ljust(14) for i in range(1, len(merged.cells) + 1))
    yield f"{'clause'.ljust(width)}  {'overall'.ljust(14)}  {head}".rstrip()
    for clause, verdicts in merged.rows.items():
        cells = "  ".join(v.replace("_", " ").ljust(14) for v in verdicts)
        overall = merged.overall(clause).replace("_", " ").ljust(14)
        yield f"{clause.ljust(width)}  {overall}  {cells}".rstrip()


def report(settings: Settings) -> int:
    """``make report``: prints the table; raises as :func:`merge` does."""
    for line in lines(merge(read_runs(settings.out))):
        sys.stdout.write(line + "\n")
    return 0
