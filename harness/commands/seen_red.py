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

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.core.errors import InvocationError, MachineError, SeriesError
from harness.core.events import BROKEN, CaseId, Events
from harness.core.jsondata import write_json
from harness.core.settings import Settings
from harness.core.store import Store
from harness.report.records import RunDocument
from harness.run.session import RunKernel
from harness.run.states import run_state
from harness.series.contract import (
    TABLE,
    SeriesData,
    Variant,
    Variants,
    find_patch,
    load,
    load_table,
)
from harness.series.on_top import obtain_base

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
    """What all variants showed; ``seen-red-<line>.json``.

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

    def judge(self, control: RunDocument, own: Collection[str]) -> None:
        """Fills in the clauses with a guest case, and the cases, that nothing has shown red.

        ``own``: the clauses that count; those of a series below have variants of their own.
        """
        tests = [t for t in control["tests"] if t["status"] == "pass" and {*t["clauses"]} & {*own}]
        guest = [t for t in tests if CaseId.parse(t["id"]).kind == "guest"]
        seen = {red.clause for red in self.reds} | set(self.exempt)
        named = {c for t in guest for c in t["clauses"] if c in own}
        self.never = sorted(named - seen, key=_natural)
        self.cases = len(guest)
        self.green = sorted({t["id"] for t in guest} - {red.case for red in self.reds})

    @property
    def exit_code(self) -> int:
        """0, or who is at fault. What was lost may be what is missing: then the machine is."""
        if self.missed or (self.never and not self.lost):
            return SeriesError.exit_code
        return MachineError.exit_code if self.lost else 0

    def report(self) -> Table:
        """One row a clause and a broken kernel: the case that failed first, and how many more."""
        shown = Table(box=None, pad_edge=False, header_style="bold")
        for name in ("clause", "broken kernel", "case that failed", "its complaint"):
            shown.add_column(name, no_wrap=True, overflow="ellipsis")
        found: dict[tuple[str, str], list[Red]] = {}
        for red in self.reds:
            found.setdefault((red.clause, red.variant), []).append(red)
        rows = []
        for (clause, variant), reds in found.items():
            more = f" +{len(reds) - 1}" if len(reds) > 1 else ""
            rows.append((clause, variant, reds[0].case + more, escape(reds[0].reason)))
        rows += [(clause, "[dim]exempt[/]", "", escape(why)) for clause, why in self.exempt.items()]
        for row in sorted(rows, key=lambda row: _natural(row[0])):
            shown.add_row(*row)
        return shown

    def print_on(self, console: Console) -> None:
        """The report, what it lacks, and how long it took."""
        console.print()
        console.print(self.report())
        for variant, clause, why in self.missed:
            console.print(f"[red]MISSED[/] {clause} stayed green on {variant}: {escape(why)}")
        if self.never:
            console.print(f"[red]NEVER SEEN RED[/] {', '.join(self.never)}: no variant breaks them")
        for variant, why in self.lost.items():
            console.print(f"[red]LOST[/] {variant}: {escape(why)}")
        if self.absent:
            console.print(f"not for Linux {self.line}: {', '.join(self.absent)}")
        if self.cases:
            count = f"{self.cases - len(self.green)} of {self.cases} guest cases"
            console.print(f"{count} failed on a kernel that must break them")
        minutes = sum(self.seconds.values()) / 60
        console.print(f"control and {len(self.seconds) - 1} variants: {minutes:.1f} minutes")


def reds_of(name: str, variant: Variant, document: RunDocument, good: Collection[str]) -> list[Red]:
    """The clauses of a variant that its run shows red, each with every case that does.

    ``good``: the cases that pass on the finished series.
    """
    return [
        Red(clause, name, test["id"], test["reason"], document["run"])
        for test in document["tests"]
        if test["status"] in BROKEN and test["id"] in good and INCONCLUSIVE not in test["reason"]
        for clause in test["clauses"]
        if clause in variant.clauses
    ]


def _what_came_of(document: RunDocument) -> str:
    """One line for a run in which a clause stayed green."""
    counts = Counter(test["status"] for test in document["tests"])
    words = [f"{n} {status}" for status, n in sorted(counts.items())]
    return ", ".join(words) or (document["error"] or ["no case ran"])[0]


def _natural(clause: str) -> list[tuple[int, str]]:
    """V-PG-9 before V-PG-10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in clause.split("-")]


