# SPDX-License-Identifier: GPL-2.0-only
"""A series by the message-id of its posting: ``b4 am`` fetches it.

b4 is the tool that kernel maintainers use for this; it finds the newest patches of the
thread, collects the trailers of reviews, and checks signatures. It lives in an
environment of its own, made when it is first needed, unless the user has one in PATH:
nothing else of the harness needs it or what it brings along.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from harness.core import proc
from harness.core.errors import MachineError
from harness.core.usage import HOME, PROJECT
from harness.setup import bootstrap

LOCK = PROJECT / "requirements-b4.lock"
VENV = HOME / ".venv-b4"
FETCH_TIMEOUT_S = 300.0  # a long thread from a slow archive
_ID = re.compile(r"(?:<|https?://\S+/)?([^\s/<>@]+@[^\s/<>@]+)[>/]?")


def message_id(spec: str) -> str | None:
    """The message-id that SERIES= is, or has as the address of a mail in an archive, or None."""
    match = _ID.fullmatch(spec)
    return match and match[1]


def program() -> str:
    """The path of b4: the user's, or our own, which is installed now if it is not there.

    Raises:
        MachineError: it cannot be installed.
    """
    if own := shutil.which("b4"):
        return own
    if not bootstrap.ready(VENV, [LOCK]):
        try:
            bootstrap.make_venv(VENV, LOCK, HOME / "out" / "setup.log")
        except bootstrap.UnableError as error:
            raise MachineError(
                f"b4, which fetches a series by its message-id, cannot be installed\n{error}",
                next_step="install b4, or save the thread as an mbox and give SERIES= that",
            ) from error
    return str(VENV / "bin" / "b4")


def fetch(asked: str, folder: Path) -> Path:
    """The thread of a message-id as an mbox that is ready to apply, in ``folder``.

    b4 leaves the cover letter beside it, under the suffix ``.cover``.

    Raises:
        MachineError: b4 cannot get it, with b4's own words.
    """
    argv = (program(), "am", "--outdir", str(folder), asked)
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
