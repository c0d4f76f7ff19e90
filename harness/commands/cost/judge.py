# SPDX-License-Identifier: GPL-2.0-only
"""From what the cases counted to differences, their spread over boots, and verdicts. Pure.

A figure of one boot is that of its best round: a tick of the timer, or other work that comes
in between, only ever adds. What is claimed is what holds for the median over boots, with 95 %.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, mode
from typing import Literal, NamedTuple

from harness.commands.cost.bars import CostTable, RatioBar
from harness.core import events as ev
from harness.core.rates import median_interval

Unit = Literal["instructions", "time"]  # what the time stamp counter of the guest counted
ALONE = "the series alone"  # the condition of what no base can run
_COUNTED = re.compile(r"^@cost (?P<name>\w+): (?P<units>\d+) in (?P<counts>\d+)$")


def figures(diagnostics: Iterable[str]) -> dict[str, float]:
    """Counts per unit of each figure that a case told of.

    Reclaim may take more in one round than in another, at another price each: of the rounds
    with as many units as most have, the least counts.
    """
    rounds: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for told in filter(None, map(_COUNTED.match, diagnostics)):
        if int(told["units"]):
            rounds[told["name"]].append((int(told["units"]), int(told["counts"])))
    found = {}
    for name, values in rounds.items():
        usual = mode(units for units, _ in values)
        found[name] = min(counts for units, counts in values if units == usual) / usual
    return found


class FigureKey(NamedTuple):
    """What was measured, and how."""

    unit: Unit
    condition: str
    name: str


@dataclass(frozen=True)
class Spread:
    """A median over boots and the interval that holds it with 95 %."""

    middle: float
    low: float
    high: float

    @staticmethod
    def of(values: Sequence[float]) -> Spread:
        """Of one value a boot."""
        return Spread(median(values), *median_interval(values))


@dataclass(frozen=True)
class Difference:
    """One figure on both kernels: counts per unit, one value a boot, in the order of the boots."""

    key: FigureKey
    base: tuple[float, ...]
    series: tuple[float, ...]

    @property
    def percent(self) -> Spread:
        """How much more the series takes, boot by boot."""
        pairs = zip(self.base, self.series, strict=True)
        return Spread.of([100 * (after / before - 1) for before, after in pairs])

    @property
    def seen(self) -> bool:
        """Whether the spread leaves a difference at all."""
        return not self.percent.low <= 0 <= self.percent.high


Boots = Mapping[FigureKey, Sequence[float]]  # a value a boot


def differences(base: Boots, series: Boots) -> list[Difference]:
    """What was measured on both kernels, in the order of the base."""
    both = [key for key in base if key in series]
    return [Difference(key, tuple(base[key]), tuple(series[key])) for key in both]


def ratios(table: CostTable, series: Boots) -> dict[RatioBar, Spread]:
    """How many times as much, for the bars whose two figures were measured."""
    found = {}
    for bar in table.ratios:
        keys = [FigureKey("instructions", ALONE, name) for name in (bar.more, bar.less)]
        if all(key in series for key in keys):
            pairs = zip(series[keys[0]], series[keys[1]], strict=True)
            found[bar] = Spread.of([more / less for more, less in pairs])
    return found


def _record(
    table: CostTable, name: str, about: str, verdict: tuple[ev.Status, str], said: Sequence[str]
) -> ev.CaseFinished:
    case = ev.CaseId("cost", None, name)
    return ev.CaseFinished(case, *verdict, 0.0, (table.clause,), tuple(said), about)


def _verdict(met: bool, missed: bool, figure: str, bar: str) -> tuple[ev.Status, str]:
    if missed:
        return "fail", f"{figure}; {bar}"
    if met:
        return "pass", ""
    return "skip", f"the spread covers the bar: {figure}; {bar}"


def shown(spread: Spread) -> str:
    """'+0.31 % (+0.29 to +0.33)'."""
    return f"{spread.middle:+.2f} % ({spread.low:+.2f} to {spread.high:+.2f})"


def judge_differences(table: CostTable, found: Sequence[Difference]) -> list[ev.CaseFinished]:
    """A record for each figure in instructions that a bar is about."""
    records = []
    for difference in found:
        unit, condition, name = difference.key
        for bar in table.bars:
            if unit != "instructions" or not bar.judges(condition, name):
                continue
            percent = difference.percent
            allowed = f"at most {bar.at_most:+g} % is allowed"
            verdict = _verdict(
                percent.high <= bar.at_most, percent.low > bar.at_most, shown(percent), allowed
            )
            said = [
                f"{kernel}: {' '.join(f'{value:.2f}' for value in values)} instructions"
                for kernel, values in (("base", difference.base), ("series", difference.series))
            ]
            about = f"{name}, {condition}: {allowed}."
            records.append(_record(table, f"{condition}-{name}", about, verdict, said))
    return records


def judge_ratios(table: CostTable, found: Mapping[RatioBar, Spread]) -> list[ev.CaseFinished]:
    """A record for each ratio."""
    records = []
    for bar, times in found.items():
        figure = f"{times.middle:,.0f} times ({times.low:,.0f} to {times.high:,.0f})"
        wanted = f"at least {bar.at_least:g} times is promised"
        verdict = _verdict(times.low >= bar.at_least, times.high < bar.at_least, figure, wanted)
        about = f"{bar.more} takes {bar.at_least:g} times the instructions of {bar.less} or more."
        records.append(_record(table, f"{bar.less}-{bar.more}", about, verdict, [figure]))
    return records


def judge_structs(
    table: CostTable, base: Mapping[str, int], series: Mapping[str, int]
) -> list[ev.CaseFinished]:
    """A record for each struct; sizes in bytes."""
    records = []
    for name in base:
        sizes = f"struct {name}: {base[name]} bytes in the base, {series[name]} in the series"
        same = base[name] == series[name]
        verdict: tuple[ev.Status, str] = ("pass", "") if same else ("fail", sizes)
        about = f"The size of struct {name} is that of the base."
        records.append(_record(table, f"struct-{name}", about, verdict, [sizes]))
    return records


def unjudged(table: CostTable, found: Sequence[Difference], told: Boots) -> list[str]:
    """Bars that no figure of a whole run is about, in words."""
    keys = [d.key for d in found if d.key.unit == "instructions"]
    alone = {key.name for key in told if key.condition == ALONE}
    silent = [
        f"{bar.figures}, {bar.condition}"
        for bar in table.bars
        if not any(bar.judges(key.condition, key.name) for key in keys)
    ]
    return silent + [b.less for b in table.ratios if not {b.more, b.less} <= alone]
