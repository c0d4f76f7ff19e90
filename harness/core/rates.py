# SPDX-License-Identifier: GPL-2.0-only
"""How much a count of runs says: intervals of a rate and of a median, whether two rates differ.

Fisher's exact test says how likely so large a difference is where there is none: no
approximation, so it holds for five runs as for five hundred. Source: R. A. Fisher, The Design of
Experiments, 1935; two-sided as in R, which adds up all tables at most as likely as the one seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, sqrt
from typing import Literal

# A difference this unlikely by chance is one. Lower than the usual 0.05: a run asks this
# of several cases, and a series should not be blamed for one in twenty of them.
LEVEL = 0.01

DEVIATIONS_95 = 1.959964  # standard deviations that hold 95 % of a normal distribution
OUTSIDE_95 = 0.05  # what an interval of 95 % leaves out

RateVerdict = Literal["worse", "better", "no evidence of a difference", "too few runs"]


def fisher(passes_a: int, runs_a: int, passes_b: int, runs_b: int) -> float:
    """The two-sided p-value of Fisher's exact test; 1.0 where a side has no runs."""
    if not (0 <= passes_a <= runs_a and 0 <= passes_b <= runs_b):
        raise ValueError(f"{passes_a} of {runs_a}, {passes_b} of {runs_b}: no rates")
    passes = passes_a + passes_b

    def weight(in_a: int) -> int:
        """How many ways lead to ``in_a`` of all passes on side a."""
        return comb(runs_a, in_a) * comb(runs_b, passes - in_a)

    seen = weight(passes_a)
    possible = range(max(0, passes - runs_b), min(runs_a, passes) + 1)
    return sum(w for w in map(weight, possible) if w <= seen) / comb(runs_a + runs_b, passes)


def wilson(hits: int, runs: int) -> tuple[float, float]:
    """The 95 % interval, within 0 to 1, of a probability of which ``hits`` of ``runs`` were seen.

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical
    inference, JASA 22 (1927). It keeps its level near 0 and 1, where races are.
    """
    if runs <= 0:
        return 0.0, 1.0
    share, z2 = hits / runs, DEVIATIONS_95**2
    middle = share + z2 / (2 * runs)
    half = DEVIATIONS_95 * sqrt(share * (1 - share) / runs + z2 / (4 * runs * runs))
    scale = 1 + z2 / runs
    low = 0.0 if hits == 0 else (middle - half) / scale
    high = 1.0 if hits == runs else (middle + half) / scale
    return low, high


@dataclass(frozen=True)
class Rates:
    """How often something passed: on side a, before the change, and on side b, after it."""

    passes_a: int
    runs_a: int
    passes_b: int
    runs_b: int

    @property
    def p(self) -> float:
        """How likely a difference of this size is by chance alone."""
        return fisher(self.passes_a, self.runs_a, self.passes_b, self.runs_b)

    def verdict(self) -> RateVerdict:
        """What side b is, against side a.

        'too few runs' where not even always against never would have been a difference,
        so that nothing can follow from seeing none.
        """
        if fisher(self.runs_a, self.runs_a, 0, self.runs_b) > LEVEL:
            return "too few runs"
        if self.p > LEVEL:
            return "no evidence of a difference"
        return "worse" if self.passes_b * self.runs_a < self.passes_a * self.runs_b else "better"


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """The interval between two of ``values`` that holds their median with 95 %.

    It asks nothing of the distribution: each value is below the median with one half. Fewer
    than six values cannot reach 95 %; theirs is from the least to the greatest.
    Source: H. A. David, Order Statistics, 1970.
    """
    ordered, count = sorted(values), len(values)
    cut, beyond = 0, 1  # ``beyond`` of 2**count ways have the median below ordered[cut]
    while 2 * (beyond + comb(count, cut + 1)) <= OUTSIDE_95 * 2**count:
        cut += 1
        beyond += comb(count, cut)
    return ordered[cut], ordered[count - 1 - cut]
