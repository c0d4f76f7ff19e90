# SPDX-License-Identifier: GPL-2.0-only
"""Which CPUs of a guest run and which are held, where they stop, and how long a step may take."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from harness.debugger.gdb_remote import Remote, StubError
from harness.debugger.stopped_guest import StoppedGuest
from harness.races.scenario import Thread
from harness.races.trace import Hold, RaceError

MIN_RUN_S = 0.01  # that the guest is let go for
POLL_S = 0.1  # between two questions whether the program has ended
# Seconds of a guest of reference speed.
BETWEEN_RUNS_S = 20.0
STEP_S = 6.0
FIRST_CHECK_S, MAX_CHECK_S = 0.03, 0.5
# A wait will not end when the kernel's clock has moved as far with the task in the same place,
# or, should the clock stand still, after as many seconds.
STUCK_JIFFIES, STUCK_S = 20, 1.5
MAX_STEP_S = 15.0  # of any guest: a kernel complains of a CPU that stands still for 20 s
MAX_WALL_CLOCK_S = 300.0  # for a step, however little the guest could run
CHECK_GROWTH = 1.5  # of the time between two checks


@dataclass
class CpuControl:
    """Lets CPUs go and stops them, in a ``guest`` that stands still.

    ``threads``: each pinned to a CPU of its own; the others always run. ``program_end``: says,
    once the guest program has ended, how it did.
    """

    remote: Remote
    guest: StoppedGuest
    threads: Sequence[Thread]
    program_end: Callable[[], str | None]
    clock: Callable[[], float] = time.monotonic
    held: dict[str, str] = field(default_factory=dict)  # thread: where
    holds: list[Hold] = field(default_factory=list)
    ran_s: float = 0.0  # for which the guest has run since the run began
    inserted: set[int] = field(default_factory=set)
    _since_s: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.cpus = self.remote.cpus()

    def _free(self) -> list[int]:
        return [cpu for cpu in self.cpus if not self.is_held(cpu)]

    def is_held(self, cpu: int) -> bool:
        """Whether the thread that is pinned to a CPU is held."""
        return any(t.cpu == cpu and t.name in self.held for t in self.threads)

    def run(self, seconds: float) -> None:
        """The guest runs, without the CPUs that are held, until it stops or is stopped.

        A RaceError: the guest program has ended. A StubError: QEMU has, or its stub is wrong.
        """
        self.guest.forget()
        start = self.clock()
        self.remote.resume(self._free())
        deadline = start + max(MIN_RUN_S, seconds)
        while self.clock() < deadline and self.program_end() is None:
            if self.remote.wait(min(POLL_S, max(0.001, deadline - self.clock()))) is not None:
                break
        else:
            self.remote.interrupt()
        self.ran_s += self.clock() - start
        if (how := self.program_end()) is not None:
            raise RaceError(f"the guest program has ended in the middle of a run: {how}")

    def at_breakpoints(self) -> list[int]:
        """The running CPUs that stand at a breakpoint: each may, whichever was reported."""
        return [cpu for cpu in self._free() if self.guest.registers(cpu).pc in self.inserted]

    def insert(self, address: int) -> None:
        """CPUs that come to an address stop there; a RaceError where breakpoints run out."""
        if address in self.inserted:
            return
        try:
            self.remote.insert(address)
        except StubError as error:
            raise RaceError(
                f"breakpoint number {len(self.inserted) + 1} was refused ({error})",
                next_step="the point is in several places: narrow it down, or use ACCEL=tcg",
            ) from error
        self.inserted.add(address)

    def remove(self, address: int) -> None:
        """CPUs that come to an address go on."""
        if address in self.inserted:
            self.remote.remove(address)
            self.inserted.remove(address)

    def clear(self) -> None:
        """No breakpoint is left: a held CPU that goes on would only meet it again."""
        for address in sorted(self.inserted):
            self.remove(address)

    def step_over(self, cpu: int) -> None:
        """A CPU at a breakpoint that means nothing for it goes past it; no other misses it."""
        address = self.guest.registers(cpu).pc
        if address not in self.inserted:
            return
        self.remote.remove(address)
        self.remote.step(cpu)
        self.remote.insert(address)
        self.guest.forget()

    def hold(self, thread: Thread, where: str) -> None:
        """A thread's CPU does not go on any more."""
        self.held[thread.name] = where
        self._since_s[thread.name] = self.ran_s

    def release(self, thread: Thread) -> None:
        """A thread's CPU goes on with the next ``run``."""
        where = self.held.pop(thread.name, None)
        if where is not None:
            lasted_s = self.ran_s - self._since_s.pop(thread.name)
            self.holds.append(Hold(thread.name, thread.cpu, where, lasted_s))


@dataclass
class StepWatchdog:
    """When to look at a thread that does not come, and what was seen the last time.

    Time is what the guest had: seconds for which it has ``ran``. On a busy host a look can
    take longer than the run between two, so looks wait for longer than the last one took.
    """

    pace: float
    clock: Callable[[], float]
    ran: Callable[[], float]

    def __post_init__(self) -> None:
        self.limit_s = min(STEP_S * self.pace, MAX_STEP_S)
        self._pause_s = FIRST_CHECK_S
        self._wait: str | None = None
        self._since = (0, 0.0)  # jiffies, seconds
        self._start = self._last = (self.clock(), self.ran())

    def next_check_s(self) -> float:
        """Seconds until the next look: soon at first, then less often."""
        now, last = (self.clock(), self.ran()), self._last
        looked_s, self._last = (now[0] - last[0]) - (now[1] - last[1]), now
        pause_s = self._pause_s
        self._pause_s = min(pause_s * CHECK_GROWTH, MAX_CHECK_S)
        return max(pause_s, min(2 * looked_s, MAX_CHECK_S))

    def stuck(self, wait: str | None, jiffies: int) -> bool:
        """Whether it has waited as ``wait`` says (None: it does not) too long for that to end."""
        now = self.ran()
        if wait is None or wait != self._wait:
            self._wait, self._since = wait, (jiffies, now)
            return False
        by_clock = jiffies - self._since[0] >= STUCK_JIFFIES
        return by_clock or now - self._since[1] >= STUCK_S * self.pace

    def expired(self) -> bool:
        """Whether its time is up, or the host's."""
        wall_s, ran_s = self.clock() - self._start[0], self.ran() - self._start[1]
        return wall_s > MAX_WALL_CLOCK_S or ran_s > self.limit_s
