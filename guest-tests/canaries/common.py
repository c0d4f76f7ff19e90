# SPDX-License-Identifier: GPL-2.0-only
"""What the canaries share: LKDTM, CPUs, and the protocol of a test that says ok."""

import os
import time
from pathlib import Path

CRASH = Path("/sys/kernel/debug/provoke-crash/DIRECT")


def say_ok(*, plan: bool = True) -> None:
    """Prints what a passing case would print."""
    print("KTAP version 1")
    if plan:
        print("1..1")
    print("ok 1 canary", flush=True)


def crash(kind: str) -> None:
    """Provokes one of LKDTM's crashes on this CPU."""
    CRASH.write_text(kind)


def crash_on(cpu: int, kind: str, after: float = 0.0) -> int:
    """Provokes a crash on ``cpu``, ``after`` so many seconds, in a child; returns its pid."""
    pid = os.fork()
    if pid == 0:
        os.sched_setaffinity(0, {cpu})
        time.sleep(after)
        crash(kind)
        os._exit(0)
    return pid


def last_cpu() -> int:
    """The CPU that serves interrupts least: the first one serves the network."""
    return max(os.sched_getaffinity(0))


def tune(path: str, value: int) -> None:
    """Writes a number to a tunable of the kernel."""
    Path(path).write_text(f"{value}\n")
