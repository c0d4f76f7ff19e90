# SPDX-License-Identifier: GPL-2.0-only
"""What the user sees: a line a stage, a live bar, the cases; at the end what holds and what not.

On a terminal the current stage is a progress bar; in a pipe (CI) each stage is
one line when it ends, so that a log stays readable.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, get_args

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from harness.core import events as ev
from harness.core.command_table import command
from harness.core.errors import UNTESTED
from harness.core.tables import plain_table
from harness.core.words import counted
from harness.report.records import CaseRecord, RunDocument, SplatRecord
from harness.report.untested import figures, next_step, run_by
from harness.series.contract import SeriesData

PIPE_WIDTH = 120  # a pipe has none of its own, and 80 columns fold what CI logs can show
SHOWN = 6  # failures and distinct complaints in full
LINES = 14  # of a trace
FILES = 10  # of the series, with what has become of each
# Records that no guest case writes, the command that does, and the variable that selects one.
AGAIN = {
    "host": ("test-kernel", ""),
    "kernel": ("test-kernel", ""),
    "regression": ("test-regression", "TESTS"),
    "static": ("static-checks", ""),
    "matrix": ("build-matrix", "CELL"),
    "races": ("repro", "RACE"),
    "search": ("race-search", "PROGRAM"),
    "cost": ("cost", ""),
}
LISTINGS = ("list-tests",)  # commands that run nothing
# The verdicts of clauses, in the order of the columns.
_STYLE = {"pass": "green", "fail": "red", "untested": "yellow", "not_applicable": "dim"}
KINDS = {
    0: "nothing broke",
    1: "the series is at fault",
    2: "the invocation is at fault",
    3: "the machine is at fault",
    UNTESTED: "nothing broke, and too little of the change has run",
    70: "the harness is at fault",
    130: "interrupted",
}  # of a run's end, by its exit status


@dataclass
class Screen:
    """A consumer of events that prints them; ``close`` removes the live bar."""

    console: Console
    _progress: Progress | None = None
    _cases: int = 0
    _said: float = 0.0
    _stage: str = ""

    def close(self) -> None:
        """Ends the live display; safe to call twice."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def __call__(self, event: ev.Event) -> None:
        match event:
            case ev.StageStarted():
                self._start(event.name)
            case ev.StageProgress():
                self._advance(event)
            case ev.StageFinished():
                self.close()
                how = "cached" if event.cached else f"{event.seconds:.1f} s"
                self._print(f"{event.name:<9} {how:>9}  {escape(event.detail)}".rstrip())
            case ev.StageFailed():
                self.close()
                self._print(f"{event.name:<9} {f'{event.seconds:.1f} s':>9}  [red]failed[/]")
            case ev.Note():
                colour = "yellow" if event.level == "warning" else "dim"
                self._print(f"  [{colour}]{escape(event.text)}[/]")
            case ev.GuestBooted():
                how = "restored from the snapshot" if event.restored else "booted"
                self._print(f"  [dim]guest {how} in {event.seconds:.2f} s ({event.machine})[/]")
            case ev.PaceMeasured():
                self._print(
                    f"  [dim]pace: the fixed work load took {event.seconds:.2f} s, the reference"
                    f" {event.reference:.2f} s: time limits x {event.factor:.1f}[/]"
                )
            case ev.GuestLost():
                self._print(f"  [red]guest lost:[/] {escape(event.reason)}")
            case ev.CaseStarted():
                self._update(note=str(event.id), completed=self._cases)
            case ev.CaseFinished():
                self._cases += 1
                self._update(note=str(event.id), completed=self._cases)
                if event.status in ev.BROKEN:
                    status = event.status.upper()
                    self._print(f"  [red]{status}[/] {event.id}: {escape(event.reason)}")
            case ev.SplatSeen():
                if not event.expected:
                    where = event.test or "no test was running"
                    colour, why = ("dim", f" ({event.foreign})") if event.foreign else ("red", "")
                    title = f"{escape(event.title)}  [dim]{where}{why}[/]"
                    self._print(f"  [{colour}]kernel:[/] {title}")
            case ev.ChangeKnown():
                self._files(event.files)
            case ev.ChangeCoverage():
                self._print(f"change: {figures(event)}{run_by(event)}")
            case ev.MutantJudged():
                if not event.outcome.startswith("killed"):
                    said = f": {event.said}" if event.said else ""
                    text = f"{event.place}: {event.operator}{said}"
                    self._print(f"  [yellow]{event.outcome}[/] {escape(text)}")
            case ev.CanaryFinished():
                mark = "[green]seen[/]" if event.ok else "[red]MISSED[/]"
                self._print(
                    f"  {event.name:<20} {mark}  {event.seconds:5.1f} s  {escape(event.seen)}"
                )

    def _files(self, files: Sequence[ev.TouchedFile]) -> None:
        """What is not in the kernel: a reader can do something about that. The rest where few."""
        few = len(files) <= FILES
        ordered = sorted(files, key=lambda file: file.compiled is not False)
        same: dict[tuple[bool | None, str], list[str]] = {}  # one line for all of which it is said
        for file in ordered:
            if few or file.compiled is False:
                same.setdefault((file.compiled, file.said), []).append(file.path)
        for (compiled, said), paths in list(same.items())[:FILES]:
            colour = "yellow" if compiled is False else "dim"
            more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
            self._print(f"  [{colour}]{escape(paths[0])}{more}: {escape(said)}[/]")
        if rest := sum(map(len, list(same.values())[FILES:])):
            self._print(f"  [dim]... and {rest} files more, in report.html[/]")

    def _print(self, text: str) -> None:
        _print(self.console, text)

    def _update(self, **fields: Any) -> None:
        """Of the bar, which is the only one, where there is one."""
        if self._progress is not None:
            self._progress.update(self._progress.task_ids[0], **fields)

    def _start(self, name: str) -> None:
        self.close()
        self._stage = name
        self._said = time.monotonic()
        if not self.console.is_terminal:
            return
        self._progress = Progress(
            TextColumn("{task.fields[stage]:<9}"),
            SpinnerColumn(),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[note]}"),
            console=self.console,
            transient=True,
        )
        self._progress.add_task("", total=None, stage=name, unit="", note="")
        self._progress.start()

    def _advance(self, event: ev.StageProgress) -> None:
        if event.name != self._stage:
            return  # made beside the stage that is shown
        if self._progress is not None:
            total = event.total or None
            self._update(completed=event.done, total=total, unit=event.unit, note=event.note)
        elif time.monotonic() - self._said >= 30:
            # A pipe gets a sign of life twice a minute: CI kills what is silent.
            self._said = time.monotonic()
            of = f" of about {event.total}" if event.total else ""
            note = f"; {event.note}" if event.note else ""
            self._print(f"{event.name:<9} {'...':>9}  {event.done}{of} {event.unit}{escape(note)}")


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
    table = plain_table("clauses")
    for name, style in _STYLE.items():
        table.add_column(name.replace("_", " "), style=style, overflow="fold")
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
    failures = [test for test in run["tests"] if test["status"] in ev.BROKEN]
    # Of a workload no clause says from which patch on it may fail: a run after each does.
    apart = not run["clauses"] and len(run["series"]["patches"]) > 1
    for test in failures[:SHOWN]:
        case = ev.CaseId.parse(test["id"])
        typed = [again(case, run["asked"])]
        if apart and case.kind == "guest":
            typed.append(command("test-series", run["asked"], TESTS=test_expression(case)))
        _failure(console, test, typed)
    if len(failures) > SHOWN:
        console.print(f"\n... {len(failures) - SHOWN} more broken cases in report.html")
    by_title: dict[str, list[SplatRecord]] = {}
    for splat in run["splats"]:
        by_title.setdefault(splat["title"], []).append(splat)
    for same in list(by_title.values())[:SHOWN]:
        _complaint(console, same)


