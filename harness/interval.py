# SPDX-License-Identifier: GPL-2.0-only
"""How much a count says: the Wilson interval of a proportion."""

from __future__ import annotations

import math

NINETY_FIVE = 1.959964  # standard deviations that hold 95 % of a normal distribution


def wilson(hits: int, runs: int, z: float = NINETY_FIVE) -> tuple[float, float]:
    """The 95 % interval of a probability of which ``hits`` of ``runs`` were seen, 0 to 1.

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical
    inference, JASA 22 (1927). It keeps its level near 0 and 1, where races are.
    """
    if runs <= 0:
        return 0.0, 1.0
    share = hits / runs
    middle = share + z * z / (2 * runs)
    half = z * math.sqrt(share * (1 - share) / runs + z * z / (4 * runs * runs))
    scale = 1 + z * z / runs
    low = 0.0 if hits == 0 else max(0.0, (middle - half) / scale)
    high = 1.0 if hits == runs else min(1.0, (middle + half) / scale)
    return low, high
