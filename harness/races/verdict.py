# SPDX-License-Identifier: GPL-2.0-only
"""What a race is judged by, and what a user reads: columns before, tables after, repro.json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from harness.core.errors import InvocationError
from harness.core.events import CaseFinished, Status
from harness.core.rates import wilson
from harness.core.tables import plain_table
from harness.debugger.symbols import KernelSource
from harness.races.batch import Batch, StressTotals
from harness.races.breakpoints import Breakpoint
from harness.races.scenario import Point, Scenario

SCHEMA = 1
LINES_AROUND = 1  # of the kernel's source before the one of a point, and after it


@dataclass
class RaceResult:
    """One scenario on both kernels of the flavour ``config``, ``asked`` runs on each.

    ``error``: it could not be tried, and why. ``evidence``: the folder of its traces, or the
    trace of what went wrong. ``stress``: without control, on the variant and on the series.
    """

    scenario: Scenario
    line: str
    config: str
    asked: int
    variant: Batch = field(default_factory=Batch)
    series: Batch = field(default_factory=Batch)
    seconds: float = 0.0
    error: InvocationError | None = None
    evidence: Path | None = None
    stress: tuple[StressTotals, StressTotals] | None = None

    @property
    def struck(self) -> int:
        """How often the race struck on the series: each is a broken promise."""
        return self.series.counts.hit

    @property
    def failure_reason(self) -> str | None:
        """Why the bars are not met, other than by a hit on the series."""
        if self.error is not None:
            return self.error.what
        variant, series = self.variant.counts, self.series.counts
        if variant.hit < self.asked:
            return (
                f"on the variant the race was hit {variant.hit} times of {self.asked}"
                f" ({variant.miss} misses, {variant.excluded} excluded): it proves nothing"
            )
        if series.runs < self.asked:
            return f"{series.runs} runs of {self.asked} on the series"
        return None

    @property
    def verdict(self) -> tuple[Status, str]:
        """The test's status, and the reason where it is no pass."""
        if self.struck:
            runs = self.series.counts.runs
            return "fail", f"the race strikes on the series: {self.struck} of {runs} runs"
        reason = self.failure_reason
        return ("error", reason) if reason else ("pass", "")

    def sides(self) -> tuple[str, str]:
        """How the runs ended on each kernel, in words."""
        return f"variant: {self.variant.counts}", f"series: {self.series.counts}"

    def record(self) -> CaseFinished:
        """The scenario as a test: what it shows of the clauses that it names."""
        of, (status, reason) = self.scenario, self.verdict
        return CaseFinished(of.id, status, reason, self.seconds, of.clauses, self.sides(), of.about)


def document(result: RaceResult) -> dict[str, Any]:
    """One of the ``scenarios`` of ``repro.json``."""
    status, reason = result.verdict
    variant, scenario = result.variant.counts, result.scenario
    record: dict[str, Any] = {
        "name": scenario.name,
        "kernel": result.line,
        "config": result.config,
        "controlled": scenario.controlled,
        "clauses": list(scenario.clauses),
        "variant": asdict(variant),
        "interval": [round(bound, 4) for bound in wilson(variant.hit, variant.runs)],
        "series": asdict(result.series.counts),
        "seconds": round(result.seconds, 2),
        "status": status,
        "reason": reason,
        "evidence": str(result.evidence or ""),
    }
    if result.stress is not None:
        names = zip(("variant", "series"), result.stress, strict=True)
        record["stress"] = {name: {**asdict(s), "error": s.error or ""} for name, s in names}
    return record


