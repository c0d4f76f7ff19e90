# SPDX-License-Identifier: GPL-2.0-only
"""``make seen-red``: every clause's cases, run where the clause cannot hold.

Naming a clause is free. A case has shown that it watches its clause only once it has
failed on a kernel with a mistake in exactly that, and has passed on one without. A
clause counts as seen red where

* a variant says that it breaks it,
* a case that names it fails on the variant's kernel, and not because a control did, and
* the same case passes on the finished series, in the same call.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from harness.outputs import write_atomically
from harness.results import BROKEN
from harness.series_states import SERIES_BROKEN, newest_document
from harness.settings import Settings
from harness.variants import Table, Variant

INCONCLUSIVE = "inconclusive"
Run = Callable[[Settings], int]


@dataclass(frozen=True)
class Red:
    """``case`` failed on ``variant``'s kernel, and that shows ``clause``."""

    clause: str
    variant: str
    case: str
    reason: str
    run: str


@dataclass
class Outcome:
    """What all variants showed. ``missed``: (variant, clause) that stayed green."""

    line: str
    reds: list[Red] = field(default_factory=list)
    missed: list[tuple[str, str, str]] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    never: list[str] = field(default_factory=list)
    exempt: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether every clause with a case was seen red, and every variant did what it says."""
        return not self.missed and not self.never


def passing(document: dict[str, Any]) -> frozenset[str]:
    """The cases that pass on the finished series."""
    return frozenset(t["id"] for t in document["tests"] if t["status"] == "pass")


def tested_clauses(document: dict[str, Any]) -> frozenset[str]:
    """The clauses that a passing guest case of the control run names."""
    tests = [t for t in document["tests"] if t["status"] == "pass" and _in_guest(t["id"])]
    return frozenset(clause for test in tests for clause in test["clauses"])


def _in_guest(case: str) -> bool:
    return not case.startswith(("host::", "kernel::"))


def reds_of(variant: Variant, document: dict[str, Any], good: frozenset[str]) -> list[Red]:
    """The clauses of ``variant`` that its run shows red, each with every case that does."""
    found = []
    for test in document["tests"]:
        if test["status"] not in BROKEN or test["id"] not in good:
            continue
        if INCONCLUSIVE in test["reason"]:
            continue
        found += [
            Red(clause, variant.name, test["id"], test["reason"], document["run"])
            for clause in test["clauses"]
            if clause in variant.clauses
        ]
    return found


def why_missed(variant: Variant, document: dict[str, Any]) -> str:
    """One line for a clause that stayed green: what came of the variant's run."""
    if not document["tests"]:
        return str((document["error"] or ["no case ran"])[0])
    counts: dict[str, int] = {}
    for test in document["tests"]:
        counts[test["status"]] = counts.get(test["status"], 0) + 1
    return ", ".join(f"{n} {status}" for status, n in sorted(counts.items()))


def judge(outcome: Outcome, clauses: Iterable[str]) -> None:
    """Fills in the clauses with a case that nothing has shown red."""
    seen = {red.clause for red in outcome.reds} | set(outcome.exempt)
    outcome.never = sorted(set(clauses) - seen)


def report(outcome: Outcome) -> RichTable:
    """One row a clause: on which broken kernel which case failed first."""
    table = RichTable(box=None, pad_edge=False, header_style="bold")
    for name in ("clause", "broken kernel", "case that failed", "reason"):
        table.add_column(name)
    first: dict[tuple[str, str], Red] = {}
    for red in outcome.reds:
        first.setdefault((red.clause, red.variant), red)
    for (clause, variant), red in sorted(first.items()):
        table.add_row(clause, variant, red.case, escape(red.reason[:90]))
    for clause in outcome.never:
        table.add_row(clause, "[red]never seen red[/]", "", "")
    for clause, why in sorted(outcome.exempt.items()):
        table.add_row(clause, "[dim]exempt[/]", "", escape(why))
    return table


def seen_red(
    settings: Settings, run: Run, table: Table, line: str, console: Console, folder: Path
) -> int:
    """Runs the control and every variant, prints the report; the exit status.

    With VARIANT= only that one is run, and only its own clauses are judged. A status
    that blames anybody but the series ends the command with it.
    """
    only = settings.variant
    chosen: Sequence[Variant] = [v for v in table.variants if only in ("", v.name)]
    settings = replace(settings, variant="", decode=False)
    control = replace(settings, tests=" or ".join(v.tests for v in chosen) if only else "")
    console.print("\n[bold]control: the finished series[/]")
    if (code := run(control)) not in (0, SERIES_BROKEN):
        return code
    document = newest_document(settings.out)
    good, clauses = passing(document), tested_clauses(document)
    outcome = Outcome(line, exempt=dict(table.exempt))
    for variant in chosen:
        if variant.patch(folder, line) is None:
            outcome.absent.append(variant.name)
            continue
        console.print(f"\n[bold]variant {variant.name}[/] must break {', '.join(variant.clauses)}")
        code = run(replace(settings, variant=variant.name, tests=variant.tests))
        if code not in (0, SERIES_BROKEN):
            return code
        document = newest_document(settings.out)
        reds = reds_of(variant, document, good)
        outcome.reds += reds
        green = sorted(set(variant.clauses) - {red.clause for red in reds})
        outcome.missed += [(variant.name, c, why_missed(variant, document)) for c in green]
    if not only:
        judge(outcome, clauses)
    _tell(outcome, console)
    if not only:
        path = settings.out / f"seen-red-{line}.json"
        write_atomically(path, json.dumps(asdict(outcome), indent=1) + "\n")
        console.print(f"results: {path}")
    console.print(f"verdict: {'pass (exit 0)' if outcome.ok else 'fail (exit 1)'}")
    return 0 if outcome.ok else SERIES_BROKEN


def _tell(outcome: Outcome, console: Console) -> None:
    console.print()
    console.print(report(outcome))
    for variant, clause, why in outcome.missed:
        console.print(f"[red]MISSED[/] {clause} stayed green on {variant}: {escape(why)}")
    if outcome.absent:
        console.print(f"no patch for Linux {outcome.line}: {', '.join(outcome.absent)}")
