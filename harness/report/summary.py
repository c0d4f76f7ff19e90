# SPDX-License-Identifier: GPL-2.0-only
"""The closing screen of a run: what holds, what does not, and what to type next."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.core.events import CaseFinished, CaseId
from harness.core.usage import command
from harness.report.results import BROKEN, ClauseRecord, Complaint, Results, judge
from harness.series.contract import SeriesData

SHOWN = 6  # failures and distinct complaints in full
LINES = 14  # of a trace
_ORDER = ("pass", "fail", "untested", "not_applicable")
# Records that no guest case writes, the command that does, and the variable that selects one.
AGAIN = {
    "host": ("test-kernel", ""),
    "kernel": ("test-kernel", ""),
    "regression": ("test-regression", "TESTS"),
    "static": ("static-checks", ""),
    "matrix": ("build-matrix", "CELL"),
    "races": ("repro", "RACE"),
}
_STYLE = {"pass": "green", "fail": "red", "untested": "yellow", "not_applicable": "dim"}


def ranges(numbers: list[int]) -> str:
    """[1, 2, 3, 5] as '1-3 5': a contract's clauses in a few characters."""
    parts: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if parts and parts[-1][1] == number - 1:
            parts[-1] = (parts[-1][0], number)
        else:
            parts.append((number, number))
    return " ".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def _families(verdicts: dict[str, ClauseRecord]) -> Iterator[tuple[str, dict[str, list[int]]]]:
    families: dict[str, dict[str, list[int]]] = {}
    for clause, verdict in verdicts.items():
        family, number = re.fullmatch(r"(.+)-(\d+)", clause).groups()  # type: ignore[union-attr]
        families.setdefault(family, {}).setdefault(verdict["verdict"], []).append(int(number))
    yield from families.items()


def clause_table(verdicts: dict[str, ClauseRecord], data: SeriesData, results: Results) -> Table:
    """One row a family of clauses: which pass, fail, are untested, do not apply."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("clauses")
    for name in _ORDER:
        table.add_column(name.replace("_", " "), style=_STYLE[name])
    table.add_column("cases", justify="right")
    for family, by_verdict in _families(verdicts):
        section = next(c.section for c in data.clauses.values() if c.id.startswith(f"{family}-"))
        cases = [t for t in results.tests if any(c.startswith(f"{family}-") for c in t.clauses)]
        cells = [ranges(by_verdict.get(name, [])) for name in _ORDER]
        table.add_row(f"{family}  [dim]{section}[/]", *cells, str(len(cases)))
    return table


def _failures(console: Console, results: Results) -> None:
    """The first failures in full; a screen that scrolls away shows nothing."""
    failures = results.failures()
    for test in failures[:SHOWN]:
        _failure(console, test, again(test.id, results.run.asked if results.run else {}))
    if len(failures) > SHOWN:
        console.print(f"\n... {len(failures) - SHOWN} more broken cases in report.html")
    by_title: dict[str, list[Complaint]] = {}
    for complaint in results.complaints():
        by_title.setdefault(complaint.splat.title, []).append(complaint)
    for same in list(by_title.values())[:SHOWN]:
        _complaint(console, same)


def _failure(console: Console, test: CaseFinished, typed: str) -> None:
    console.print(f"\n[red]{test.status.upper()}[/] {test.id}  [dim]{test.seconds:.2f} s[/]")
    if test.about:
        claim = f"{test.about}  ({', '.join(test.clauses)})" if test.clauses else test.about
        console.print(f"  claim:  {escape(claim)}", highlight=False, soft_wrap=True)
    console.print(f"  reason: {escape(test.reason)}", highlight=False, soft_wrap=True)
    for line in test.diagnostics[-8:]:
        console.print(f"  | {escape(line)}", highlight=False, soft_wrap=True)
    console.print(f"  next:   {typed}", highlight=False, markup=False, soft_wrap=True)


def again(case: CaseId, asked: Mapping[str, str]) -> str:
    """What to type to see a case's record again, in a run that was asked for with ``asked``."""
    if case.kind not in AGAIN:
        return command("test-kernel", asked, TESTS=test_expression(case))
    typed, selects = AGAIN[case.kind]
    return command(typed, asked, **({selects: case.name} if selects else {}))


def test_expression(case: CaseId) -> str:
    """What TESTS= must be to run a case: 'sigbus and read_traps'."""
    return f"{Path(case.program or '').stem} and {case.name}"


def _complaint(console: Console, same: list[Complaint]) -> None:
    """One title's first report, and how often it came."""
    splat, decoded = same[0].splat, same[0].decoded
    often = f", and {len(same) - 1} times more" if len(same) > 1 else ""
    where = f"{splat.test or 'no test was running'}{often}"
    console.print(f"\n[red]KERNEL[/] {escape(splat.title)}  [dim]{where}[/]")
    text = (decoded.text if decoded else splat.text).splitlines()
    for line in text[:LINES]:
        console.print(f"  | {escape(line)}", highlight=False, soft_wrap=True)
    if len(text) > LINES:
        console.print(f"  | ... {len(text) - LINES} more lines in report.html and console.log")
    console.print(f"  [dim]trace: {decoded.how if decoded else 'not decoded'}[/]")


def print_summary(console: Console, results: Results, data: SeriesData | None, out: Path) -> None:
    """Prints the summary; its last line names the verdict and its kind."""
    finished = results.finished
    if data is not None and results.series is not None and results.tests:
        verdicts = judge(data.clauses, len(results.series.patches), results.tests)
        console.print()
        if any(test.clauses for test in results.tests):
            console.print(clause_table(verdicts, data, results))
        counts = {
            s: sum(t.status == s for t in results.tests)
            for s in ("pass", "fail", "error", "timeout", "skip", "not_applicable")
        }
        said = ", ".join(f"{n} {s.replace('_', ' ')}" for s, n in counts.items() if n)
        console.print(f"{len(results.tests)} cases: {said}")
    _failures(console, results)
    console.print()
    for line in finished.error if finished else ():
        console.print(escape(line), highlight=False, soft_wrap=True)
    console.print(f"results: {out}", highlight=False, soft_wrap=True)
    console.print(verdict_line(results), highlight=False, soft_wrap=True)


def verdict_line(results: Results) -> str:
    """The last line on the screen, for whoever sees only make's own status."""
    finished = results.finished
    if finished is None:
        return "[red]verdict: infra (70): the run did not end[/]"
    kinds = {
        0: "nothing broke",
        1: "the series is at fault",
        2: "the invocation is at fault",
        3: "the machine is at fault",
        70: "the harness is at fault",
        130: "interrupted",
    }
    colour = "green" if finished.exit_code == 0 else "red"
    why = kinds.get(finished.exit_code, "")
    if finished.exit_code == 1 and not finished.error:
        broken = sum(t.status in BROKEN for t in results.tests)
        splats = len(results.complaints())
        why += f": {broken} cases broken, {splats} kernel complaints"
    return (
        f"[bold {colour}]verdict: {finished.verdict}[/] (exit {finished.exit_code}: {why})"
        f" in {finished.seconds:.0f} s"
    )
