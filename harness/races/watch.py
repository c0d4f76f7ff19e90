# SPDX-License-Identifier: GPL-2.0-only
"""Which places the threads of a program come to when nobody is held there."""

from __future__ import annotations

from dataclasses import dataclass

from harness.races.cpus import StepWatchdog
from harness.races.driver import InterleavingDriver
from harness.races.landmarks import END
from harness.races.trace import RaceRun

MAX_STOPS = 200  # at one watched address: who comes there all the time would not come on


@dataclass
class WatchingDriver(InterleavingDriver):
    """``watched``: addresses in the kernel; ``seen``: which each thread came to, in order.

    A stop takes as long as a thousand instructions, so none is made that tells nothing new: a
    breakpoint is gone when all threads that are under way have been there.
    """

    watched: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        super().__post_init__()
        self.seen: dict[str, list[int]] = {thread.name: [] for thread in self.scenario.threads}
        self._stops: dict[int, int] = {}
        self._under_way: set[str] = set()

    def run(self, number: int) -> RaceRun:
        """Run ``number`` without an order: the others follow when the first is through, or waits.

        Which is first changes from run to run.
        """
        first = self.scenario.threads[(number - 1) % len(self.scenario.threads)]
        self._gather()
        self.cpus.release(first)
        self._insert({first.name})
        self.cpus.step_over(first.cpu)
        watchdog = StepWatchdog(self.pace, self.clock, lambda: self.cpus.ran_s)
        while self._under_way and not watchdog.expired():
            self.cpus.run(watchdog.next_check_s())
            stopped = self.cpus.at_breakpoints()
            for cpu in stopped:
                self._see(cpu)
                self.cpus.step_over(cpu)
            if not stopped and self._stuck(first, watchdog) is not None:
                break
        others = {thread.name for thread in self.scenario.threads} - {first.name}
        self._insert(self._under_way | others)
        return RaceRun(number, "hit" if self._finish(number) else "miss")

    def _insert(self, under_way: set[str]) -> None:
        """Breakpoints where one of these threads has not been yet, and at their ends."""
        self._under_way = under_way
        self.cpus.insert(self.program[END])
        for address in sorted(self.watched):
            if not self._enough(address):
                self.cpus.insert(address)

    def _enough(self, address: int) -> bool:
        known = all(address in self.seen[name] for name in self._under_way)
        return known or self._stops.get(address, 0) >= MAX_STOPS

    def _clear(self) -> None:
        """All are watched until the run is over."""

    def _see(self, cpu: int) -> None:
        at, thread = self.guest.registers(cpu).pc, self._by_cpu.get(cpu)
        if thread is not None and self._at_landmark(END, cpu):
            self._under_way.discard(thread.name)
        if at not in self.watched:
            return
        if thread is not None and at not in self.seen[thread.name] and self._own(thread):
            self.seen[thread.name].append(at)
        self._stops[at] = self._stops.get(at, 0) + 1
        if self._enough(at):
            self.cpus.remove(at)
