# SPDX-License-Identifier: GPL-2.0-only
"""Loses memory: LKDTM allocates it and dies before it can free it, in several processes.

Several, because the stack of one that has died may be kept for the next, and a
pointer in it still counts as a reference.
"""

import os

from common import crash, say_ok

TIMES = 8

say_ok()
for _ in range(TIMES):
    if os.fork() == 0:
        crash("EXEC_KMALLOC")
        os._exit(1)
    os.wait()