def _failure(console: Console, test: CaseRecord, typed: Sequence[str]) -> None:
    heading = f"[red]{test['status'].upper()}[/] {test['id']}"
    console.print(f"\n{heading}  [dim]{test['seconds']:.2f} s[/]")
    if about := test["about"]:
        clauses = f"  ({', '.join(test['clauses'])})" if test["clauses"] else ""
        _print(console, f"  claim:  {escape(about + clauses)}")
    _print(console, f"  reason: {escape(test['reason'])}")
    for line in test["diagnostics"][-8:]:
        _print(console, f"  | {escape(line.removeprefix('| '))}")
    for head, line in zip_longest(("next:   ",), typed, fillvalue="        "):
        _print(console, f"  {head}{escape(line)}")
    if ev.CaseId.parse(test["id"]).kind in ("guest", "races"):
        _finding(console, "       ", test.get("finding"))


def _finding(console: Console, head: str, failure: str | None) -> None:
    """What makes one file of a failure that replays it elsewhere."""
    if failure:
        _print(console, f"  {head} {escape(command('finding', ID=failure))}")


def again(case: ev.CaseId, asked: Mapping[str, str]) -> str:
    """What to type to see a case's record again, in a run that was asked for with ``asked``."""
    if case.kind not in AGAIN:
        return command("test-kernel", asked, TESTS=test_expression(case))
    typed, selects = AGAIN[case.kind]
    if asked.get("FROM"):  # a claim is no scenario, and named by its file
        selects = ""
    return command(typed, asked, **({selects: case.name} if selects else {}))


def test_expression(case: ev.CaseId) -> str:
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
    if splat["patch"]:
        _print(console, f"  patch:  {escape(splat['patch'])}")
    if splat["test"]:
        _finding(console, "next:  ", splat.get("finding"))


def print_summary(console: Console, run: RunDocument, data: SeriesData, out: Path) -> None:
    """Prints the summary; its last line names the verdict and its kind.

    Of a listing that came to its end it says that nothing was run, which is no verdict.
    """
    if tests := run["tests"]:
        console.print()
        if run["clauses"] and any(test["clauses"] for test in tests):
            console.print(clause_table(run, data))
        counts = Counter(test["status"] for test in tests)
        named = (f"{counts[s]} {s.replace('_', ' ')}" for s in get_args(ev.Status) if counts[s])
        console.print(f"{counted(len(tests), 'case')}: {', '.join(named)}")
    _failures(console, run)
    console.print()
    for line in (*run["error"], *run["untested"]):
        _print(console, escape(line))
    if run["untested"] and (typed := next_step(run["files"], run["asked"])):
        _print(console, f"next: {escape(typed)}")
    if run["command"] in LISTINGS and not run["exit_code"]:
        _print(
            console, f"[bold green]listed[/] (exit 0: nothing was run) in {run['seconds']:.0f} s"
        )
        return
    _print(console, f"results: {out}")
    _print(console, verdict_line(run))


def verdict_line(run: RunDocument) -> str:
    """The last line on the screen, for whoever sees only make's own status."""
    code = run["exit_code"]
    colour, why = {0: "green", UNTESTED: "yellow"}.get(code, "red"), KINDS.get(code, "")
    if code == 1 and not run["error"]:
        broken = sum(test["status"] in ev.BROKEN for test in run["tests"])
        why += (
            f": {counted(broken, 'case')} broken, {counted(len(run['splats']), 'kernel complaint')}"
        )
    return (
        f"[bold {colour}]verdict: {run['verdict']}[/] (exit {code}: {why})"
        f" in {run['seconds']:.0f} s"
    )