def chosen_variants(table: Variants, only: str) -> Mapping[str, Variant]:
    """The variants that VARIANT= names, or all; InvocationError for what is not in the table."""
    names = [name for name in only.split(",") if name]
    if unknown := [name for name in names if name not in table.variants]:
        raise InvocationError(
            f"VARIANT={only}: {', '.join(unknown)} is not in {TABLE}",
            next_step=f"there is: {', '.join(sorted(table.variants))}",
        )
    return {name: table.variants[name] for name in names} or table.variants


def seen_red(
    settings: Settings,
    run: RunKernel,
    table: Variants,
    line: str,
    console: Console,
    data: SeriesData,
) -> int:
    """Runs the control and every variant, prints the report; the exit status.

    With VARIANT= only those that it names, with commas between, are run, and only their
    own clauses are judged. A status that blames anybody but the series ends the command
    with it; but what befalls this machine during one variant costs that one only.
    """
    only = settings.variant or ""
    chosen = chosen_variants(table, only)
    settings = replace(settings, variant="", decode=False)
    asked = replace(settings, tests=" or ".join(v.to_run for v in chosen.values()) if only else "")
    control = run_state(run, asked, console, "control: the finished series")
    if not control.judged:
        return control.code
    good = {t["id"] for t in control.document["tests"] if t["status"] == "pass"}
    outcome = SeenRed(line, exempt={} if only else dict(table.exempt))
    outcome.seconds["control"] = control.document["seconds"]
    for name, variant in chosen.items():
        if find_patch(data.folder, line, name) is None:
            outcome.absent.append(name)
            continue
        asked = replace(settings, variant=name, tests=variant.to_run)
        heading = f"variant {name} must break {', '.join(variant.clauses)}"
        result = run_state(run, asked, console, heading)
        if not result.judged and result.code != MachineError.exit_code:
            outcome.print_on(console)  # what is known is not lost with what ended it
            return result.code
        outcome.seconds[name] = result.document["seconds"]
        if not result.judged:
            outcome.lost[name] = _what_came_of({**result.document, "tests": []})
            continue
        reds = reds_of(name, variant, result.document, good)
        outcome.reds += reds
        red = list(dict.fromkeys(red.clause for red in reds))
        green = sorted(set(variant.clauses) - set(red))
        outcome.missed += [(name, clause, _what_came_of(result.document)) for clause in green]
        said = [f"{', '.join(red)} seen red"] if red else []
        said += [f"MISSED {', '.join(green)}"] if green else []
        console.print(f"variant {name}: {'; '.join(said)}")
    if not only:
        outcome.judge(control.document, data.own)
    outcome.print_on(console)
    if outcome.lost:
        again = replace(settings, variant=only).command("seen-red", VARIANT=",".join(outcome.lost))
        console.print(f"next: {again}", markup=False, soft_wrap=True)
    if not only:
        path = settings.out / f"seen-red-{line}.json"
        write_json(path, outcome)
        console.print(f"results: {path}")
    code = outcome.exit_code
    console.print(f"verdict: {'fail' if code else 'pass'} (exit {code})")
    return code


def see_red(settings: Settings, run: RunKernel, console: Console) -> int:
    """``make seen-red``: :func:`seen_red` on the kernel and the table of the series."""
    data = load(settings.project)
    line = obtain_base(settings, Store(settings.cache, settings.cache_limit), Events()).line
    return seen_red(settings, run, load_table(data), line, console, data)
