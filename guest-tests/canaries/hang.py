# SPDX-License-Identifier: GPL-2.0-only
"""Every CPU spins with interrupts off: nothing in the guest runs any more."""

import os

from common import crash_on, say_ok

say_ok()
# All at about the same time: what still runs soon waits for a CPU that does not.
for cpu in os.sched_getaffinity(0):
    crash_on(cpu, "HARDLOCKUP", after=0.3)
os.wait()
