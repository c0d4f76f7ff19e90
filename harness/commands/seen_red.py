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
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from harness.core.atomic import write_atomically
from harness.core.errors import InvocationError, MachineError, SeriesError
from harness.core.events import CaseId, Events
from harness.core.settings import Settings
from harness.core.store import Store
from harness.report.results import BROKEN, RunDocument
from harness.run.session import RunKernel
from harness.series.base import obtain_base
from harness.series.contract import load
from harness.series.variants import TABLE, Variant, Variants, load_table

INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Red:
    """``case`` failed on ``variant``'s kernel, and that shows ``clause``."""

    clause: str
    variant: str
    case: str
    reason: str
    run: str


@dataclass
class SeenRed:
    """What all variants showed.

    ``missed``: (variant, clause, what came of it) that stayed green; ``absent``: variants
    that this kernel line does not have; ``never``: clauses that nothing has shown red;
    ``cases``: how many guest cases the control passes; ``green``: those of them that no
    variant has made fail; ``seconds``: what the control and each variant took, by name;
    ``lost``: variants of which this machine's failure kept anything from being seen.
    """

    line: str
    reds: list[Red] = field(default_factory=list)
    missed: list[tuple[str, str, str]] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    never: list[str] = field(default_factory=list)
    exempt: dict[str, str] = field(default_factory=dict)
    cases: int = 0
    green: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)


def passing(document: RunDocument) -> frozenset[str]:
    """The cases that pass on the finished series."""
    return frozenset(t["id"] for t in document["tests"] if t["status"] == "pass")


def tested_clauses(document: RunDocument) -> frozenset[str]:
    """The clauses that a passing guest case of the control run names."""
    tests = [t for t in document["tests"] if t["status"] == "pass" and _in_guest(t["id"])]
    return frozenset(clause for test in tests for clause in test["clauses"])


def _in_guest(case: str) -> bool:
    return CaseId.parse(case).kind == "guest"


def reds_of(variant: Variant, document: RunDocument, good: frozenset[str]) -> list[Red]:
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


def said(reds: Iterable[Red], green: Sequence[str]) -> str:
    """One line on what a variant showed, for who watches."""
    clauses = ", ".join(dict.fromkeys(red.clause for red in reds))
    parts = [f"{clauses} seen red"] if clauses else []
    return "; ".join([*parts, *([f"MISSED {', '.join(green)}"] if green else [])])


def what_ended(document: RunDocument) -> str:
    """One line for a run that came to no cases."""
    return (document["error"] or ["no case ran"])[0]


def why_missed(document: RunDocument) -> str:
    """One line for a clause that stayed green: what came of the variant's run."""
    if not document["tests"]:
        return what_ended(document)
    counts: dict[str, int] = {}
    for test in document["tests"]:
        counts[test["status"]] = counts.get(test["status"], 0) + 1
    return ", ".join(f"{n} {status}" for status, n in sorted(counts.items()))


def judge(outcome: SeenRed, clauses: Iterable[str], cases: Iterable[str]) -> None:
    """Fills in the clauses with a case, and the cases, that nothing has shown red."""
    seen = {red.clause for red in outcome.reds} | set(outcome.exempt)
    outcome.never = sorted(set(clauses) - seen, key=_natural)
    guest = {case for case in cases if _in_guest(case)}
    outcome.cases = len(guest)
    outcome.green = sorted(guest - {red.case for red in outcome.reds})


