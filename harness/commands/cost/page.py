# SPDX-License-Identifier: GPL-2.0-only
"""What was measured, for people and programs: tables on the screen, cost.json, cost.svg."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from harness.commands.cost.bars import CostTable, RatioBar
from harness.commands.cost.judge import ALONE, Boots, Difference, Spread, shown
from harness.commands.cost.sizes import KernelSizes
from harness.core.tables import plain_table
from harness.report.files import page_environment

FORMAT = 1
ROW_PX, MIDDLE_PX, REACH_PX = 18, 480, 260  # of the plot: a row; where 0 % is; from there to an end
MOST_PERCENT = 5.0  # what the plot shows of a difference


@dataclass(frozen=True)
class CostReport:
    """All that a run has measured; ``alone``: figures of the series by their keys."""

    boots: int
    differences: Sequence[Difference]
    alone: Boots
    ratios: Mapping[RatioBar, Spread]
    base: KernelSizes
    series: KernelSizes

    def of_series(self) -> dict[str, Spread]:
        """Instructions of what only the series was measured for."""
        keys = (key for key in self.alone if key.condition == ALONE and key.unit == "instructions")
        return {key.name: Spread.of(self.alone[key]) for key in keys}

    def document(self) -> dict[str, object]:
        """``cost.json``, as docs/cost.md describes it and ``write_json`` writes it."""
        return {
            "format": FORMAT,
            "boots": self.boots,
            "differences": [
                {**d.key._asdict(), "base": d.base, "series": d.series, "percent": d.percent}
                for d in self.differences
            ],
            "series": self.of_series(),
            "ratios": [{**vars(bar), "times": times} for bar, times in self.ratios.items()],
            "sizes": {"base": self.base, "series": self.series},
        }


def _allowed(difference: Difference, table: CostTable) -> str:
    unit, condition, name = difference.key
    bars = [bar.at_most for bar in table.bars if bar.judges(condition, name)]
    return f"{bars[0]:+g} %" if bars and unit == "instructions" else ""


def tables(report: CostReport, table: CostTable) -> Iterator[Table]:
    """The tables of the screen, each of its kind."""
    for unit, condition in dict.fromkeys(d.key[:2] for d in report.differences):
        names = (f"{unit}, {condition}", "base", "series", "difference (95 %)", "at most")
        shown_table = plain_table(*names)
        for d in report.differences:
            if d.key[:2] == (unit, condition):
                said = shown(d.percent) if d.seen else f"none seen: {shown(d.percent)}"
                medians = (f"{Spread.of(v).middle:,.1f}" for v in (d.base, d.series))
                shown_table.add_row(d.key.name, *medians, said, _allowed(d, table))
        yield shown_table
    alone = plain_table("instructions, the series alone", "median", "95 %")
    for name, spread in report.of_series().items():
        interval = f"{spread.low:,.2f} to {spread.high:,.2f}"
        alone.add_row(name, f"{spread.middle:,.2f}", interval)
    yield alone
    sizes = plain_table("bytes", "base", "series", "more")
    images = report.base.image, report.series.image
    structs = report.base.structs, report.series.structs
    for prefix, (before, after) in (("", images), ("struct ", structs)):
        for name, was in before.items():
            more = after[name] - was
            sizes.add_row(f"{prefix}{name}", f"{was:,}", f"{after[name]:,}", f"{more:+,}")
    yield sizes


def _place(percent: float) -> float:
    """Where a difference is in the plot, in pixels; beyond its ends at the end."""
    within = max(-MOST_PERCENT, min(MOST_PERCENT, percent))
    return MIDDLE_PX + REACH_PX * within / MOST_PERCENT


def plot(report: CostReport, table: CostTable) -> str:
    """``cost.svg``: a row a figure, with the interval of its difference and its bar."""
    rows = []
    for d in report.differences:
        percent, bars = d.percent, [b for b in table.bars if b.judges(d.key.condition, d.key.name)]
        rows.append(
            {
                "name": f"{d.key.name}, {d.key.condition}",
                "unit": d.key.unit,
                "said": shown(percent),
                "low": _place(percent.low),
                "middle": _place(percent.middle),
                "high": _place(percent.high),
                "bar": _place(bars[0].at_most) if bars and d.key.unit == "instructions" else None,
            }
        )
    ticks = [(_place(n), f"{n:+d} %") for n in range(-int(MOST_PERCENT), int(MOST_PERCENT) + 1)]
    template = page_environment(Path(__file__).parent).get_template("cost.svg.j2")
    return template.render(rows=rows, ticks=ticks, row=ROW_PX)
