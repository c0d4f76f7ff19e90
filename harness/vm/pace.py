# SPDX-License-Identifier: GPL-2.0-only
"""How fast a guest is: a fixed work load against a recorded reference.

Time limits are those of the reference; a kernel full of checkers, or a slow
machine, gets as much more time as it needs for the same work.
"""

from __future__ import annotations

from harness.core.errors import SeriesError
from harness.core.events import Events, PaceMeasured
from harness.vm.guest import INIT, Guest
from harness.vm.ssh import SshError

# Seconds for pace.c: 6.1, CONFIG=default, microvm under TCG, one idle CPU each of two.
REFERENCE = 0.10
PATIENCE = 180.0  # seconds; 1800 times the reference


def factor_of(seconds: float) -> float:
    """What time limits are multiplied by; never below 1."""
    return max(1.0, seconds / REFERENCE)


def measure(guest: Guest, events: Events) -> float:
    """Runs the work load in ``guest``, sets its pace and gives the factor.

    Raises:
        SeriesError: the work load, which maps memory and touches it, fails.
    """
    try:
        done = guest.exec([INIT, "pace"], PATIENCE)
    except (SshError, TimeoutError) as error:
        raise _failure(str(error), guest) from error
    if done.exit_code != 0 or not done.stdout.strip().isdecimal():
        raise _failure(done.stderr.strip() or f"exit status {done.exit_code}", guest)
    seconds = int(done.stdout) / 1000
    guest.pace = factor_of(seconds)
    events.emit(PaceMeasured(seconds, REFERENCE, guest.pace))
    return guest.pace


def _failure(how: str, guest: Guest) -> SeriesError:
    return SeriesError(
        f"the guest came up and cannot do the first work (fork, mmap, mprotect, madvise): {how}",
        evidence=guest.console.log,
        next_step="PATCHES=0 shows whether the bare base can",
    )
