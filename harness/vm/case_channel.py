# SPDX-License-Identifier: GPL-2.0-only
"""One case after another over one channel: the host's half of serve.c.

What a case prints comes on the channel's two streams, as that of a command of its own
would. A mark of 128 random bits tells where it ends, which no case can guess.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence

from harness.vm.ssh import Completed, Connection, SshError, as_our_errors
from harness.vm.ssh_streams import Streams


def request_of(words: Sequence[str], argv: Sequence[str], env: Mapping[str, str]) -> bytes:
    """``words`` for the guest's runner, the case's variables and its command line.

    Raises:
        ValueError: something contains a NUL.
    """
    parts = [*words, *(f"{name}={value}" for name, value in env.items()), "", *argv]
    if any("\0" in part for part in parts):
        raise ValueError("a NUL in what a case is given")
    body = b"".join(part.encode() + b"\0" for part in parts)
    return b"%d\n%s" % (len(body), body)


class CaseLine:
    """A channel on which the guest waits for cases. ``open`` until something goes wrong.

    ``command`` and a mark are what the guest runs.

    Raises:
        SshError, CommandTimeoutError: it cannot be had within ``timeout`` seconds.
    """

    def __init__(self, connection: Connection, command: str, timeout: float) -> None:
        self._mark = secrets.token_hex(16)
        with as_our_errors():
            self._channel = connection.begin(f"{command} {self._mark}", timeout)
        self.open = True

    def run(self, request: bytes, timeout: float, limit: Callable[[], float | None]) -> Completed:
        """Runs one case to its end.

        Args:
            limit: see :meth:`harness.vm.ssh.Connection.execute`.

        Raises:
            SshError: the connection is lost, or the guest's half has ended.
            CommandTimeoutError: not over in time; it may still run.
        """
        start = time.monotonic()
        streams = Streams(self._channel, start + timeout, limit, self._mark.encode())
        try:
            with as_our_errors():
                self._channel.settimeout(timeout)
                self._channel.sendall(request)
                status = streams.read_to_mark()
            if status is None:
                raise SshError("the SSH connection is lost: the guest runs no more cases on it")
        except BaseException:
            self.close()
            raise
        return Completed(int(status), streams.out, streams.err, time.monotonic() - start)

    def close(self) -> None:
        """Gives the channel up; a case that runs there goes on, and is the last."""
        self.open = False
        self._channel.close()
