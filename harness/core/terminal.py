# SPDX-License-Identifier: GPL-2.0-only
"""What a terminal, a pipe and a shell do to the process: streams, and the signals that end it."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

from harness.core.errors import MachineError

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Output:
    """A standard stream that can be lost, as when ``| head`` has seen enough or a disk is full.

    What cannot be written ends the run as SIGTERM does, files and all; ``error`` is why. What
    the stream's encoding does not have is written as an escape. All else it is asked for is the
    stream's own, such as its encoding, by which rich chooses its characters.
    """

    def __init__(self, stream: io.TextIOWrapper) -> None:
        stream.reconfigure(errors="backslashreplace")
        self._stream = stream
        self.error: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Writes and flushes: who reads a pipe sees each line when it comes."""
        if self.error is None:
            try:
                self._stream.write(text)
                self._stream.flush()
            except OSError as error:
                self._lose(error)
        return len(text)

    def flush(self) -> None:
        """Each write has flushed."""

    def _lose(self, error: OSError) -> None:
        self.error = error
        # What is still in the stream's buffer must go somewhere when Python ends.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
        if callable(signal.getsignal(signal.SIGTERM)):  # else the run has ended already
            signal.raise_signal(signal.SIGTERM)


@contextlib.contextmanager
def standard_streams() -> Iterator[None]:
    """Standard streams that can be written to whatever the shell has made of them.

    A stream that was closed is /dev/null: else the next file that is opened takes its number,
    and what programs print is written into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    kept = sys.stdin, sys.stdout, sys.stderr
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115
    outputs = []
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            outputs.append(Output(stream))
            setattr(sys, name, outputs[-1])
    try:
        yield
    finally:
        sys.stdin, sys.stdout, sys.stderr = kept
    for output in outputs:
        if output.error is not None and output.error.errno not in (errno.EPIPE, errno.EIO):
            raise MachineError(f"what the command prints cannot be written: {output.error}")


def _tell(text: str) -> None:
    """Writes past the streams, which a signal may have come in the middle of."""
    with contextlib.suppress(OSError):
        os.write(2, text.encode())


@contextlib.contextmanager
def ending_signals() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP unwind the block, so that QEMU and make end with us.

    A signal that whoever started us has set to be ignored, as ``nohup`` does, stays so. The
    second of them while the first unwinds is only answered, so that no guest stays behind;
    the third ends what the first does.

    Ctrl-Z does not stop a run: its guest and its clocks would go on, and every case that ran would
    be too late. A write to a terminal that is another job's does not stop it either.

    Raises:
        KeyboardInterrupt: one of them came.
    """
    came = 0

    def end(signum: int, frame: FrameType | None) -> None:
        nonlocal came
        came += 1
        if came != 2:
            raise KeyboardInterrupt
        _tell("ending the guest and writing what is known; once more to end at once\n")

    def stay(signum: int, frame: FrameType | None) -> None:
        _tell("the run goes on: its guest cannot be stopped with it; Ctrl-C ends both\n")

    handlers: dict[int, Any] = dict.fromkeys(ENDING, end)
    handlers |= {signal.SIGTSTP: stay, signal.SIGTTOU: signal.SIG_IGN}
    before = {n: signal.getsignal(n) for n in handlers}
    for number, handler in handlers.items():
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
