# SPDX-License-Identifier: GPL-2.0-only
"""One QEMU process and its monitor.

The process dies with the harness, whatever kills the harness (a parent-death
signal), and is in a session of its own, so that Ctrl-C reaches only us and we
end it in order. Console and monitor are inherited pipes and sockets: nothing to
name, nothing to race for, and end of file on them means that QEMU has ended.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from shlex import quote

from harness.core.errors import InternalError, MachineError
from harness.vm.console import SerialLine
from harness.vm.machine import QEMU, GuestSpec, Wiring, qemu_argv
from harness.vm.qmp import Monitor, MonitorClosedError


def forwarded_port(info_usernet: str) -> int:
    """The host's port in the output of ``info usernet``.

    Raises:
        InternalError: there is none.
    """
    match = re.search(r"HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s", info_usernet)
    if match is None:
        raise InternalError(f"QEMU names no forwarded port:\n{info_usernet}")
    return int(match[1])


def _console_pipe() -> tuple[int, int]:
    """A pipe that holds a whole boot's output while nobody reads; ours to read, to write."""
    reader, writer = os.pipe()
    with contextlib.suppress(OSError):  # as large as an ordinary user may have it
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 1 << 20)
    return reader, writer


def _launch(
    argv: list[str], log: Path, stdin: int, stdout: int, inherited: tuple[int, ...]
) -> subprocess.Popen[bytes]:
    """Starts QEMU such that the kernel ends it when the harness is no more."""
    # setpriv rather than preexec_fn: Python code between fork and exec is not
    # safe once there are threads, and there is one for each console.
    wrapped = ["setpriv", "--pdeathsig", "KILL", "--", *argv]
    with open(log, "wb") as errors:
        try:
            return subprocess.Popen(
                wrapped,
                stdin=stdin,
                stdout=stdout,
                stderr=errors,
                pass_fds=inherited,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise MachineError(
                "setpriv is not installed", next_step="install util-linux"
            ) from error


class Qemu:
    """A running QEMU. ``console``: our ends of the guest's serial line."""

    def __init__(
        self, process: subprocess.Popen[bytes], console: SerialLine, monitor: Monitor, log: Path
    ) -> None:
        self.process = process
        self.console = console
        self.monitor = monitor
        self.log = log
        self.port = 0

    @classmethod
    def start(
        cls,
        spec: GuestSpec,
        log: Path,
        ssh_key: str,
        *,
        swap: Path | None = None,
        restore: Path | None = None,
    ) -> Qemu:
        """Starts QEMU; its own complaints go to ``log``.

        Args:
            restore: a saved state to go on from; RESUME says when the guest does.

        To be called from a thread that lives as long as the guest: it is the
        end of the thread, not of the process, that the kernel watches for.

        Raises:
            MachineError: QEMU is not installed, or ended at once.
        """
        if shutil.which(QEMU) is None:
            raise MachineError(f"{QEMU} is not installed", next_step="install qemu-system-x86")
        from_guest, console_out = _console_pipe()
        console_in, to_guest = os.pipe()
        monitor, their_monitor = socket.socketpair()
        argv = qemu_argv(spec, Wiring(their_monitor.fileno(), ssh_key, swap, restore is not None))
        line = SerialLine(from_guest, to_guest)
        inherited = [their_monitor.detach()]
        try:
            if restore is not None:
                inherited.append(os.open(restore, os.O_RDONLY))
            process = _launch(argv, log, console_in, console_out, tuple(inherited))
        except BaseException:
            line.close()
            monitor.close()
            raise
        finally:
            for ours in (console_out, console_in, *inherited):
                os.close(ours)
        qemu = cls(process, line, Monitor(monitor), log)
        try:
            qemu.monitor.greet(20.0)
            # Not on the command line: until it is greeted QEMU tells of no event, and a
            # small guest may go on before a busy machine lets us greet it.
            if restore is not None:
                # Read by QEMU itself: 25 ms less than through a pipe. 9.1 calls that deprecated.
                straight = f"fd:{inherited[1]}" if qemu.monitor.major < 9 else ""
                through = f"exec:cat {quote(str(restore))}"
                qemu.monitor.command("migrate-incoming", uri=straight or through)
        except BaseException as error:
            qemu.kill()
            line.close()
            if not isinstance(error, MonitorClosedError | TimeoutError):
                raise
            raise MachineError(
                f"QEMU ended at once:\n{qemu.complaints() or type(error).__name__}",
                evidence=log,
                next_step=" ".join(argv)[:2000],
            ) from error
        return qemu

    def find_port(self) -> int:
        """Asks QEMU for the SSH port on 127.0.0.1 and remembers it."""
        self.port = forwarded_port(self.monitor.human("info usernet"))
        return self.port

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process.poll() is None

    def complaints(self) -> str:
        """What QEMU itself has printed, its last 2000 characters."""
        return self.log.read_text(errors="replace").strip()[-2000:]

    def send_break(self) -> None:
        """A break on the serial line: the next byte sent is a sysrq key."""
        self.monitor.command("chardev-send-break", id="console")

    def kill(self) -> None:
        """Ends QEMU for certain. Safe to call at any time, more than once."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        self.monitor.close()
