# SPDX-License-Identifier: GPL-2.0-only
"""The words between the harness and what runs in a guest.

Those of the agent stand in ``harness/agent/protocol.h`` as well, those of guest tests in
``guest-tests/``; ``tests/vm/test_protocol.py`` compares them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

# Lines of the agent in the kernel's log begin with HEAD and one of these.
HEAD = "harness: "
READY = "ready"  # the SSH server listens
HERE = "here"  # process 1's answer to a key on the console
BEGIN = "begin"  # of a case: its number and its id
END = "end"  # of a case: its number, how it ended, the kernel's taint
STUCK = "stuck"  # a process of a case cannot be killed
RAN = "ran"  # a command that came on the console: its word and its status
SSHD = "sshd: "  # what the SSH server has said
SSHD_ENDED = "error: sshd ended"

KEY_OPTION = "harness.sshkey="  # on the kernel's command line: the key that may log in

# In the environment of a case.
PACE_VARIABLE = "HARNESS_PACE"  # how much slower than the reference the guest is
DIALOGUE_VARIABLE = "HARNESS_DIALOGUE"  # set for a case that may read its standard input
SWAP_DISK_VARIABLE = "VTEST_SWAPDISK"  # the block device to swap on
SEED_VARIABLE = "VTEST_SEED"  # of what is random, where it was given

# A line on a program's standard input is a question; the line of its output that begins
# with this is the answer.
REPLY = b"@reply "

Ask = Callable[[str], str]


class EndedError(Exception):
    """The program has ended, or closed its output, and will answer nothing more."""


@dataclass(frozen=True)
class Completed:
    """A command's end."""

    exit_code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class CaseEnd:
    """The end of a case in a guest.

    Args:
        exit_code: None where it has none, because the guest was lost.
        timed_out: it was ended because its time was up.
        lost: '' or, in one line, how the guest was lost.
    """

    exit_code: int | None
    stdout: str = ""
    stderr: str = ""
    seconds: float = 0.0
    timed_out: bool = False
    lost: str = ""
