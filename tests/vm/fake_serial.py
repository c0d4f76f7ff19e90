# SPDX-License-Identifier: GPL-2.0-only
"""Both ends of a serial line without a guest."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable

from harness.vm.console import SerialLine


class GuestEnd:
    """The guest's end of a serial line; ``line`` is the harness's."""

    def __init__(self) -> None:
        from_guest, self._out = os.pipe()
        self._in, to_guest = os.pipe()
        self.line = SerialLine(from_guest, to_guest)
        self._open = True

    def sendall(self, data: bytes) -> None:
        """Prints."""
        while data:
            data = data[os.write(self._out, data) :]

    def recv(self, size: int) -> bytes:
        """What was typed."""
        return os.read(self._in, size)

    def serve(self, run: Callable[[str], str] | None) -> None:
        """Answers on the line as init.c does, in a thread of its own.

        Args:
            run: what a command prints; None: it only says that it is there.
        """
        threading.Thread(target=self._serve, args=(run,), daemon=True).start()

    def _serve(self, run: Callable[[str], str] | None) -> None:
        with contextlib.suppress(OSError), os.fdopen(os.dup(self._in), "rb", 0) as typed:
            while key := typed.read(1):
                if key != b"!":
                    self.sendall(b"[    1.0] harness: here\n")
                    continue
                word, _, command = typed.readline().decode().rstrip("\n").partition(" ")
                if run is not None:
                    said = run(command).replace("\n", "\r\n")
                    self.sendall(f"{said}[    2.0] harness: ran {word} 0\n".encode())

    def close(self) -> None:
        """Ends as a dying QEMU does. Safe to call twice."""
        if self._open:
            self._open = False
            for end in (self._out, self._in):
                with contextlib.suppress(OSError):
                    os.close(end)
