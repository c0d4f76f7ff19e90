# SPDX-License-Identifier: GPL-2.0-only
"""What a race is judged by, and how that is told: the table, repro.json, the test's record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.markup import escape
from rich.table import Table

from harness.events import CaseFinished, Status
from harness.rates import wilson
from harness.racelab import Batch, Counts
from harness.scenario import Scenario

SCHEMA = 1


@dataclass
class Judged:
    """One scenario on both kernels of the flavour ``config``.

    ``error``: it could not be tried, and why.
    """

    scenario: Scenario
    line: str
    config: str
    asked: int
    variant: Batch = field(default_factory=Batch)
    series: Batch = field(default_factory=Batch)
    seconds: float = 0.0
    error: str = ""
    advice: str = ""
    evidence: str = ""
    stress_variant: Batch | None = None
    stress_series: Batch | None = None

    @property
    def struck(self) -> int:
        """How often the race struck on the series: each is a broken promise."""
        return self.series.counts.hit

    @property
    def short(self) -> str:
        """Why the bars are not met, other than by a hit on the series; '' where they are."""
        if self.error:
            return self.error
        variant, series = self.variant.counts, self.series.counts
        if variant.hit < self.asked:
            return (
                f"on the variant the race was hit {variant.hit} times of {self.asked}"
                f" ({variant.miss} misses, {variant.excluded} excluded): it proves nothing"
            )
        if series.miss + series.excluded + series.hit < self.asked:
            return f"{series.runs} runs of {self.asked} on the series"
        return ""

    @property
    def verdict(self) -> tuple[Status, str]:
        """The test's status, and the reason where it is no pass."""
        if self.struck:
            runs = self.series.counts.runs
            return "fail", f"the race strikes on the series: {self.struck} of {runs} runs"
        if self.short:
            return "error", self.short
        return "pass", ""


def record(judged: Judged) -> CaseFinished:
    """The scenario as a test: what it shows of the clauses that it names."""
    scenario = judged.scenario
    status, reason = judged.verdict
    said = (
        f"variant: {_words(judged.variant.counts)}",
        f"series: {_words(judged.series.counts)}",
    )
    return CaseFinished(
        f"races::{scenario.name}",
        status,
        reason,
        judged.seconds,
        scenario.clauses,
        diagnostics=said,
        about=scenario.about,
    )


def _words(counts: Counts) -> str:
    return (
        f"{counts.hit} hits, {counts.miss} misses, {counts.excluded} excluded of {counts.runs} runs"
    )


def summary(judged: Judged) -> str:
    """Both columns in one line."""
    status, _ = judged.verdict
    return (
        f"{judged.scenario.name}: {status}; variant: {_words(judged.variant.counts)};"
        f" series: {_words(judged.series.counts)}"
    )


def document(run: str, version: str, everything: Sequence[Judged]) -> dict[str, Any]:
    """``repro.json``."""
    return {
        "schema": SCHEMA,
        "run": run,
        "version": version,
        "scenarios": [_scenario(judged) for judged in everything],
    }


def _scenario(judged: Judged) -> dict[str, Any]:
    status, reason = judged.verdict
    low, high = wilson(judged.variant.counts.hit, judged.variant.counts.runs)
    found: dict[str, Any] = {
        "name": judged.scenario.name,
        "kernel": judged.line,
        "config": judged.config,
        "controlled": judged.scenario.controlled,
        "clauses": list(judged.scenario.clauses),
        "variant": judged.variant.counts.record(),
        "interval": [round(low, 4), round(high, 4)],
        "series": judged.series.counts.record(),
        "seconds": round(judged.seconds, 2),
        "status": status,
        "reason": reason,
        "evidence": judged.evidence,
    }
    if judged.stress_variant is not None and judged.stress_series is not None:
        found["stress"] = {
            "variant": _stress(judged.stress_variant),
            "series": _stress(judged.stress_series),
        }
    return found


def _stress(batch: Batch) -> dict[str, Any]:
    runs, hits, seconds = batch.stress or (0, 0, 0.0)
    return {"runs": runs, "hits": hits, "seconds": seconds, "error": batch.error}


def table(everything: Sequence[Judged]) -> Table:
    """One row a scenario."""
    shown = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("scenario", "kernel", "control"):
        shown.add_column(name, no_wrap=True)
    shown.add_column("variant: hits", justify="right")
    shown.add_column("95 %", justify="right", no_wrap=True)
    for name in ("series: hits", "miss", "excluded", "s"):
        shown.add_column(name, justify="right")
    shown.add_column("verdict")
    for judged in everything:
        variant, series = judged.variant.counts, judged.series.counts
        low, high = wilson(variant.hit, variant.runs)
        status, _ = judged.verdict
        colour = "green" if status == "pass" else "red"
        shown.add_row(
            judged.scenario.name,
            judged.line,
            "held" if judged.scenario.controlled else "sequential",
            f"{variant.hit} of {variant.runs}",
            f"{low:.0%} to {high:.0%}" if variant.runs else "",
            f"{series.hit} of {series.runs}",
            str(series.miss),
            str(series.excluded),
            f"{judged.seconds:.1f}",
            f"[{colour}]{status}[/]",
        )
    return shown


def stress_table(everything: Sequence[Judged]) -> Table:
    """Hits a minute with the CPUs held, and by repetition alone."""
    shown = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in (
        "scenario",
        "kernel",
        "variant, held",
        "variant, repeated",
        "series, held",
        "series, repeated",
    ):
        shown.add_column(name)
    for judged in everything:
        if judged.stress_variant is None or judged.stress_series is None:
            continue
        shown.add_row(
            judged.scenario.name,
            judged.line,
            _rate(judged.variant.counts.hit, judged.variant.counts.runs, judged.variant.seconds),
            _rate_of(judged.stress_variant),
            _rate(judged.series.counts.hit, judged.series.counts.runs, judged.series.seconds),
            _rate_of(judged.stress_series),
        )
    return shown


def _rate(hits: int, runs: int, seconds: float) -> str:
    """Hits a minute."""
    if seconds <= 0:
        return ""
    return f"{60 * hits / seconds:.0f} hits a minute ({hits} of {runs})"


def _rate_of(batch: Batch) -> str:
    if batch.stress is None:
        return escape(batch.error) or "did not end"
    runs, hits, seconds = batch.stress
    return _rate(hits, runs, seconds)
