# SPDX-License-Identifier: GPL-2.0-only
"""Both ends of a serial line without a guest."""

from __future__ import annotations

import contextlib
import os

from harness.console import SerialLine


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

    def close(self) -> None:
        """Ends as a dying QEMU does. Safe to call twice."""
        if self._open:
            self._open = False
            for end in (self._out, self._in):
                with contextlib.suppress(OSError):
                    os.close(end)
