# SPDX-License-Identifier: GPL-2.0-only
"""What a race is judged by, and how that is told: the table, repro.json, the test's record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from harness.core.errors import InvocationError
from harness.core.events import CaseFinished, Status
from harness.core.rates import wilson
from harness.races.batch import Batch, StressTotals
from harness.races.scenario import Scenario

SCHEMA = 1


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

    def summary(self) -> str:
        """Both kernels in one line."""
        return f"{self.scenario.name}: {'; '.join((self.verdict[0], *self.sides()))}"

    def record(self) -> CaseFinished:
        """The scenario as a test: what it shows of the clauses that it names."""
        scenario = self.scenario
        return CaseFinished(
            scenario.id,
            *self.verdict,
            self.seconds,
            scenario.clauses,
            diagnostics=self.sides(),
            about=scenario.about,
        )


def document(run: str, version: str, results: Sequence[RaceResult]) -> dict[str, Any]:
    """``repro.json``.

    Args:
        run: its id.
        version: of the kernel that the series is for.
    """
    scenarios = [_scenario(result) for result in results]
    return {"schema": SCHEMA, "run": run, "version": version, "scenarios": scenarios}


def _scenario(result: RaceResult) -> dict[str, Any]:
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


def _empty_table() -> Table:
    return Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))


def table(results: Sequence[RaceResult]) -> Table:
    """One row a scenario."""
    shown = _empty_table()
    for name in ("scenario", "kernel", "control"):
        shown.add_column(name, no_wrap=True)
    for name in ("variant: hits", "95 %", "series: hits", "miss", "excluded", "s"):
        shown.add_column(name, justify="right", no_wrap=name == "95 %")
    shown.add_column("verdict")
    for result in results:
        variant, series = result.variant.counts, result.series.counts
        low, high = wilson(variant.hit, variant.runs)
        status, _ = result.verdict
        shown.add_row(
            result.scenario.name,
            result.line,
            "held" if result.scenario.controlled else "sequential",
            f"{variant.hit} of {variant.runs}",
            f"{low:.0%} to {high:.0%}" if variant.runs else "",
            f"{series.hit} of {series.runs}",
            str(series.miss),
            str(series.excluded),
            f"{result.seconds:.1f}",
            f"[{'green' if status == 'pass' else 'red'}]{status}[/]",
        )
    return shown


def stress_table(results: Sequence[RaceResult]) -> Table:
    """Hits a minute with the CPUs held, and by repetition alone."""
    shown = _empty_table()
    kinds = ("variant, held", "variant, repeated", "series, held", "series, repeated")
    for name in ("scenario", "kernel", *kinds):
        shown.add_column(name)
    for result in results:
        if result.stress is not None:
            cells = []
            for held, repeated in zip((result.variant, result.series), result.stress, strict=True):
                counts = held.counts
                cells += [
                    _rate(StressTotals(counts.runs, counts.hit, held.seconds)),
                    _rate(repeated) or escape(repeated.error or "did not end"),
                ]
            shown.add_row(result.scenario.name, result.line, *cells)
    return shown


def _rate(totals: StressTotals) -> str:
    if totals.seconds <= 0:
        return ""
    minute = 60 * totals.hits / totals.seconds
    return f"{minute:.0f} hits a minute ({totals.hits} of {totals.runs})"
