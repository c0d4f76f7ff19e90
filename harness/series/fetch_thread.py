# SPDX-License-Identifier: GPL-2.0-only
"""``SERIES=`` a message-id: the thread that it is in, fetched by b4 from the public archive."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

from harness.core import proc
from harness.core.errors import MachineError

FETCH_TIMEOUT_S = 300.0  # a long thread from a slow archive
# A message-id, or the address of its mail or thread: https://lore.kernel.org/all/ID/T/#u
_ID = re.compile(r"https?://\S+?/([^\s/<>@]+@[^\s/<>@]+)(?:/\S*)?|<?([^\s/<>@]+@[^\s/<>@]+)[>/]?")


def message_id(spec: str) -> str | None:
    """The message-id that SERIES= is, or has as the address of a mail in an archive, or None."""
    match = _ID.fullmatch(spec)
    return match and (match[1] or match[2])


def fetch(asked: str, folder: Path) -> Path:
    """The thread of a message-id as an mbox in ``folder``, as it was posted.

    Not by ``b4 am``, which writes the mails anew: see ``mail.py`` for what is lost.

    Raises:
        MachineError: b4 cannot get it, with b4's own words.
    """
    program = shutil.which("b4") or str(Path(sys.executable).with_name("b4"))
    argv = (program, "mbox", "--outdir", str(folder), asked)
    env = {**os.environ, "LC_ALL": "C"}
    done = proc.run(argv, cwd=folder, env=env, timeout_s=FETCH_TIMEOUT_S)
    threads = sorted(folder.glob("*.mbx"))
    if done.returncode != 0 or len(threads) != 1:
        lines = [line for line in done.output.splitlines() if line.strip()]
        if done.returncode < 0:
            lines.append(f"ended by signal {-done.returncode} after {done.seconds:.0f} s")
        raise MachineError(
            f"b4 cannot fetch {asked}; it says:\n" + "\n".join(lines[-12:]),
            next_step="check the network and the message-id, or save the thread as an mbox",
        )
    return threads[0]
