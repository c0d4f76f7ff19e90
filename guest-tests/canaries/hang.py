# SPDX-License-Identifier: GPL-2.0-only
"""Every CPU spins with interrupts off: nothing in the guest runs any more."""

import os

from common import crash_on, say_ok

say_ok()
cpus = sorted(os.sched_getaffinity(0))
os.sched_setaffinity(0, {cpus[0]})
for cpu in reversed(cpus):
    crash_on(cpu, "HARDLOCKUP")
os.wait()
