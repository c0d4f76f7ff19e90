# SPDX-License-Identifier: GPL-2.0-only
"""A guest of races stops all CPUs once by itself, soon after boot: that is waited for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from harness.core.errors import MachineError
from harness.vm.console import Console
from harness.vm.protocol import Completed

CLOCKSOURCE = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
TRANSIENT_CLOCKSOURCE = "tsc-early"
SWITCH_TIMEOUT_S = 60.0  # of a guest of the reference's pace; it takes 1.5 s after boot
SWITCHED = rf"clocksource: Switched to clocksource (?!{TRANSIENT_CLOCKSOURCE})"


class AskedGuest(Protocol):
    """A guest that runs commands; ``pace``: how much slower than the reference it is."""

    console: Console
    pace: float

    def exec(self, command: Sequence[str], timeout: float) -> Completed:
        """Runs a command; ``timeout``: seconds."""


def wait_for_final_clocksource(guest: AskedGuest) -> None:
    """Waits until a guest has the clocksource that it will keep.

    A kernel that could calibrate the TSC goes over from ``tsc-early`` to ``tsc`` about a second
    after boot (``tsc_refine_calibration_work()``, arch/x86/kernel/tsc.c, 6.1 to 7.3). It stops
    all CPUs for that, once: ``timekeeping_notify()`` calls ``stop_machine()``. With one of them
    held, the others would wait in ``multi_cpu_stop()`` for ever.

    Raises:
        MachineError: it cannot be asked, or stays with the transient one.
        SshError: the connection is lost.
    """
    before, timeout_s = guest.console.count, SWITCH_TIMEOUT_S * guest.pace
    done = guest.exec(["/bin/cat", CLOCKSOURCE], timeout_s)
    problem = f"the guest does not tell its clocksource: {done.stderr.strip()}"
    if done.exit_code == 0:
        if done.stdout.strip() != TRANSIENT_CLOCKSOURCE:
            return
        if guest.console.wait_for(SWITCHED, timeout_s, since=before) is not None:
            return
        problem = (
            f"the guest stays with the clocksource {TRANSIENT_CLOCKSOURCE}, and would stop"
            " all CPUs to leave it while some are held"
        )
    raise MachineError(problem, evidence=guest.console.log)
