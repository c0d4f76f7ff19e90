# SPDX-License-Identifier: GPL-2.0-only
"""The guests of one run: the first is booted, the others come from its snapshot."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from harness.core import events as ev
from harness.core.errors import InternalError, MachineError, SeriesError
from harness.vm.boot import boot, save
from harness.vm.guest import Guest
from harness.vm.machine import GuestSpec
from harness.vm.splats import ConsoleRemark, Splat
from harness.vm.ssh import KeyPair


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
    def first(self) -> Guest:
        """The guest that was booted first; there is one."""
        return self._made[0]

    def take_snapshot(self, guest: Guest) -> None:
        """Saves the state of ``guest``, which runs on; later ones start from there."""
        state = self.folder / "snapshot"
        save(guest, state)
        self.snapshot = state

    def fresh(self) -> Guest:
        """A guest that has run nothing: restored where there is a snapshot, else booted.

        A snapshot that gives no guest, as one that was cut, is given up for a boot.
        Reports what the kernel said on the way. Raises what :func:`harness.vm.boot.boot` does.
        """
        state = self.snapshot
        try:
            guest = self._boot(state)
        except (MachineError, SeriesError) as error:
            if state is None:
                raise
            said = f"the snapshot gives no guest, so each is booted: {error.what.splitlines()[0]}"
            self.events.emit(ev.Note(said, "warning"))
            self.snapshot = state = None
            guest = self._boot(None)
        with self._lock:
            late = self._closed
            if not late:
                self._made.append(guest)
        if late:
            guest.close()
            raise InternalError(f"{guest.name} came up after the run had ended")
        guest.pace = self.first.pace
        spec = guest.spec
        machine = f"{spec.machine}, {spec.accel}{', CPUs in turn' if spec.in_turn else ''}"
        restored = state is not None
        self.events.emit(ev.GuestBooted(guest.boot_id, guest.boot_seconds, machine, restored))
        self._report_strays_of(guest)
        return guest

    def _boot(self, state: Path | None) -> Guest:
        with self._lock:
            self._named += 1
            number = self._named
        log = self.console_log if number == 1 else None
        return boot(self.spec, self.folder, f"guest{number}", self.keys, state=state,
                    console_log=log, report=self._report)  # fmt: skip

    @property
    def running(self) -> tuple[Guest, ...]:
        """The guests that a case may still run in."""
        with self._lock:
            return tuple(guest for guest in self._made if guest.trustworthy)

    def report_strays(self) -> None:
        """Emits what the kernels said while no case was running, each complaint once."""
        for guest in self._made:
            self._report_strays_of(guest)

    def _report_strays_of(self, guest: Guest) -> None:
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
