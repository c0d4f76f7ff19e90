# SPDX-License-Identifier: GPL-2.0-only
"""The closing screen of a run: what holds, what does not, and what to type next."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.core.events import CaseId, Status
from harness.core.usage import command
from harness.report.results import BROKEN, CaseRecord, RunDocument, SplatRecord
from harness.series.contract import SeriesData

SHOWN = 6  # failures and distinct complaints in full
LINES = 14  # of a trace
# Records that no guest case writes, the command that does, and the variable that selects one.
AGAIN = {
    "host": ("test-kernel", ""),
    "kernel": ("test-kernel", ""),
    "regression": ("test-regression", "TESTS"),
    "static": ("static-checks", ""),
    "matrix": ("build-matrix", "CELL"),
    "races": ("repro", "RACE"),
}
# The verdicts of clauses, in the order of the columns.
_STYLE = {"pass": "green", "fail": "red", "untested": "yellow", "not_applicable": "dim"}
KINDS = {
    0: "nothing broke",
    1: "the series is at fault",
    2: "the invocation is at fault",
    3: "the machine is at fault",
    70: "the harness is at fault",
    130: "interrupted",
}  # of a run's end, by its exit status


def ranges(numbers: list[int]) -> str:
    """[1, 2, 3, 5] as '1-3 5': a contract's clauses in a few characters."""
    parts: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if parts and parts[-1][1] == number - 1:
            parts[-1] = (parts[-1][0], number)
        else:
            parts.append((number, number))
    return " ".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def clause_table(run: RunDocument, data: SeriesData) -> Table:
    """One row a family of clauses: which pass, fail, are untested, do not apply."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("clauses")
    for name, style in _STYLE.items():
        table.add_column(name.replace("_", " "), style=style)
    table.add_column("cases", justify="right")
    families: dict[str, dict[str, list[int]]] = {}
    for clause, record in run["clauses"].items():
        family, _, number = clause.rpartition("-")
        by_verdict = families.setdefault(family, defaultdict(list))
        by_verdict[record["verdict"]].append(int(number))
    for family, by_verdict in families.items():
        section = next(c.section for c in data.clauses.values() if c.id.startswith(f"{family}-"))
        cases = [t for t in run["tests"] if any(c.startswith(f"{family}-") for c in t["clauses"])]
        cells = [ranges(by_verdict[name]) for name in _STYLE]
        table.add_row(f"{family}  [dim]{section}[/]", *cells, str(len(cases)))
    return table


def _print(console: Console, text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True)


def _failures(console: Console, run: RunDocument) -> None:
    """The first failures in full; a screen that scrolls away shows nothing."""
    failures = [test for test in run["tests"] if test["status"] in BROKEN]
    for test in failures[:SHOWN]:
        _failure(console, test, again(CaseId.parse(test["id"]), run["asked"]))
    if len(failures) > SHOWN:
        console.print(f"\n... {len(failures) - SHOWN} more broken cases in report.html")
    by_title: dict[str, list[SplatRecord]] = {}
    for splat in run["splats"]:
        by_title.setdefault(splat["title"], []).append(splat)
    for same in list(by_title.values())[:SHOWN]:
        _complaint(console, same)


def _failure(console: Console, test: CaseRecord, typed: str) -> None:
    heading = f"[red]{test['status'].upper()}[/] {test['id']}"
    console.print(f"\n{heading}  [dim]{test['seconds']:.2f} s[/]")
    if about := test["about"]:
        clauses = f"  ({', '.join(test['clauses'])})" if test["clauses"] else ""
        _print(console, f"  claim:  {escape(about + clauses)}")
    _print(console, f"  reason: {escape(test['reason'])}")
    for line in test["diagnostics"][-8:]:
        _print(console, f"  | {escape(line)}")
    _print(console, f"  next:   {escape(typed)}")


def again(case: CaseId, asked: Mapping[str, str]) -> str:
    """What to type to see a case's record again, in a run that was asked for with ``asked``."""
    if case.kind not in AGAIN:
        return command("test-kernel", asked, TESTS=test_expression(case))
    typed, selects = AGAIN[case.kind]
    return command(typed, asked, **({selects: case.name} if selects else {}))


def test_expression(case: CaseId) -> str:
    """What TESTS= must be to run a case: 'sigbus and read_traps'."""
    return f"{Path(case.program or '').stem} and {case.name}"


def _complaint(console: Console, same: Sequence[SplatRecord]) -> None:
    """One title's first report, and how often it came."""
    splat = same[0]
    often = f", and {len(same) - 1} times more" if len(same) > 1 else ""
    where = f"{splat['test'] or 'no test was running'}{often}"
    console.print(f"\n[red]KERNEL[/] {escape(splat['title'])}  [dim]{where}[/]")
    text = splat["text"].splitlines()
    for line in text[:LINES]:
        _print(console, f"  | {escape(line)}")
    if len(text) > LINES:
        console.print(f"  | ... {len(text) - LINES} more lines in report.html and console.log")
    console.print(f"  [dim]trace: {splat['decoded'] or 'not decoded'}[/]")


def print_summary(console: Console, run: RunDocument, data: SeriesData, out: Path) -> None:
    """Prints the summary; its last line names the verdict and its kind."""
    if tests := run["tests"]:
        console.print()
        if run["clauses"] and any(test["clauses"] for test in tests):
            console.print(clause_table(run, data))
        counts = Counter(test["status"] for test in tests)
        named = (f"{counts[s]} {s.replace('_', ' ')}" for s in get_args(Status) if counts[s])
        console.print(f"{len(tests)} cases: {', '.join(named)}")
    _failures(console, run)
    console.print()
    for line in run["error"]:
        _print(console, escape(line))
    _print(console, f"results: {out}")
    _print(console, verdict_line(run))


def verdict_line(run: RunDocument) -> str:
    """The last line on the screen, for whoever sees only make's own status."""
    code = run["exit_code"]
    colour, why = "red" if code else "green", KINDS.get(code, "")
    if code == 1 and not run["error"]:
        broken = sum(test["status"] in BROKEN for test in run["tests"])
        why += f": {broken} cases broken, {len(run['splats'])} kernel complaints"
    return (
        f"[bold {colour}]verdict: {run['verdict']}[/] (exit {code}: {why})"
        f" in {run['seconds']:.0f} s"
    )
