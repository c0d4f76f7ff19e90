# SPDX-License-Identifier: GPL-2.0-only
"""Which CPUs of a guest run and which are held, and at which addresses they stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from harness.debugger.gdb_remote import Remote, StubError
from harness.debugger.stopped_guest import StoppedGuest
from harness.races.failures import RaceError
from harness.races.scenario import Thread
from harness.races.trace import Hold

MIN_RUN_S = 0.01  # that the guest is let go for
POLL_S = 0.1  # between two questions whether the program has ended


@dataclass
class CpuControl:
    """Lets CPUs go and stops them.

    Args:
        guest: stands still.
        threads: each pinned to a CPU of its own; the other CPUs always run.
        program_end: says, once the guest program has ended, how it did.
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

    def begin_run(self) -> None:
        """Nobody has been held yet, and no time has passed."""
        self.holds.clear()
        self.ran_s = 0.0

    def _free(self) -> list[int]:
        held = {t.cpu for t in self.threads if t.name in self.held}
        return [cpu for cpu in self.cpus if cpu not in held]

    def run(self, seconds: float) -> None:
        """The guest runs, without the CPUs that are held, until it stops or is stopped.

        Raises:
            RaceError: the guest program has ended.
            StubError: QEMU has, or its stub does not do what it should.
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
        """CPUs that come to an address stop there.

        Raises:
            RaceError: there are no more breakpoints.
        """
        if address in self.inserted:
            return
        try:
            self.remote.insert(address)
        except StubError as error:
            raise RaceError(
                f"breakpoint number {len(self.inserted) + 1} was refused ({error})",
                "the point is in several places of the code: narrow it down, or use ACCEL=tcg",
            ) from error
        self.inserted.add(address)

    def clear(self) -> None:
        """No breakpoint is left: a held CPU that goes on would only meet it again."""
        for address in sorted(self.inserted):
            self.remote.remove(address)
        self.inserted.clear()

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
