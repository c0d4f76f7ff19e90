# SPDX-License-Identifier: GPL-2.0-only
"""The reins of a guest's CPUs: who is held, who may go on, and at which addresses they stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from harness.gdbremote import Exited, Remote, StubError
from harness.racefaults import RaceError
from harness.racetrace import Hold
from harness.scenario import Thread
from harness.stopped import StoppedGuest


@dataclass
class Reins:
    """Lets CPUs go and stops them.

    Args:
        guest: stands still.
        threads: each pinned to a CPU of its own; the other CPUs always run.
        over: says, once the guest program has ended, how it did ('' while it runs).
    """

    remote: Remote
    guest: StoppedGuest
    threads: Sequence[Thread]
    over: Callable[[], str]
    clock: Callable[[], float] = time.monotonic
    held: dict[str, str] = field(default_factory=dict)  # thread: where
    holds: list[Hold] = field(default_factory=list)
    ran: float = 0.0  # seconds for which the guest has run since the run began
    inserted: set[int] = field(default_factory=set)
    _since: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.cpus = self.remote.cpus()

    def begin_run(self) -> None:
        """Nobody has been held yet, and no time has passed."""
        self.holds.clear()
        self.ran = 0.0

    def go(self, seconds: float) -> None:
        """The guest runs, without those that are held, until it stops or is stopped."""
        held = {t.cpu for t in self.threads if t.name in self.held}
        self.guest.forget()
        start = self.clock()
        self.remote.resume(cpu for cpu in self.cpus if cpu not in held)
        stop, deadline = None, start + max(0.01, seconds)
        while stop is None and self.clock() < deadline and not self.over():
            stop = self.remote.wait(min(0.1, max(0.001, deadline - self.clock())))
        if stop is None:
            stop = self.remote.interrupt()
        self.ran += self.clock() - start
        if isinstance(stop, Exited):
            raise RaceError("QEMU has ended in the middle of a run")
        if how := self.over():
            raise RaceError(f"the guest program has ended in the middle of a run: {how}")

    def arrived(self) -> list[int]:
        """The running CPUs that stand at a breakpoint: each may, whichever was reported."""
        held = {t.cpu for t in self.threads if t.name in self.held}
        return [
            cpu
            for cpu in self.cpus
            if cpu not in held and self.guest.registers(cpu).pc in self.inserted
        ]

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
        """A CPU whose stop means nothing here goes past the breakpoint; no other misses it."""
        address = self.guest.registers(cpu).pc
        self.remote.remove(address)
        stop = self.remote.step(cpu)
        if isinstance(stop, Exited):
            raise RaceError("QEMU has ended in the middle of a run")
        self.remote.insert(address)
        self.guest.forget()

    def step_over_if_there(self, cpu: int) -> None:
        """A CPU that is about to go on does not stop at the place where it has been held."""
        if self.guest.registers(cpu).pc in self.inserted:
            self.step_over(cpu)

    def hold(self, thread: Thread, where: str) -> None:
        """A thread's CPU does not go on any more."""
        self.held[thread.name] = where
        self._since[thread.name] = self.ran

    def let_go(self, thread: Thread) -> None:
        """A thread's CPU goes on with the next ``go``."""
        where = self.held.pop(thread.name, None)
        if where is not None:
            lasted = self.ran - self._since.pop(thread.name)
            self.holds.append(Hold(thread.name, thread.cpu, where, lasted))
