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
    patience: float = 300.0  # for a step, by the wall clock
    ticks: int = 20
    stuck: float = 1.5

    def of_step(self, pace: float) -> float:
        """Seconds in which a thread has to come to its next point."""
        return min(self.step * pace, self.longest_step)


@dataclass
class Watch:
    """When to look at a thread that does not come, and what was seen the last time.

    Time is what the guest had: seconds for which it has ``ran``. On a busy host a look can
    take longer than the run between two, so looks wait for longer than the last one took.
    """

    limits: Limits
    pace: float
    clock: Callable[[], float]
    ran: Callable[[], float]

    def __post_init__(self) -> None:
        self._pause = self.limits.first_look
        self._seen = ""
        self._since = (0, 0.0)
        self._start = self._last = (self.clock(), self.ran())

    def next_look(self) -> float:
        """Seconds until the next look: soon at first, then less often."""
        now = (self.clock(), self.ran())
        looked = (now[0] - self._last[0]) - (now[1] - self._last[1])
        self._last = now
        pause = self._pause
        self._pause = min(self._pause * 1.5, self.limits.longest_look)
        return max(pause, min(2 * looked, self.limits.longest_look))

    def same(self, what: str, ticks: int) -> bool:
        """It waits as ``what`` says: has it done so for so long that it will not end?"""
        now = self.ran()
        if what != self._seen:
            self._seen, self._since = what, (ticks, now)
            return False
        by_clock = ticks - self._since[0] >= self.limits.ticks
        return by_clock or now - self._since[1] >= self.limits.stuck * self.pace

    def other(self) -> None:
        """It does not wait."""
        self._seen = ""

    def over(self) -> bool:
        """Whether its time is up, or our patience."""
        if self.clock() - self._start[0] > self.limits.patience:
            return True
        return self.ran() - self._start[1] > self.limits.of_step(self.pace)
