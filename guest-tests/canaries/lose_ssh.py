# SPDX-License-Identifier: GPL-2.0-only
"""Kills the SSH server's process that carries this very case."""

import os
import signal
from pathlib import Path

from common import say_ok


def parent(pid: int) -> tuple[int, str]:
    """The parent of a process, and the process's own name."""
    name, _, rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    return int(rest.split()[1]), name.partition("(")[2]


say_ok()
pid = os.getpid()
while pid > 1:
    above, name = parent(pid)
    if name.startswith(("dropbear", "sshd")):
        os.kill(pid, signal.SIGKILL)
        break
    pid = above
signal.pause()
