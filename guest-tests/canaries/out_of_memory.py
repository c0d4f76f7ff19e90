# SPDX-License-Identifier: GPL-2.0-only
"""Says ok, and a child of it is killed for want of memory in a small memory cgroup."""

import os
from pathlib import Path

from common import say_ok

LIMIT = 16 << 20

group = Path("/sys/fs/cgroup/canary")
group.mkdir(exist_ok=True)
(group / "memory.max").write_text(str(LIMIT))
(group / "memory.swap.max").write_text("0")
say_ok()
child = os.fork()
if child == 0:
    (group / "cgroup.procs").write_text(str(os.getpid()))
    bytearray(4 * LIMIT)
    os._exit(0)
os.waitpid(child, 0)
