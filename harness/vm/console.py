# SPDX-License-Identifier: GPL-2.0-only
"""The guest's serial console, read by one thread from the first byte to the last."""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import re
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.core.command_table import command
from harness.core.errors import InternalError, MachineError

LONGEST = 1 << 16  # bytes of a line; one that has not ended by then is handed on in parts

MAX_KEPT_BYTES = 16 << 20  # of the lines that can be asked for; the log has all
LINE_COST_BYTES = 64  # that a kept line takes besides its text
MAX_LOG_BYTES = 256 << 20  # of the log: a guest must not fill the disk

CUT = b"\n(the guest says more than is kept of its console)\n"

LineHandler = Callable[[str | None], None]


@dataclass(frozen=True)
class SerialLine:
    """The harness's ends of a guest's serial line: descriptors to read from, to write to."""

    reader: int
    writer: int

    def close(self) -> None:
        """Closes both; they must not be used again."""
        os.close(self.reader)
        os.close(self.writer)


class Console:
    """Writes every byte to ``log`` at once, up to a limit, and hands on whole lines, all of them.

    ``on_line`` gets each line without its end, in the reader's thread, before anybody who
    waits for it wakes; and None after ``quiet`` seconds without a byte, once, and at the end.
    """

    def __init__(
        self, line: SerialLine, log: Path, on_line: LineHandler, quiet: float = 0.5
    ) -> None:
        self.log = log
        self._kept: deque[str] = deque()
        self._kept_bytes = 0
        self.count = 0  # of all lines, whose last ones are kept: the index of the next
        self.ended = False
        self.trouble: Exception | None = None  # what went wrong in the reader's thread
        self._line = line
        self._open = True
        self._on_line = on_line
        self._quiet = quiet
        self._rest = b""  # of a line that has not ended
        self._listeners: list[queue.SimpleQueue[bytes]] = []
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._read, name=f"console {log}", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        told_quiet, room = True, MAX_LOG_BYTES
        with open(self.log, "ab", buffering=0) as log:
            while True:
                if not select.select([self._line.reader], [], [], self._quiet)[0]:
                    if not told_quiet:
                        self._on_line(None)
                        told_quiet = True
                    continue
                data = os.read(self._line.reader, 65536)
                if not data:
                    break
                told_quiet = False
                try:
                    log.write(data[:room])
                    if len(data) > room > 0:
                        log.write(CUT)
                    room = max(0, room - len(data))
                except OSError as error:
                    # Reading goes on: a guest whose console is not read would stand still.
                    self.trouble = self.trouble or error
                *whole, rest = (self._rest + data).split(b"\n")
                while len(rest) > LONGEST:
                    whole.append(rest[:LONGEST])
                    rest = rest[LONGEST:]
                self._take(whole, rest, data)
        if self._rest:
            self._take([self._rest], b"", b"")
        self._on_line(None)
        with self._news:
            self.ended = True
            for listener in self._listeners:
                listener.put(b"")
            self._news.notify_all()

    def _take(self, raw: list[bytes], rest: bytes, data: bytes) -> None:
        lines = [line.rstrip(b"\r").decode(errors="replace") for line in raw]
        for line in lines:
            try:
                self._on_line(line)
            except Exception as error:
                self.trouble = self.trouble or error
        with self._news:
            for line in lines:
                self._kept.append(line)
                self._kept_bytes += len(line) + LINE_COST_BYTES
            self.count += len(lines)
            while self._kept_bytes > MAX_KEPT_BYTES:
                self._kept_bytes -= len(self._kept.popleft()) + LINE_COST_BYTES
            self._rest = rest
            for listener in self._listeners:
                if data:
                    listener.put(data)
            self._news.notify_all()

    @property
    def lines(self) -> list[str]:
        """The lines that are kept: all, or the last ones of many."""
        with self._news:
            return list(self._kept)

    def _since(self, index: int) -> Iterator[str]:
        """The kept lines from an index on; the caller holds the lock."""
        return itertools.islice(self._kept, max(0, index - self.count + len(self._kept)), None)

    def listen(self, since: int | None = None) -> queue.SimpleQueue[bytes]:
        """Every byte from now on as it comes, and b'' at the end; see ``unlisten``.

        Args:
            since: the record from the line of this index on comes first.
        """
        listener: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        with self._news:
            if since is not None:
                said = [line.encode() for line in self._since(since)]
                if before := b"\n".join([*said, self._rest]):
                    listener.put(before)
            if self.ended:
                listener.put(b"")
            self._listeners.append(listener)
        return listener

    def unlisten(self, listener: queue.SimpleQueue[bytes]) -> None:
        """Nothing more is put into what ``listen`` returned."""
        with self._news:
            self._listeners.remove(listener)

    def check(self) -> None:
        """Raises MachineError if the log could not be written, InternalError for a line."""
        if isinstance(self.trouble, OSError):
            raise MachineError(
                f"the console's log cannot be written: {self.trouble.strerror}",
                evidence=self.log,
                next_step=f"{command('clean-cache')}, or set OUT to a directory with more room",
            ) from self.trouble
        if self.trouble is not None:
            why = f"a console line was not understood: {self.trouble!r}"
            raise InternalError(why) from self.trouble

    def wait_for(self, pattern: str, timeout: float, *, since: int = 0) -> re.Match[str] | None:
        """The match of ``pattern`` anywhere in a line from index ``since`` on.

        None when none has come within ``timeout`` seconds, or by the console's end.
        """
        wanted = re.compile(pattern)
        deadline = time.monotonic() + timeout
        with self._news:
            while True:
                for line in self._since(since):
                    if match := wanted.search(line):
                        return match
                since = self.count
                left = deadline - time.monotonic()
                if self.ended or left <= 0:
                    return None
                self._news.wait(left)

    def text(self, since: int = 0) -> str:
        """All lines from index ``since`` on that are kept."""
        with self._news:
            return "\n".join(self._since(since))

    def send(self, data: bytes) -> None:
        """Types ``data`` on the serial line; a QEMU that is gone does not matter."""
        with contextlib.suppress(OSError):
            os.write(self._line.writer, data)

    def join(self, timeout: float = 5.0) -> None:
        """Waits for the last byte, after QEMU has ended."""
        self._thread.join(timeout)

    def close(self) -> None:
        """Reads the last byte and gives the line up, after QEMU has ended. Safe to call twice."""
        self.join()
        if self._open and not self._thread.is_alive():
            self._open = False
            self._line.close()
