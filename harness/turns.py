# SPDX-License-Identifier: GPL-2.0-only
"""Short turns on the CPU for an emulated guest's threads.

Two guests have four virtual CPUs, and where the machine has two, the virtual CPU that
holds a lock, or that the others wait for to flush its TLB, may be one that does not run.
They spin until it has its turn, and turns are 3 ms. Since Linux 6.12 a thread may ask for
shorter ones (sched_setattr(2), sched_runtime of SCHED_OTHER); older kernels do not look
at it. With the shortest the cases of a suite took 34 s on two CPUs that had taken 36 to
41 s (two runs of each, in turn).
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct

TURN = 100_000  # nanoseconds, the least that Linux grants
# Neither Python nor an older glibc has a function for it.
_NUMBERS = {"x86_64": 314, "aarch64": 274}
# size, policy, flags, nice, priority, runtime, deadline, period
_ATTRIBUTES = "=IIQiIQQQ"


def take_short_turns(pid: int) -> bool:
    """For a process's first thread and those that it starts from now on; whether it worked.

    Where it does not, things are slower, and nothing else.
    """
    number = _NUMBERS.get(platform.machine())
    if number is None:
        return False
    try:
        nice = os.getpriority(os.PRIO_PROCESS, pid)
    except ProcessLookupError:
        return False
    size = struct.calcsize(_ATTRIBUTES)
    wanted = struct.pack(_ATTRIBUTES, size, os.SCHED_OTHER, 0, nice, 0, TURN, 0, 0)
    return bool(ctypes.CDLL(None).syscall(number, pid, wanted, 0) == 0)
