# SPDX-License-Identifier: GPL-2.0-only
"""Two processes on two CPUs, one variable of the kernel, no lock: debugfs reads and writes a u32.

KCSAN looks at one access in some thousands. For this it is told to look more often.
"""

import os
import signal
from pathlib import Path

from common import last_cpu, say_ok, tune

RACED = Path("/sys/kernel/debug/hwpoison/corrupt-filter-dev-major")
SECONDS = 6

say_ok()
tune("/sys/module/kcsan/parameters/skip_watch", 100)
tune("/sys/module/kcsan/parameters/udelay_task", 2000)
writer = os.fork()
os.sched_setaffinity(0, {last_cpu() if writer else 0})
signal.alarm(SECONDS)
signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
handle = os.open(RACED, os.O_RDWR)
value = 0
while True:
    if writer:
        os.pread(handle, 16, 0)
    else:
        value += 1
        os.pwrite(handle, b"%d\n" % (value & 0xFFFF), 0)
