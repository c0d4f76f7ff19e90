# SPDX-License-Identifier: GPL-2.0-only
"""QEMU's monitor: qemu.qmp's client, whose loop runs in one thread for all guests."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from qemu.qmp import (
    ConnectError,
    ExecInterruptedError,
    ExecuteError,
    QMPClient,
    Runstate,
    StateError,
)

from harness.core.errors import InternalError

T = TypeVar("T")


class MonitorClosedError(Exception):
    """QEMU closed its monitor: it has ended, or is about to."""


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    """The loop of all monitors. Guests are started and asked from several threads."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="monitors", daemon=True).start()
    return loop


class Monitor:
    """One QEMU's monitor, for callers that wait for each answer."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._client = QMPClient()
        self._loop = _loop()

    def _wait(self, what: Coroutine[Any, Any, T], timeout: float) -> T:
        """Has the loop do it: what it returns, or raises, within ``timeout`` seconds."""
        doing = asyncio.run_coroutine_threadsafe(asyncio.wait_for(what, timeout), self._loop)
        try:
            return doing.result()
        except (ConnectError, ExecInterruptedError, StateError, EOFError) as error:
            raise MonitorClosedError from error
        except TimeoutError as error:
            raise TimeoutError("QEMU's monitor does not answer") from error

    def greet(self, timeout: float) -> None:
        """Reads QEMU's greeting and leaves negotiation mode.

        Raises:
            MonitorClosedError: QEMU ended first.
            TimeoutError: it said nothing for ``timeout`` seconds.
        """
        self._wait(self._client.connect(self._socket), timeout)

    @property
    def major(self) -> int:
        """The first number of QEMU's version, once it has greeted."""
        greeting = self._client.greeting
        if greeting is None:
            raise InternalError("QEMU's monitor was asked before it was greeted")
        version: Any = greeting.QMP.version
        return int(version["qemu"]["major"])

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

        Raises:
            MonitorClosedError, TimeoutError: it does not come.
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

    def human(self, line: str, *, timeout: float = 10.0) -> str:
        """Runs a command of the human monitor and returns what it prints."""
        said: str = self.command("human-monitor-command", timeout=timeout, command_line=line)
        return said

    def close(self) -> None:
        """Ends the connection; QEMU goes on. Safe to call at any time, more than once."""
        # What ended the connection before is raised here, and is no news.
        with contextlib.suppress(Exception):
            if self._client.runstate is not Runstate.IDLE:
                self._wait(self._client.disconnect(), 5.0)
        self._socket.close()