def explanation(
    scenario: Scenario, breakpoints: Sequence[Breakpoint], source: KernelSource
) -> RenderableType:
    """A scenario as a maintainer would draw it: a column a thread, the points in order.

    ``breakpoints``: of the points, in order; ``source``: of the kernel in which they are.
    """
    columns = plain_table("")
    for thread in scenario.threads:
        heading = f"{thread.name}, CPU {thread.cpu}: {escape(thread.does)}"
        columns.add_column(heading, ratio=1, overflow="fold")
    below = [""]
    for number, (point, at) in enumerate(zip(scenario.points, breakpoints, strict=True), 1):
        cell = _cell(point, at)
        columns.add_row(str(number), *(cell * (point.thread == t.name) for t in scenario.threads))
        if at.file is not None:
            below.append(f"{number} {point.thread}  {at.file}")
            lines = source.lines(at.file)[: at.line + LINES_AROUND]
            first = max(1, at.line - LINES_AROUND)
            for n, line in enumerate(lines[first - 1 :], first):
                below.append(f"  {'>' if n == at.line else ' '} {n:5}  {line.expandtabs(8)}")
            below.append("")
    below += [f"hit:      {scenario.hit}", f"miss:     {scenario.miss}"]
    if expected := scenario.exclusion:
        what = f"{expected.thread} waits in {expected.function}() for {expected.lock}"
        below.append(f"excluded: {what}")
    clauses = f" ({', '.join(scenario.clauses)})" if scenario.clauses else ""
    above = [scenario.about, f"without the protection: {scenario.variant}.patch", ""]
    if not scenario.controlled:
        above.append("sequential: nobody is held, the order is the program's own")
    return Group(
        Text.from_markup(f"[bold]{scenario.name}[/]{escape(clauses)}"),
        Text("\n".join(above)),
        columns,
        Text("\n".join([*below, ""])),
    )


def _cell(point: Point, at: Breakpoint) -> str:
    lines = [f"[bold]{escape(str(point.place))}[/]"]
    if at.file is not None:
        into = f", inlined into {', '.join(f'{name}()' for name in at.inlined_into)}"
        lines.append(f"[dim]{at.file}:{at.line}{into if at.inlined_into else ''}[/]")
    conditions = [f"within {name}()" for name in point.within]
    conditions += [f"time {point.nth}"] if point.nth > 1 else []
    for argument in point.arguments:
        wanted = argument.variable or f"& {argument.mask:#x}"
        conditions.append(f"argument {argument.number}: {wanted}")
    if conditions:
        lines.append(f"[dim]{escape(', '.join(conditions))}[/]")
    if point.says is not None:
        lines.append(escape(point.says))
    return "\n".join(lines)


def table(results: Sequence[RaceResult]) -> Table:
    """One row a scenario."""
    names = ("scenario", "kernel", "control")
    numbers = ("variant: hits", "95 %", "series: hits", "miss", "excluded", "s")
    shown = plain_table(*names, *numbers, "verdict", right=numbers, whole=(*names, "95 %"))
    for result in results:
        variant, series, status = result.variant.counts, result.series.counts, result.verdict[0]
        low, high = wilson(variant.hit, variant.runs)
        shown.add_row(
            result.scenario.name,
            result.line,
            "held" if result.scenario.controlled else "sequential",
            f"{variant.hit} of {variant.runs}",
            f"{low:.0%} to {high:.0%}" if variant.runs else "",
            f"{series.hit} of {series.runs}",
            *(str(series.miss), str(series.excluded), f"{result.seconds:.1f}"),
            f"[{'green' if status == 'pass' else 'red'}]{status}[/]",
        )
    return shown


def stress_table(results: Sequence[RaceResult]) -> Table:
    """Hits a minute with the CPUs held, and by repetition alone."""
    kinds = ("variant, held", "variant, repeated", "series, held", "series, repeated")
    shown = plain_table("scenario", "kernel", *kinds)
    for result in results:
        if result.stress is not None:
            cells = []
            for held, repeated in zip((result.variant, result.series), result.stress, strict=True):
                totals = StressTotals(held.counts.runs, held.counts.hit, held.seconds)
                cells += [_rate(totals), _rate(repeated) or escape(repeated.error or "did not end")]
            shown.add_row(result.scenario.name, result.line, *cells)
    return shown


def _rate(totals: StressTotals) -> str:
    if totals.seconds <= 0:
        return ""
    minute = 60 * totals.hits / totals.seconds
    return f"{minute:.0f} hits a minute ({totals.hits} of {totals.runs})"
