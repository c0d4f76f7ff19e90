# SPDX-License-Identifier: GPL-2.0-only
"""A login at the getty on the serial line, for an image that was not made for the harness."""

from __future__ import annotations

from pathlib import Path

from pexpect.exceptions import EOF, TIMEOUT

from harness.core.errors import InvocationError
from harness.vm.machine import Login
from harness.vm.serial_dialogue import SerialDialogue

ADOPT = "exec /harness/init adopt"  # in place of the login shell, see init.c
ANSWER = 30.0  # seconds for the next prompt; PAM and a shell's start take 2 under TCG
_PASSWORD = "assword: "
# Prompts of root and of an ordinary user; and what a getty and PAM say.
_ANSWERS = ("# ", "$ ", _PASSWORD, "incorrect")


def _answer(line: SerialDialogue) -> str | None:
    """Which of ``_ANSWERS`` comes first, if one does."""
    came = line.expect_exact([*_ANSWERS, EOF, TIMEOUT], timeout=ANSWER)
    return _ANSWERS[came] if came < len(_ANSWERS) else None


def log_in(line: SerialDialogue, login: Login, timeout: float, log: Path) -> bool:
    """Logs in as root and puts our agent in place of the shell; False: no prompt came.

    Args:
        timeout: seconds until the getty asks who is there.
        log: the console's.

    Raises:
        InvocationError: what ROOTFS_LOGIN= says is refused, or is not root's.
    """
    if not line.comes("login: ", timeout):
        return False
    line.sendline(login.user)
    came = _answer(line)
    if came == _PASSWORD and login.password is not None:
        line.sendline(login.password)
        came = _answer(line)
    match came:
        case "# ":
            line.sendline(ADOPT)
            return True
        case "$ ":
            why = f"{login.user} is not root, and our agent has to be"
        case "assword: ":
            why = f"the image asks for a password of {login.user}"
        case "incorrect":
            why = f"the image refuses the login of {login.user}"
        case _:
            why = f"no shell prompt came within {ANSWER:.0f} s after the login of {login.user}"
    raise InvocationError(why, evidence=log, next_step="ROOTFS_LOGIN=root:PASSWORD")
