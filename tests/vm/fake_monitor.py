# SPDX-License-Identifier: GPL-2.0-only
"""QEMU's end of its monitor, without QEMU."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from typing import Any

Answer = Callable[[str, dict[str, Any]], Any]


class RefusedError(Exception):
    """What a command is refused with."""


class FakeMonitor:
    """Greets, and answers each command with what ``answer`` makes of its name and arguments.

    ``connection``: the harness's end. ``seen``: every command, as it came. No greeting and
    no answer where ``answer`` is None.
    """

    def __init__(self, answer: Answer | None = None, version: tuple[int, int] = (7, 2)) -> None:
        self.connection, self._ours = socket.socketpair()
        self.seen: list[dict[str, Any]] = []
        self._answer = answer
        if answer is not None:
            major, minor = version
            said = {"qemu": {"major": major, "minor": minor, "micro": 0}, "package": ""}
            self.say({"QMP": {"version": said, "capabilities": []}})
        threading.Thread(target=self._serve, daemon=True).start()

    def say(self, message: dict[str, Any]) -> None:
        """Sends one message, such as an event."""
        self._ours.sendall(json.dumps(message).encode() + b"\r\n")

    def close(self) -> None:
        """Ends as QEMU does."""
        with contextlib.suppress(OSError):
            self._ours.shutdown(socket.SHUT_RDWR)
        self._ours.close()

    def _serve(self) -> None:
        """Commands come one right after the other, with nothing between them."""
        rest, decoder = "", json.JSONDecoder()
        with contextlib.suppress(OSError):
            while more := self._ours.recv(65536):
                rest += more.decode()
                with contextlib.suppress(ValueError):  # half a command
                    while rest:
                        asked, end = decoder.raw_decode(rest)
                        rest = rest[end:].lstrip()
                        self._obey(asked)

    def _obey(self, asked: dict[str, Any]) -> None:
        self.seen.append(asked)
        name, reply = asked["execute"], {"id": asked["id"]} if "id" in asked else {}
        if name == "qmp_capabilities":
            self.say({"return": {}, **reply})
        elif self._answer is not None:
            try:
                answer = self._answer(name, asked.get("arguments", {}))
            except RefusedError as error:
                self.say({"error": {"class": "GenericError", "desc": str(error)}, **reply})
            else:
                self.say({"return": answer, **reply})
