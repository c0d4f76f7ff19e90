# SPDX-License-Identifier: GPL-2.0-only
"""One CPU spins in the kernel while another waits for all CPUs to pass a quiet state."""

import ctypes

from common import crash_on, last_cpu, say_ok, tune

SYS_MEMBARRIER = 324  # x86-64
MEMBARRIER_CMD_GLOBAL = 1  # waits for an RCU grace period

tune("/proc/sys/kernel/soft_watchdog", 0)
tune("/sys/module/rcupdate/parameters/rcu_cpu_stall_timeout", 3)
say_ok()
crash_on(last_cpu(), "SOFTLOCKUP")
while True:
    ctypes.CDLL(None).syscall(SYS_MEMBARRIER, MEMBARRIER_CMD_GLOBAL, 0, 0)
