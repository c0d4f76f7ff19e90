# SPDX-License-Identifier: GPL-2.0-only
"""An interactive shell in a guest: this terminal joined to a pseudo terminal there."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from types import FrameType

import paramiko

from harness.ssh import Connection, SshError


@contextlib.contextmanager
def _raw_terminal(fd: int) -> Iterator[None]:
    """Every key goes to the guest, Ctrl-C too; the terminal is put back whatever happens."""
    if not os.isatty(fd):
        yield
        return
    before = termios.tcgetattr(fd)
    try:
        tty.setraw(fd)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _following_size(channel: paramiko.Channel) -> Iterator[None]:
    """Tells the guest each new size of the window. Signals reach the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def resize(_signal: int, _frame: FrameType | None) -> None:
        size = shutil.get_terminal_size()
        with contextlib.suppress(paramiko.SSHException, OSError):
            channel.resize_pty(size.columns, size.lines)

    before = signal.signal(signal.SIGWINCH, resize)
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


def _join(channel: paramiko.Channel, stdin: int, stdout: int) -> None:
    """Copies both ways until the guest's end is closed."""
    sources: list[int | paramiko.Channel] = [channel, stdin]
    while True:
        readable, _, _ = select.select(sources, [], [], 1.0)
        if channel in readable or channel.closed or channel.eof_received:
            data = channel.recv(65536)
            if not data:
                return
            while data:
                data = data[os.write(stdout, data) :]
        if stdin in readable:
            typed = os.read(stdin, 65536)
            if typed:
                channel.sendall(typed)
            else:
                # A file or a pipe has ended: so does the shell's input; it still prints.
                sources.remove(stdin)
                channel.shutdown_write()


def interactive(connection: Connection, stdin: int | None = None, stdout: int | None = None) -> int:
    """Runs a login shell on this terminal until it ends; returns its exit status.

    Args:
        stdin, stdout: descriptors, by default the process's own.

    Raises:
        SshError: the connection could not be used, or was lost.
    """
    stdin = sys.stdin.fileno() if stdin is None else stdin
    stdout = sys.stdout.fileno() if stdout is None else stdout
    size = shutil.get_terminal_size()
    try:
        channel = connection.transport.open_session(timeout=10.0)
        with channel:
            if os.isatty(stdin):
                channel.get_pty(os.environ.get("TERM", "vt100"), size.columns, size.lines)
            else:
                # With a terminal between, a Ctrl-D for the shell could go to what it runs.
                channel.set_combine_stderr(True)
            channel.invoke_shell()
            with _raw_terminal(stdin), _following_size(channel):
                _join(channel, stdin, stdout)
            if channel.status_event.wait(5.0) and channel.exit_status >= 0:
                return channel.exit_status
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise SshError(
            f"the shell's connection is lost: {error or type(error).__name__}"
        ) from error
    raise SshError("the shell's connection is lost: the guest closed it")
