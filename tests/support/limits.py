# SPDX-License-Identifier: GPL-2.0-only
"""How long tests wait: for an event as long as it takes, for time to pass no longer than needed.

What a test expects to happen gets ``NEVER_S``, so that no machine is too busy for it; what
it expects to run out gets ``SOON_S``, which runs out on any machine.
"""

from __future__ import annotations

import fcntl
import os
import select
import threading
from collections.abc import Sequence
from types import ModuleType, SimpleNamespace
from typing import IO, Any

import pytest

from harness.core import proc
from harness.vm.channel import Streams

HUNG_S = 600.0  # a test that takes longer hangs, and is ended (conftest.py)
SLOW_HUNG_S = 4 * 3600.0  # the same of one that builds kernels
NEVER_S = 86400.0
SOON_S = 0.1


def wait_gone(pid: int) -> None:
    """Waits until a process has ended; one that nobody has reaped yet has ended too."""
    try:
        ended = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        select.select([ended], [], [])
    finally:
        os.close(ended)


def time_out_after(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    """The time of a program that ``proc.run`` runs begins when it has said ``word``, not before."""
    said, run = threading.Event(), proc.run

    def heard(line: str) -> None:
        if word in line:
            said.set()

    def listening(argv: Sequence[str], **how: Any) -> proc.ProgramResult:
        return run(argv, **{"on_line": heard, **how})

    class AfterWord(threading.Timer):
        daemon = True

        def run(self) -> None:
            said.wait()
            super().run()

    monkeypatch.setattr(proc, "run", listening)
    monkeypatch.setattr(proc, "threading", SimpleNamespace(Timer=AfterWord))


def note_streams(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> list[Streams]:
    """The streams of each command that ``module`` runs from now on."""
    noted: list[Streams] = []

    class Noted(Streams):
        def __init__(self, *args: object) -> None:
            super().__init__(*args)  # type: ignore[arg-type]
            noted.append(self)

    monkeypatch.setattr(module, "Streams", Noted)
    return noted


def note_refused_locks(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> threading.Semaphore:
    """Is released each time that a lock which ``module`` asks for is somebody else's."""
    refused = threading.Semaphore(0)

    def flock(handle: int | IO[str], how: int) -> None:
        try:
            fcntl.flock(handle, how | fcntl.LOCK_NB)
        except BlockingIOError:
            refused.release()
            if how & fcntl.LOCK_NB:
                raise
            fcntl.flock(handle, how)

    monkeypatch.setattr(module, "fcntl", SimpleNamespace(**{**vars(fcntl), "flock": flock}))
    return refused
