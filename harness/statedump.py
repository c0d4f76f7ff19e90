# SPDX-License-Identifier: GPL-2.0-only
"""What a guest that hangs still shows: QEMU's view of it, its registers, sysrq's traces."""

from __future__ import annotations

import time
from collections.abc import Callable

from harness.console import Console
from harness.errors import InternalError
from harness.monitor import MonitorClosedError
from harness.qemu import Qemu

ANSWER = 2.0  # seconds for the first word of an answer
QUIET = 0.5  # seconds of silence that end one
TAIL = 200  # lines of the console that are repeated in a dump

_TROUBLE = (MonitorClosedError, TimeoutError, InternalError, OSError, ValueError)


def sysrq(qemu: Qemu, console: Console, key: str) -> int:
    """Sends a sysrq key as a break and a byte; how many lines came back (0: no answer)."""
    before = len(console.lines)
    try:
        qemu.send_break()
    except _TROUBLE:
        return 0
    console.send(key.encode())
    if console.wait_for("sysrq: ", ANSWER, since=before) is None:
        return 0
    while time.monotonic() - console.last_byte < QUIET and not console.ended:
        time.sleep(0.05)
    return len(console.lines) - before


def state_of(about: str, qemu: Qemu, console: Console) -> str:
    """A report on a guest in any state; what cannot be had is said in its place."""
    parts = [about]

    def ask(title: str, get: Callable[[], object]) -> None:
        try:
            parts.append(f"==== {title}\n{get()}")
        except _TROUBLE as error:
            parts.append(f"==== {title}\nnot to be had: {error or type(error).__name__}")

    if qemu.alive and not console.ended:
        ask("query-status", lambda: qemu.monitor.command("query-status"))
        ask("info registers -a", lambda: qemu.monitor.human("info registers -a"))
        since = len(console.lines)
        for key, what in (("l", "all CPUs"), ("w", "blocked tasks"), ("t", "all tasks")):
            count = sysrq(qemu, console, key)
            parts.append(f"==== sysrq {key} ({what}): {count or 'no answer'}")
            if not count:
                break  # nor will it answer to the next
        parts.append(f"==== console since\n{console.text(since)}")
    else:
        parts.append(f"QEMU has ended with status {qemu.process.poll()}")
    parts.append("==== end of the console\n" + "\n".join(console.lines[-TAIL:]))
    return "\n\n".join(parts) + "\n"
