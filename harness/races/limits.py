# SPDX-License-Identifier: GPL-2.0-only
"""How long a thread may take to its next point, and when it is looked at on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

MAX_STEP_S = 15.0  # a kernel complains of a CPU that stands still for 20 s
MAX_WALL_CLOCK_S = 300.0  # for a step, however little the guest could run
CHECK_GROWTH = 1.5  # of the time between two checks


@dataclass(frozen=True)
class RaceLimits:
    """Seconds of a guest of reference speed.

    A wait counts as one that will not end when the kernel's clock has moved by
    ``stuck_jiffies`` with the task in the same place, or, should the clock stand still,
    after ``stuck_s``.
    """

    between_runs_s: float = 20.0
    step_s: float = 6.0
    first_check_s: float = 0.03
    max_check_s: float = 0.5
    stuck_jiffies: int = 20
    stuck_s: float = 1.5

    def of_step_s(self, pace: float) -> float:
        """Seconds in which a thread has to come to its next point; ``pace``: of the guest."""
        return min(self.step_s * pace, MAX_STEP_S)


@dataclass
class StepWatchdog:
    """When to look at a thread that does not come, and what was seen the last time.

    Time is what the guest had: seconds for which it has ``ran``. On a busy host a look can
    take longer than the run between two, so looks wait for longer than the last one took.
    """

    limits: RaceLimits
    pace: float
    clock: Callable[[], float]
    ran: Callable[[], float]

    def __post_init__(self) -> None:
        self._pause_s = self.limits.first_check_s
        self._wait: str | None = None
        self._since = (0, 0.0)  # jiffies, seconds
        self._start = self._last = (self.clock(), self.ran())

    def next_check_s(self) -> float:
        """Seconds until the next look: soon at first, then less often."""
        now = (self.clock(), self.ran())
        looked_s = (now[0] - self._last[0]) - (now[1] - self._last[1])
        self._last = now
        pause_s, limit_s = self._pause_s, self.limits.max_check_s
        self._pause_s = min(pause_s * CHECK_GROWTH, limit_s)
        return max(pause_s, min(2 * looked_s, limit_s))

    def stuck(self, wait: str | None, jiffies: int) -> bool:
        """Whether it has waited as ``wait`` says (None: it does not) too long for that to end."""
        now = self.ran()
        if wait is None or wait != self._wait:
            self._wait, self._since = wait, (jiffies, now)
            return False
        by_clock = jiffies - self._since[0] >= self.limits.stuck_jiffies
        return by_clock or now - self._since[1] >= self.limits.stuck_s * self.pace

    def expired(self) -> bool:
        """Whether its time is up, or the host's."""
        if self.clock() - self._start[0] > MAX_WALL_CLOCK_S:
            return True
        return self.ran() - self._start[1] > self.limits.of_step_s(self.pace)
