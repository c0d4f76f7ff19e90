# SPDX-License-Identifier: GPL-2.0-only
"""Fisher's exact test, Wilson's interval and that of a median against published values."""

from __future__ import annotations

from math import comb

import pytest

from harness.core.rates import Rates, fisher, median_interval, wilson


@pytest.mark.parametrize(
    ("rates", "p"),
    [
        # Fisher's lady tasting tea, R: fisher.test(matrix(c(3, 1, 1, 3), 2))
        ((3, 4, 1, 4), 0.4857142857),
        # R: fisher.test(matrix(c(1, 11, 9, 3), 2))
        ((1, 10, 11, 14), 0.0027594562),
        # R: fisher.test(matrix(c(8, 1, 2, 5), 2))
        ((8, 10, 1, 6), 0.0349650350),
        ((5, 5, 0, 5), 2 / 252),
        ((7, 7, 9, 9), 1.0),
        ((0, 0, 3, 5), 1.0),
    ],
)
def test_published_values(rates: tuple[int, int, int, int], p: float) -> None:
    assert fisher(*rates) == pytest.approx(p, rel=1e-8)


def test_the_sides_may_be_exchanged() -> None:
    for a in range(7):
        for b in range(10):
            assert fisher(a, 6, b, 9) == fisher(b, 9, a, 6) == fisher(6 - a, 6, 9 - b, 9)


def test_no_false_alarm_is_likelier_than_the_level() -> None:
    """Of all outcomes of 8 runs each at one rate, those called a difference weigh 1 % at most."""
    for rate in (0.1, 0.5, 0.8):
        alarms = 0.0
        for a in range(9):
            for b in range(9):
                if Rates(a, 8, b, 8).verdict() in ("worse", "better"):
                    chance = rate ** (a + b) * (1 - rate) ** (16 - a - b)
                    alarms += comb(8, a) * comb(8, b) * chance
        assert alarms <= 0.01


def test_impossible_rates_are_refused() -> None:
    with pytest.raises(ValueError, match="6 of 5"):
        fisher(6, 5, 0, 5)


@pytest.mark.parametrize(
    ("rates", "verdict"),
    [
        (Rates(5, 5, 0, 5), "worse"),
        (Rates(0, 5, 5, 5), "better"),
        (Rates(9, 10, 2, 10), "worse"),
        (Rates(9, 10, 6, 10), "no evidence of a difference"),
        (Rates(10, 10, 10, 10), "no evidence of a difference"),
        (Rates(4, 4, 0, 4), "too few runs"),
        (Rates(0, 0, 0, 0), "too few runs"),
    ],
)
def test_verdicts(rates: Rates, verdict: str) -> None:
    assert rates.verdict() == verdict


def test_five_runs_are_needed() -> None:
    assert Rates(5, 5, 0, 5).p <= 0.01 < Rates(4, 4, 0, 4).p


def test_the_interval_is_wilsons() -> None:
    low, high = wilson(20, 20)
    assert high == 1.0 and low == pytest.approx(0.8389, abs=1e-4)
    low, high = wilson(0, 20)
    assert low == 0.0 and high == pytest.approx(0.1611, abs=1e-4)
    low, high = wilson(10, 20)
    assert (low, high) == pytest.approx((0.2993, 0.7007), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("count", "low", "high"),
    # W. J. Conover, Practical Nonparametric Statistics: 95 % for the median of a sample.
    [(6, 1, 6), (8, 1, 8), (9, 2, 8), (12, 3, 10), (15, 4, 12), (20, 6, 15), (25, 8, 18)],
)
def test_published_intervals_of_a_median(count: int, low: int, high: int) -> None:
    values = [float(n) for n in range(count, 0, -1)]  # in any order
    assert median_interval(values) == (low, high)


@pytest.mark.parametrize("count", range(1, 6))
def test_few_values_are_their_own_interval(count: int) -> None:
    assert median_interval([float(n) for n in range(count)]) == (0, count - 1)
