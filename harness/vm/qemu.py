# SPDX-License-Identifier: GPL-2.0-only
"""One QEMU process and its monitor (QMP).

The process dies with the harness, whatever kills the harness (a parent-death
signal), and is in a session of its own, so that Ctrl-C reaches only us and we
end it in order. Console and monitor are inherited pipes and sockets: nothing to
name, nothing to race for, and end of file on them means that QEMU has ended.
The loop of qemu.qmp's client runs in one thread for all guests.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from qemu.qmp import (
    ConnectError,
    ExecInterruptedError,
    ExecuteError,
    QMPClient,
    Runstate,
    StateError,
)

from harness.core.errors import InternalError, MachineError
from harness.vm.console import SerialLine
from harness.vm.machine import QEMU, GuestSpec, qemu_argv
from harness.vm.saved_state import begin_reading

T = TypeVar("T")


class MonitorClosedError(Exception):
    """QEMU closed its monitor: it has ended, or is about to."""


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    """The loop of all monitors. Guests are started and asked from several threads."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="monitors", daemon=True).start()
    return loop


@functools.cache
def _launcher() -> ThreadPoolExecutor:
    """The thread that starts all QEMUs, and lives as long as this process.

    The kernel sends the parent-death signal when the thread that forked ends (prctl(2)), and
    guests are started by threads that end before them: those that share out the cases.
    """
    return ThreadPoolExecutor(1, "launcher")


class Monitor:
    """One QEMU's monitor, for callers that wait for each answer."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._client = QMPClient()
        self.version = (0, 0)  # of a QEMU that has not greeted

    def _wait(self, what: Coroutine[Any, Any, T], timeout: float) -> T:
        """Has the loop do it: what it returns, or raises, within ``timeout`` seconds."""
        doing = asyncio.run_coroutine_threadsafe(asyncio.wait_for(what, timeout), _loop())
        try:
            return doing.result()
        except (ConnectError, ExecInterruptedError, StateError, EOFError) as error:
            raise MonitorClosedError from error
        except TimeoutError as error:
            raise TimeoutError("QEMU's monitor does not answer") from error

    def greet(self, timeout: float) -> None:
        """Leaves negotiation mode and learns QEMU's ``version``, by its greeting.

        Raises MonitorClosedError, TimeoutError: there is none within ``timeout`` seconds.
        """
        self._wait(self._client.connect(self._socket), timeout)
        greeting: Any = self._client.greeting
        numbers = greeting.QMP.version["qemu"]
        self.version = (int(numbers["major"]), int(numbers["minor"]))

    def command(self, name: str, *, timeout: float = 10.0, **arguments: Any) -> Any:
        """Runs one QMP command; underscores in argument names stand for dashes.

        Raises:
            InternalError: QEMU refused it.
            MonitorClosedError, TimeoutError: there was no answer.
        """
        named = {key.replace("_", "-"): value for key, value in arguments.items()}
        try:
            return self._wait(self._client.execute(name, named or None), timeout)
        except ExecuteError as error:
            raise InternalError(f"QEMU refused {name}: {error}") from error

    def wait_event(self, name: str, timeout: float) -> None:
        """Waits for an event, or takes one that came before; those before it are forgotten.

        Raises MonitorClosedError, TimeoutError: it does not come.
        """
        self._wait(self._event(name), timeout)

    async def _event(self, name: str) -> None:
        async def came() -> None:
            while (await self._client.events.get())["event"] != name:
                pass

        async def closed() -> None:
            while self._client.runstate is Runstate.RUNNING:
                await self._client.runstate_changed()

        tasks = [asyncio.create_task(came()), asyncio.create_task(closed())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if not tasks[0].done():
                raise EOFError
        finally:
            for task in tasks:
                task.cancel()

    def human(self, line: str) -> str:
        """Runs a command of the human monitor and returns what it prints."""
        said: str = self.command("human-monitor-command", command_line=line)
        return said

    def close(self) -> None:
        """Ends the connection; QEMU goes on. Safe to call at any time, more than once."""
        # What ended the connection before is raised here, and is no news.
        with contextlib.suppress(Exception):
            if self._client.runstate is not Runstate.IDLE:
                self._wait(self._client.disconnect(), 5.0)
        self._socket.close()


@dataclass
class Qemu:
    """A running QEMU. ``console``: our ends of the guest's serial line."""

    process: subprocess.Popen[bytes]
    console: SerialLine
    monitor: Monitor
    log: Path
    port: int = 0

    @classmethod
    def start(
        cls,
        spec: GuestSpec,
        log: Path,
        ssh_key: str,
        *,
        swap: Path | None = None,
        restore: Path | None = None,
        marks: Path | None = None,
    ) -> Qemu:
        """Starts QEMU; its own complaints go to ``log``.

        Args:
            restore: a saved state to go on from; RESUME says when the guest does.
            marks: where what ``spec.watch`` watches is marked.

        Raises:
            MachineError: QEMU is not installed, or ended at once.
        """
        for program, package in ((QEMU, "qemu-system-x86"), ("setpriv", "util-linux")):
            if shutil.which(program) is None:
                raise MachineError(f"{program} is not installed", next_step=f"install {package}")
        from_guest, console_out = os.pipe()
        with contextlib.suppress(OSError):  # it may hold a whole boot's output while nobody reads
            fcntl.fcntl(console_out, fcntl.F_SETPIPE_SZ, 1 << 20)
        console_in, to_guest = os.pipe()
        monitor, their_monitor = socket.socketpair()
        restored = restore is not None
        argv = qemu_argv(spec, their_monitor.fileno(), ssh_key, swap, restored, marks)
        line = SerialLine(from_guest, to_guest)
        inherited = [their_monitor.detach()]
        try:
            if restore is not None:
                inherited.append(os.open(restore, os.O_RDONLY))
            with open(log, "wb") as errors:
                starting = _launcher().submit(
                    subprocess.Popen,
                    # setpriv rather than preexec_fn: Python code between fork and exec is not
                    # safe once there are threads, and there is one for each console.
                    ["setpriv", "--pdeathsig", "KILL", "--", *argv],
                    stdin=console_in,
                    stdout=console_out,
                    stderr=errors,
                    pass_fds=inherited,
                    start_new_session=True,
                )
                process = starting.result()
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
                begin_reading(qemu.monitor, restore, inherited[1])
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
        """Asks QEMU for the SSH port on 127.0.0.1 and remembers it; InternalError: none."""
        said = self.monitor.human("info usernet")
        match = re.search(r"HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s", said)
        if match is None:
            raise InternalError(f"QEMU names no forwarded port:\n{said}")
        self.port = int(match[1])
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