def _natural(clause: str) -> list[tuple[int, str]]:
    """V-PG-9 before V-PG-10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in clause.split("-")]


def report(outcome: SeenRed) -> RichTable:
    """One row a clause and a broken kernel: the case that failed first, and how many more."""
    table = RichTable(box=None, pad_edge=False, header_style="bold")
    for name in ("clause", "broken kernel", "case that failed", "its complaint"):
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    rows: dict[str, dict[str, list[Red]]] = {}
    for red in outcome.reds:
        rows.setdefault(red.clause, {}).setdefault(red.variant, []).append(red)
    for clause in sorted({*rows, *outcome.never, *outcome.exempt}, key=_natural):
        for variant, reds in rows.get(clause, {}).items():
            more = f" +{len(reds) - 1}" if len(reds) > 1 else ""
            table.add_row(clause, variant, reds[0].case + more, escape(reds[0].reason))
        if clause in outcome.never:
            table.add_row(clause, "[red]never seen red[/]", "", "")
        if clause in outcome.exempt:
            table.add_row(clause, "[dim]exempt[/]", "", escape(outcome.exempt[clause]))
    return table


def chosen_variants(table: Variants, only: str) -> Sequence[Variant]:
    """The variants that VARIANT= names; all of them where it is empty."""
    names = [name for name in only.split(",") if name]
    known = {variant.name: variant for variant in table.variants}
    if unknown := [name for name in names if name not in known]:
        raise InvocationError(
            f"VARIANT={only}: {', '.join(unknown)} is not in {TABLE}",
            next_step=f"there is: {', '.join(sorted(known))}",
        )
    return [known[name] for name in names] or table.variants


def seen_red(
    settings: Settings, run: RunKernel, table: Variants, line: str, console: Console, folder: Path
) -> int:
    """Runs the control and every variant, prints the report; the exit status.

    With VARIANT= only those that it names, with commas between, are run, and only their
    own clauses are judged. A status that blames anybody but the series ends the command
    with it; but what befalls this machine during one variant costs that one only.

    Raises:
        InvocationError: VARIANT= names what is not in the table.
    """
    only = settings.variant
    chosen = chosen_variants(table, only)
    settings = replace(settings, variant="", decode=False)
    control = replace(settings, tests=" or ".join(v.tests for v in chosen) if only else "")
    console.print("\n[bold]control: the finished series[/]")
    if not (result := run(control)).judged:
        return result.code
    document = result.document
    good, clauses = passing(document), tested_clauses(document)
    outcome = SeenRed(line, exempt={} if only else dict(table.exempt))
    outcome.seconds["control"] = document["seconds"]
    for variant in chosen:
        if variant.patch(folder, line) is None:
            outcome.absent.append(variant.name)
            continue
        console.print(f"\n[bold]variant {variant.name}[/] must break {', '.join(variant.clauses)}")
        result = run(replace(settings, variant=variant.name, tests=variant.tests))
        document = result.document
        if result.code == MachineError.exit_code:
            outcome.lost[variant.name] = what_ended(document)
        elif not result.judged:
            _tell(outcome, console)  # what is known is not lost with what ended it
            return result.code
        outcome.seconds[variant.name] = document["seconds"]
        if variant.name in outcome.lost:
            continue
        reds = reds_of(variant, document, good)
        outcome.reds += reds
        green = sorted(set(variant.clauses) - {red.clause for red in reds})
        outcome.missed += [(variant.name, c, why_missed(document)) for c in green]
        console.print(f"variant {variant.name}: {said(reds, green)}")
    if not only:
        judge(outcome, clauses, good)
    _tell(outcome, console)
    if outcome.lost:
        again = replace(settings, variant=only).command("seen-red", VARIANT=",".join(outcome.lost))
        console.print(f"next: {again}", markup=False, soft_wrap=True)
    if not only:
        path = settings.out / f"seen-red-{line}.json"
        write_atomically(path, json.dumps(asdict(outcome), indent=1) + "\n")
        console.print(f"results: {path}")
    code = exit_status(outcome)
    console.print(f"verdict: {'fail' if code else 'pass'} (exit {code})")
    return code


def see_red(settings: Settings, run: RunKernel, console: Console) -> int:
    """``make seen-red``: :func:`seen_red` on the kernel and the table of the series."""
    table = load_table(load(settings.project))
    line = obtain_base(settings, Store(settings.cache, settings.cache_limit), Events()).line
    return seen_red(settings, run, table, line, console, settings.project)


def exit_status(outcome: SeenRed) -> int:
    """0, or who is at fault. What was lost may be what is missing: then the machine is."""
    if outcome.missed or (outcome.never and not outcome.lost):
        return SeriesError.exit_code
    return MachineError.exit_code if outcome.lost else 0


def _tell(outcome: SeenRed, console: Console) -> None:
    console.print()
    console.print(report(outcome))
    for variant, clause, why in outcome.missed:
        console.print(f"[red]MISSED[/] {clause} stayed green on {variant}: {escape(why)}")
    for variant, why in outcome.lost.items():
        console.print(f"[red]LOST[/] {variant}: {escape(why)}")
    if outcome.absent:
        console.print(f"not for Linux {outcome.line}: {', '.join(outcome.absent)}")
    if outcome.cases:
        red = outcome.cases - len(outcome.green)
        console.print(
            f"{red} of {outcome.cases} guest cases failed on a kernel that must break them"
        )
    minutes = sum(outcome.seconds.values()) / 60
    console.print(f"control and {len(outcome.seconds) - 1} variants: {minutes:.1f} minutes")
