# SPDX-License-Identifier: GPL-2.0-only
"""A bar is missed, met, or left open where the spread covers it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from harness.commands.cost.bars import Bar, Condition, CostTable, RatioBar, StructList
from harness.commands.cost.judge import (
    ALONE,
    FigureKey,
    Unit,
    differences,
    figures,
    judge_differences,
    judge_ratios,
    judge_structs,
    ratios,
    unjudged,
)

TABLE = CostTable(
    clause="T-KS-2",
    guest_tests="toy",
    memory_mb=512,
    compared=("paths",),
    alone=("marking",),
    conditions=(Condition("unused"), Condition("used")),
    bars=(Bar("unused", "fault_*", 0.2), Bar("used", "reclaim_*", 2.0)),
    ratios=(RatioBar("walk", "mark", 1000),),
    structs=StructList("mm/a.o", ("page",)),
)
SIX = [1000.0, 1000.5, 999.5, 1000.0, 1000.2, 999.8]


def key(name: str, condition: str = "unused", unit: Unit = "instructions") -> FigureKey:
    return FigureKey(unit, condition, name)


def times(factor: float) -> list[float]:
    return [factor * value for value in SIX]


def judged(
    series: Sequence[float], of: FigureKey, base: Sequence[float] = SIX
) -> list[tuple[str, str]]:
    records = judge_differences(TABLE, differences({of: base}, {of: series}))
    return [(record.status, record.reason) for record in records]


def test_a_figure_is_the_least_of_its_rounds_per_unit() -> None:
    said = ["@cost fault: 10 in 1000", "@cost fault: 10 in 9000", "@cost fault: 10 in 990"]
    assert figures([*said, "@cost move: 1 in 7", "a.c:1: x: 1"]) == {"fault": 99.0, "move": 7.0}


def test_only_rounds_of_the_usual_size_are_compared() -> None:
    said = ["@cost take: 96 in 9600", "@cost take: 64 in 9600", "@cost take: 64 in 9920"]
    assert figures(said) == {"take": 150.0}


def test_a_round_of_nothing_is_no_figure() -> None:
    assert figures(["@cost fault: 0 in 1000"]) == {}


@pytest.mark.parametrize(
    ("name", "condition", "factor", "status"),
    [
        ("fault_anon", "unused", 1.0, "pass"),
        ("fault_anon", "unused", 0.9, "pass"),
        ("fault_anon", "unused", 1.003, "fail"),
        ("reclaim_a", "used", 1.019, "pass"),
        ("reclaim_a", "used", 1.53, "fail"),
    ],
)
def test_a_bar_judges_its_figures(name: str, condition: str, factor: float, status: str) -> None:
    ((found, reason),) = judged(times(factor), key(name, condition))
    assert found == status
    assert (f"{100 * (factor - 1):+.2f} %" in reason) == (status == "fail")


def test_what_has_no_bar_has_no_record() -> None:
    assert judged(times(2.0), key("reclaim_a", "unused")) == []
    assert judged(times(2.0), key("fault_anon", "unused", "time")) == []


def test_no_claim_where_the_spread_covers_the_bar() -> None:
    wide = [value * factor for value, factor in zip(SIX, (1, 1.01, 1, 1.01, 1, 1.01), strict=True)]
    ((status, reason),) = judged(wide, key("fault_anon"))
    assert status == "skip" and "the spread covers the bar" in reason


def test_a_difference_within_the_spread_is_none() -> None:
    (noise,) = differences({key("a"): SIX}, {key("a"): list(reversed(SIX))})
    (real,) = differences({key("a"): SIX}, {key("a"): times(1.001)})
    assert not noise.seen and real.seen
    assert real.percent.middle == pytest.approx(0.1)


def test_what_only_one_kernel_has_is_no_difference() -> None:
    assert differences({key("a"): SIX}, {key("b"): SIX}) == []


@pytest.mark.parametrize(
    ("walk", "status"),
    [([2e6] * 6, "pass"), ([9e5] * 6, "fail"), ([9e5, 2e6] * 3, "skip")],
)
def test_a_ratio_is_judged_by_its_spread(walk: list[float], status: str) -> None:
    alone = {key("walk", ALONE): walk, key("mark", ALONE): [1000.0] * 6}
    (record,) = judge_ratios(TABLE, ratios(TABLE, alone))
    assert record.status == status and record.clauses == ("T-KS-2",)


def test_a_struct_that_grows_fails() -> None:
    assert [r.status for r in judge_structs(TABLE, {"page": 64}, {"page": 64})] == ["pass"]
    (record,) = judge_structs(TABLE, {"page": 64}, {"page": 72})
    assert record.status == "fail" and "64 bytes in the base, 72 in the series" in record.reason


def test_a_bar_that_nothing_is_about_is_named() -> None:
    found = differences({key("fault_anon"): SIX}, {key("fault_anon"): SIX})
    assert unjudged(TABLE, found, {}) == ["reclaim_*, used", "mark"]
