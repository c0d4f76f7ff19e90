# SPDX-License-Identifier: GPL-2.0-only
"""The guests of one run: the first is booted, the others come from its snapshot.

And how fast they are: a fixed work load against a recorded reference. Time limits are
those of the reference; a kernel full of checkers, or a slow machine, gets as much more
time as it needs for the same work.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from harness.core import events as ev
from harness.core.errors import InternalError, SeriesError
from harness.vm.boot import boot, save
from harness.vm.channel import SshError
from harness.vm.guest import INIT, Guest
from harness.vm.machine import GuestSpec
from harness.vm.splats import ConsoleRemark, Splat
from harness.vm.ssh import KeyPair

# Seconds for pace.c: 6.1, CONFIG=default, microvm under TCG, one idle CPU each of two.
PACE_REFERENCE_S = 0.10
PACE_TIMEOUT_S = 180.0  # 1800 times the reference


@dataclass
class Guests:
    """Boots and restores the guests of one run, and closes them all at its end.

    The key pair is made for the run and never leaves this process. Used as a
    context manager; after it no QEMU of the run is left. ``fresh`` may be called
    from several threads. The first guest's console goes to ``console_log``, those
    of the others to files of their own beside it. ``sort_out`` marks a splat that
    does not count against the series.
    """

    spec: GuestSpec
    folder: Path
    console_log: Path
    events: ev.Events
    sort_out: Callable[[Splat], Splat] = lambda splat: splat
    keys: KeyPair = field(default_factory=KeyPair.generate)
    snapshot: Path | None = None
    first: Guest | None = None
    _made: list[Guest] = field(default_factory=list)
    _remarked: set[ConsoleRemark] = field(default_factory=set)
    _named: int = 0
    _closed: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __enter__(self) -> Guests:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._closed = True
        for guest in self._made:
            guest.close()

    @property
    def the_first(self) -> Guest:
        """The guest that was booted first; there is one."""
        if self.first is None:
            raise InternalError("no guest was booted yet")
        return self.first

    def boot(self) -> Guest:
        """A cold boot to the first command; reports what the kernel said on the way.

        Raises:
            SeriesError, MachineError: see :func:`harness.vm.boot.boot`.
        """
        guest = self._start(None)
        if self.first is None:
            self.first = guest
        return guest

    def take_snapshot(self, guest: Guest) -> None:
        """Saves the state of ``guest``, which runs on; later ones start from there."""
        state = self.folder / "snapshot"
        save(guest, state)
        self.snapshot = state

    def fresh(self) -> Guest:
        """A guest that has run nothing: restored where there is a snapshot, else booted.

        Raises:
            SeriesError, MachineError: see :func:`harness.vm.boot.boot`.
        """
        guest = self._start(self.snapshot)
        guest.pace = self.the_first.pace
        return guest

    @property
    def running(self) -> tuple[Guest, ...]:
        """The guests that a case may still run in."""
        with self._lock:
            return tuple(guest for guest in self._made if guest.trustworthy)

    def report_strays(self) -> None:
        """Emits what the kernels said while no case was running, each complaint once."""
        for guest in self._made:
            for splat in guest.take_stray_splats():
                self._report(splat)
            for remark in guest.take_remarks():
                self._remark(remark)

    def _remark(self, remark: ConsoleRemark) -> None:
        """Emits a line that is no complaint, once in a run."""
        with self._lock:
            fresh = remark not in self._remarked
            self._remarked.add(remark)
        if fresh:
            self.events.emit(ev.Note(f"the console: {remark.line}: {remark.why}"))

    def _report(self, splat: Splat) -> None:
        splat = self.sort_out(splat)
        self.events.emit(
            ev.SplatSeen(splat.title, splat.category, None, splat.text, foreign=splat.foreign)
        )

    def _start(self, state: Path | None) -> Guest:
        with self._lock:
            self._named += 1
            name = f"guest{self._named}"
        guest = boot(
            self.spec,
            self.folder,
            name,
            self.keys,
            state=state,
            console_log=self.console_log if self.first is None else None,
            report=self._report,
        )
        with self._lock:
            late = self._closed
            if not late:
                self._made.append(guest)
        if late:
            guest.close()
            raise InternalError(f"{name} came up after the run had ended")
        spec = guest.spec
        machine = f"{spec.machine}, {spec.accel}{', CPUs in turn' if spec.in_turn else ''}"
        self.events.emit(ev.GuestBooted(guest.boot_id, guest.boot_seconds, machine, guest.restored))
        for splat in guest.take_stray_splats():
            self._report(splat)
        return guest


def measure_pace(guest: Guest, events: ev.Events) -> float:
    """Runs the work load in ``guest``, sets its pace and gives the factor; never below 1.

    Raises:
        SeriesError: the work load, which maps memory and touches it, fails.
    """
    try:
        done = guest.exec([INIT, "pace"], PACE_TIMEOUT_S)
        how = done.stderr.strip() or f"exit status {done.exit_code}"
        worked = done.exit_code == 0 and done.stdout.strip().isdecimal()
    except (SshError, TimeoutError) as error:
        worked, how = False, str(error)
    if not worked:
        raise SeriesError(
            "the guest came up and cannot do the first work"
            f" (fork, mmap, mprotect, madvise): {how}",
            evidence=guest.console.log,
            next_step="PATCHES=0 shows whether the bare base can",
        )
    seconds = int(done.stdout) / 1000
    guest.pace = max(1.0, seconds / PACE_REFERENCE_S)
    events.emit(ev.PaceMeasured(seconds, PACE_REFERENCE_S, guest.pace))
    return guest.pace
