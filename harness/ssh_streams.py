# SPDX-License-Identifier: GPL-2.0-only
"""What a command over SSH prints, and a dialogue with it while it runs."""

from __future__ import annotations

import select
import time
from collections.abc import Callable

import paramiko

from harness.dialogue import REPLY, EndedError

MOST = 16 << 20  # bytes kept of each stream of a command


class CommandTimeoutError(TimeoutError):
    """A command did not end in time; what it had printed by then."""

    def __init__(self, stdout: str, stderr: str) -> None:
        super().__init__("the command did not end in time")
        self.stdout = stdout
        self.stderr = stderr


def _add(stream: bytearray, more: bytes) -> None:
    """Keeps the beginning of a stream: a case that prints for ever must not fill our memory."""
    stream += more[: max(0, MOST - len(stream))]


class Streams:
    """Both streams of one channel; none of the answers that were asked for.

    Args:
        deadline: on the monotonic clock.
        limit: asked several times a second; once it says a number, at most so many
            seconds are left.
    """

    def __init__(
        self, channel: paramiko.Channel, deadline: float, limit: Callable[[], float | None]
    ) -> None:
        self._channel = channel
        self.deadline = deadline
        self._limit = limit
        self._limited = False
        self._out, self._err = bytearray(), bytearray()
        self._at = 0  # where a line begins that has not been looked at

    @property
    def out(self) -> str:
        """Standard output so far."""
        return self._out.decode(errors="replace")

    @property
    def err(self) -> str:
        """Standard error so far."""
        return self._err.decode(errors="replace")

    def read_to_end(self) -> None:
        """Returns when both streams have ended.

        Raises:
            CommandTimeoutError: the time is up.
        """
        while self._more():
            pass

    def ask(self, line: str) -> str:
        """Sends one line and returns the answer, less what marks it as one.

        Raises:
            EndedError: there will be none, for the streams have ended.
            CommandTimeoutError: the time is up.
        """
        try:
            self._channel.sendall(line.encode() + b"\n")
        except TimeoutError:
            raise
        except OSError as error:  # it no longer takes anything
            raise EndedError from error
        while (answer := self._take_answer()) is None:
            if not self._more():
                raise EndedError
        return answer

    def _take_answer(self) -> str | None:
        while (end := self._out.find(b"\n", self._at)) >= 0:
            line = bytes(self._out[self._at : end])
            if line.startswith(REPLY):
                del self._out[self._at : end + 1]
                return line[len(REPLY) :].decode(errors="replace")
            self._at = end + 1
        return None

    def _more(self) -> bool:
        """Waits until something has come; False at the end of both streams."""
        channel = self._channel
        while True:
            moved = False
            while channel.recv_ready():
                _add(self._out, channel.recv(1 << 20))
                moved = True
            while channel.recv_stderr_ready():
                _add(self._err, channel.recv_stderr(1 << 20))
                moved = True
            if moved:
                return True
            if channel.eof_received or channel.closed:
                if not (channel.recv_ready() or channel.recv_stderr_ready()):
                    return False
                continue
            seconds = None if self._limited else self._limit()
            if seconds is not None:
                self.deadline = min(self.deadline, time.monotonic() + seconds)
                self._limited = True
            left = self.deadline - time.monotonic()
            if left <= 0:
                raise CommandTimeoutError(self.out, self.err)
            # The channel is readable on news of either stream and on its end.
            select.select([channel], [], [], min(left, 0.2))
