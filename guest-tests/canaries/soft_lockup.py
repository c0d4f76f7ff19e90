# SPDX-License-Identifier: GPL-2.0-only
"""One CPU spins in the kernel, not preemptible; the watchdog is told to be quick."""

import os

from common import crash_on, last_cpu, say_ok, tune

tune("/proc/sys/kernel/watchdog_thresh", 1)
say_ok()
os.waitpid(crash_on(last_cpu(), "SOFTLOCKUP"), 0)
