# SPDX-License-Identifier: GPL-2.0-only
"""How slow a guest is, and so by how much its time limits are longer than the reference's.

A kernel full of checkers, or a slow machine, gets as much more time as it needs for the same
work: the fixed work load of agent/benchmark.c.
"""

from __future__ import annotations

from harness.core import events as ev
from harness.core.errors import SeriesError
from harness.vm.channel import SshError
from harness.vm.guest import INIT, Guest

# Seconds for benchmark.c: 6.1, CONFIG=default, microvm under TCG, one idle CPU each of two.
PACE_REFERENCE_S = 0.10
PACE_TIMEOUT_S = 180.0  # 1800 times the reference


def measure_pace(guest: Guest, events: ev.Events) -> float:
    """Runs the work load in ``guest``, sets its pace and gives the factor; never below 1.

    Raises:
        SeriesError: the work load, which maps memory and touches it, fails.
    """
    try:
        done = guest.exec([INIT, "benchmark"], PACE_TIMEOUT_S)
        how = done.stderr.strip() or f"exit status {done.exit_code}"
        worked = done.exit_code == 0 and done.stdout.strip().isdecimal()
    except (SshError, TimeoutError) as error:
        worked, how = False, str(error)
    if not worked:
        raise SeriesError(
            "the guest came up and cannot do the first work"
            f" (fork, mmap, mprotect, madvise): {how}",
            evidence=guest.console.log,
            next_step="PATCHES=0 shows whether the bare base can",
        )
    seconds = int(done.stdout) / 1000
    guest.pace = max(1.0, seconds / PACE_REFERENCE_S)
    events.emit(ev.PaceMeasured(seconds, PACE_REFERENCE_S, guest.pace))
    return guest.pace
