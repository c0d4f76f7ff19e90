# SPDX-License-Identifier: GPL-2.0-only
"""How long a thread may take to its next point, and when it is looked at on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Seconds of a guest of reference speed.

    A wait counts as one that will not end when the kernel's clock has moved by ``ticks``
    with the task in the same place, or, should the clock stand still, after ``stuck``.
    """

    between_runs: float = 20.0
    step: float = 6.0
    longest_step: float = 15.0  # a kernel complains of a CPU that stands still for 20 s
    first_look: float = 0.03
    longest_look: float = 0.5
    ticks: int = 20
    stuck: float = 1.5

    def of_step(self, pace: float) -> float:
        """Seconds in which a thread has to come to its next point."""
        return min(self.step * pace, self.longest_step)


@dataclass
class Watch:
    """When to look at a thread that does not come, and what was seen the last time."""

    limits: Limits
    pace: float
    clock: Callable[[], float]

    def __post_init__(self) -> None:
        self._start = self.clock()
        self._pause = self.limits.first_look
        self._seen = ""
        self._since = (0, 0.0)

    def next_look(self) -> float:
        """Seconds until the next look: soon at first, then less often."""
        pause = self._pause
        self._pause = min(self._pause * 1.5, self.limits.longest_look)
        return pause

    def same(self, what: str, ticks: int) -> bool:
        """It waits as ``what`` says: has it done so for so long that it will not end?"""
        now = self.clock()
        if what != self._seen:
            self._seen, self._since = what, (ticks, now)
            return False
        by_clock = ticks - self._since[0] >= self.limits.ticks
        return by_clock or now - self._since[1] >= self.limits.stuck * self.pace

    def other(self) -> None:
        """It does not wait."""
        self._seen = ""

    def over(self) -> bool:
        """Whether its time is up."""
        return self.clock() - self._start > self.limits.of_step(self.pace)
