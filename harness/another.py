# SPDX-License-Identifier: GPL-2.0-only
"""A guest that boots and is saved in a thread of its own, for whoever asks for it first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

from harness.errors import InternalError
from harness.guest import Guest
from harness.snapshot import Snapshot
from harness.splat import Splat


class Boot(Protocol):
    """What boots a guest, see :func:`harness.boot.boot`."""

    def __call__(
        self, *, report: Callable[[Splat], None], started: Callable[[Guest], None]
    ) -> Guest: ...


class Another:
    """Begins at once. ``save`` makes the snapshot that later guests come from.

    The thread ends with :meth:`end`, for QEMU ends with the thread that started it.
    ``said``: what the kernel said that killed a guest while it booted.
    """

    def __init__(self, boot: Boot, save: Callable[[Guest], Snapshot]) -> None:
        self.said: list[Splat] = []
        self._boot, self._save = boot, save
        self._made: Future[tuple[Guest, Snapshot]] = Future()
        self._taken = False
        self._over = threading.Event()
        self._begun: Guest | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def take(self) -> Guest | None:
        """The guest for the first who asks, once there is one; None for all others.

        Raises:
            HarnessError: it did not boot, or could not be saved. Only the first is told.
        """
        with self._lock:
            first, self._taken = not self._taken, True
        return self._made.result()[0] if first else None

    @property
    def snapshot(self) -> Snapshot | None:
        """Its state; None where it did not come up."""
        return None if self._made.exception() else self._made.result()[1]

    def end(self) -> None:
        """Ends the guest, at whatever it is."""
        with self._lock:
            self._over.set()
            begun = self._begun
        if begun is not None:
            begun.close()
        self._thread.join()

    def _run(self) -> None:
        try:
            guest = self._boot(report=self.said.append, started=self._note)
            try:
                made = guest, self._save(guest)
            except BaseException:
                guest.close()
                raise
        except BaseException as error:
            self._made.set_exception(error)
            return
        self._made.set_result(made)
        self._over.wait()

    def _note(self, guest: Guest) -> None:
        with self._lock:
            self._begun = guest
            late = self._over.is_set()
        if late:
            raise InternalError(f"{guest.name} came up after the run had ended")
