# SPDX-License-Identifier: GPL-2.0-only
"""What runs on an SSH channel: a command's output, a dialogue with it, one case after another.

What a case prints comes on the channel's two streams, as that of a command of its own
would. A mark of 128 random bits tells where it ends, which no case can guess.
"""

from __future__ import annotations

import contextlib
import re
import select
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import paramiko

from harness.vm.protocol import REPLY, Completed, EndedError

MAX_KEPT_BYTES = 16 << 20  # of each stream of a command
MAX_AFTER_BYTES = 256  # of what follows a mark: a number and the end of its line


class SshError(Exception):
    """The connection could not be made, was lost, or did not answer in time."""


class CommandTimeoutError(TimeoutError):
    """A command did not end in time; what it had printed by then."""

    def __init__(self, stdout: str, stderr: str) -> None:
        super().__init__("the command did not end in time")
        self.stdout = stdout
        self.stderr = stderr


@contextlib.contextmanager
def as_our_errors() -> Iterator[None]:
    """What paramiko raises becomes SshError, or CommandTimeoutError where the time is up."""
    try:
        yield
    except CommandTimeoutError:
        raise
    except TimeoutError as error:
        raise CommandTimeoutError("", "") from error
    except (paramiko.SSHException, OSError, EOFError) as error:
        why = str(error) or type(error).__name__
        raise SshError(f"the SSH connection is lost: {why}") from error


class _Stream:
    """One of the two streams. ``after``: the rest of the line of its mark, once it has come."""

    def __init__(self, mark: bytes) -> None:
        self.kept = bytearray()
        self.after: str | None = None
        self._mark = mark
        self._tail = b""  # what is not kept may hold a mark, or the first half of one

    def add(self, more: bytes) -> None:
        """Keeps the beginning: a case that prints for ever must not fill our memory."""
        if self.after is not None:
            return  # over; what comes all the same is nobody's
        self._tail += more
        text, found, rest = self._tail, b"", b""
        if self._mark:
            text, found, rest = self._tail.partition(self._mark)
        if found and (b"\n" in rest or len(rest) > MAX_AFTER_BYTES):
            self.after = rest.partition(b"\n")[0][:MAX_AFTER_BYTES].decode(errors="replace").strip()
        # As long as it may be the beginning of the mark's line, it is not the case's.
        sure = len(text) if found else max(0, len(text) - len(self._mark))
        self.kept += text[: min(sure, max(0, MAX_KEPT_BYTES - len(self.kept)))]
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
        self._channel, self.deadline = channel, deadline
        self._limit, self._limited = limit, False
        self._out, self._err = _Stream(mark), _Stream(mark)
        self._at = 0  # where a line begins that has not been looked at

    def text(self) -> tuple[str, str]:
        """Standard output and standard error so far."""
        return self._out.text(), self._err.text()

    def read(self) -> str | None:
        """Returns when both streams have come to the mark: what follows it on the first.

        None where they end before that, as without a mark they do. Raises CommandTimeoutError.
        """
        while self._out.after is None or self._err.after is None:
            if not self._more():
                return None
        return self._out.after

    def ask(self, line: str) -> str:
        """Sends one line and returns the answer, less what marks it as one.

        Raises EndedError if the streams end first, CommandTimeoutError if the time is up.
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
            ended = channel.eof_received or channel.closed  # asked first: the last bytes count
            out = channel.recv(1 << 20) if channel.recv_ready() else b""
            err = channel.recv_stderr(1 << 20) if channel.recv_stderr_ready() else b""
            if out or err:
                self._out.add(out)
                self._err.add(err)
                return True
            if ended:
                return False
            if not self._limited and (seconds := self._limit()) is not None:
                self.deadline = min(self.deadline, time.monotonic() + seconds)
                self._limited = True
            left = self.deadline - time.monotonic()
            if left <= 0:
                raise CommandTimeoutError(*self.text())
            # The channel is readable on news of either stream and on its end.
            select.select([channel], [], [], min(left, 0.2))


def request_of(words: Sequence[str], argv: Sequence[str], env: Mapping[str, str]) -> bytes:
    """``words`` for the guest's runner, the case's variables and its command line.

    ValueError: something contains a NUL.
    """
    parts = [*words, *(f"{name}={value}" for name, value in env.items()), "", *argv]
    if any("\0" in part for part in parts):
        raise ValueError("a NUL in what a case is given")
    body = b"".join(part.encode() + b"\0" for part in parts)
    return b"%d\n%s" % (len(body), body)


class CaseLine:
    """A channel on which serve.c waits for cases. ``open`` until something goes wrong."""

    def __init__(self, channel: paramiko.Channel, mark: str) -> None:
        self._channel = channel
        self._mark = mark
        self.open = True

    def run(self, request: bytes, timeout: float, limit: Callable[[], float | None]) -> Completed:
        """Runs one case to its end; ``limit`` as of ``Streams``.

        Raises:
            SshError: the connection is lost, or the guest's half has ended.
            CommandTimeoutError: not over in time; it may still run.
        """
        deadline = time.monotonic() + timeout
        streams = Streams(self._channel, deadline, limit, self._mark.encode())
        try:
            with as_our_errors():
                self._channel.settimeout(timeout)
                self._channel.sendall(request)
                status = streams.read()
            if status is None:
                raise SshError("the SSH connection is lost: the guest runs no more cases on it")
            if not re.fullmatch(r"-?\d{1,3}", status):
                raise SshError(f"the guest names no exit status: {status[:80]!r}")
        except BaseException:
            self.close()
            raise
        return Completed(int(status), *streams.text())

    def close(self) -> None:
        """Gives the channel up; a case that runs there goes on, and is the last."""
        self.open = False
        self._channel.close()
