# SPDX-License-Identifier: GPL-2.0-only
"""What a command over SSH prints, and a dialogue with it while it runs."""

from __future__ import annotations

import select
import time
from collections.abc import Callable

import paramiko

from harness.vm.dialogue import REPLY, EndedError

MOST = 16 << 20  # bytes kept of each stream of a command


class CommandTimeoutError(TimeoutError):
    """A command did not end in time; what it had printed by then."""

    def __init__(self, stdout: str, stderr: str) -> None:
        super().__init__("the command did not end in time")
        self.stdout = stdout
        self.stderr = stderr


class _Stream:
    """One of the two streams. ``after``: the rest of the line of its mark, once it has come."""

    def __init__(self, mark: bytes) -> None:
        self.kept = bytearray()
        self.after: str | None = None
        self._mark = mark
        self._tail = b""  # what is not kept may hold a mark, or the first half of one

    def add(self, more: bytes) -> None:
        """Keeps the beginning: a case that prints for ever must not fill our memory."""
        if not self._mark:
            self.kept += more[: max(0, MOST - len(self.kept))]
            return
        self._tail += more
        text, found, rest = self._tail.partition(self._mark)
        if found and b"\n" in rest:
            self.after = rest.partition(b"\n")[0].decode(errors="replace").strip()
        # As long as it may be the beginning of the mark's line, it is not the case's.
        sure = len(text) if found else max(0, len(text) - len(self._mark))
        self.kept += text[: min(sure, max(0, MOST - len(self.kept)))]
        self._tail = self._tail[sure:]

    def text(self) -> str:
        """What is kept, and what came last if that has turned out to be no mark."""
        last = b"" if self.after is not None else self._tail
        return (self.kept + last).decode(errors="replace")


class Streams:
    """Both streams of one channel; none of the answers that were asked for.

    Args:
        deadline: on the monotonic clock.
        limit: asked several times a second; once it says a number, at most so many
            seconds are left.
        mark: where this ends on each stream, if the channel itself goes on.
    """

    def __init__(
        self,
        channel: paramiko.Channel,
        deadline: float,
        limit: Callable[[], float | None],
        mark: bytes = b"",
    ) -> None:
        self._channel = channel
        self.deadline = deadline
        self._limit = limit
        self._limited = False
        self._out, self._err = _Stream(mark), _Stream(mark)
        self._at = 0  # where a line begins that has not been looked at

    @property
    def out(self) -> str:
        """Standard output so far."""
        return self._out.text()

    @property
    def err(self) -> str:
        """Standard error so far."""
        return self._err.text()

    def read_to_end(self) -> None:
        """Returns when both streams have ended.

        Raises:
            CommandTimeoutError: the time is up.
        """
        while self._more():
            pass

    def read_to_mark(self) -> str | None:
        """Returns when both streams have come to the mark: what follows it on the first.

        None where they end before that.

        Raises:
            CommandTimeoutError: the time is up.
        """
        while self._out.after is None or self._err.after is None:
            if not self._more():
                return None
        return self._out.after

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
        out = self._out.kept
        while (end := out.find(b"\n", self._at)) >= 0:
            line = bytes(out[self._at : end])
            if line.startswith(REPLY):
                del out[self._at : end + 1]
                return line[len(REPLY) :].decode(errors="replace")
            self._at = end + 1
        return None

    def _more(self) -> bool:
        """Waits until something has come; False at the end of both streams."""
        channel = self._channel
        while True:
            moved = False
            while channel.recv_ready():
                self._out.add(channel.recv(1 << 20))
                moved = True
            while channel.recv_stderr_ready():
                self._err.add(channel.recv_stderr(1 << 20))
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
