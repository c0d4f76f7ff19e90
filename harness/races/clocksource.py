# SPDX-License-Identifier: GPL-2.0-only
"""A guest whose CPUs are to be held first comes to rest: its clock is the one it will keep.

A kernel that could calibrate the TSC begins with the clocksource ``tsc-early`` and goes over to
``tsc`` about a second after boot (``tsc_refine_calibration_work()``, arch/x86/kernel/tsc.c, 6.1
and 6.12). It stops all CPUs for that, once: ``timekeeping_notify()`` calls ``stop_machine()``.
With one of them held, the others would wait in ``multi_cpu_stop()`` for ever.
"""

from __future__ import annotations

from harness.core.errors import MachineError
from harness.vm.guest import Guest

CURRENT = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
TRANSIENT = "tsc-early"
SWITCH_TIMEOUT_S = 60.0  # of a guest of the reference's pace; it takes 1.5 s after boot
SWITCHED = rf"clocksource: Switched to clocksource (?!{TRANSIENT})"


def wait_for_final_clocksource(guest: Guest) -> None:
    """Waits until a guest has the clocksource that it will keep.

    Raises:
        MachineError: it cannot be asked, or stays with the transient one.
        SshError: the connection is lost.
    """
    before = len(guest.console.lines)
    done = guest.exec(["/bin/cat", CURRENT], SWITCH_TIMEOUT_S * guest.pace)
    if done.exit_code != 0:
        raise MachineError(
            f"the guest does not tell its clocksource: {done.stderr.strip()}",
            evidence=guest.console.log,
        )
    if done.stdout.strip() != TRANSIENT:
        return
    if guest.console.wait_for(SWITCHED, SWITCH_TIMEOUT_S * guest.pace, since=before) is None:
        raise MachineError(
            f"the guest stays with the clocksource {TRANSIENT}, and would stop all CPUs to leave it"
            " while some are held",
            evidence=guest.console.log,
        )
