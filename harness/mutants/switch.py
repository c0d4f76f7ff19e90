# SPDX-License-Identifier: GPL-2.0-only
"""The switch of a guest's kernel: which mutant it runs, and which of them a case has reached."""

from __future__ import annotations

from harness.core.errors import InternalError
from harness.vm.guest import Guest

PARAMETER = "/sys/module/kernel/parameters/harness_mutant"
SOUND = 0  # the number with which the kernel has no mistake
TIMEOUT_S = 20.0  # of a guest of the reference's pace; it takes 0.1 s


def choose(guest: Guest, number: int) -> None:
    """Makes the kernel of ``guest`` the mutant ``number``, and forgets what was reached.

    Raises:
        SshError, TimeoutError: the guest does not answer.
        InternalError: this kernel has no such mutant.
    """
    done = guest.exec(f"echo {number} >{PARAMETER}", TIMEOUT_S * guest.pace)
    if done.exit_code:
        raise InternalError(f"{PARAMETER} does not take {number}: {done.stderr.strip()}")


def reached(guest: Guest) -> frozenset[int]:
    """The mutants whose place the kernel has passed since ``choose``.

    Raises:
        SshError, TimeoutError: the guest does not answer.
        InternalError: this kernel has no mutants.
    """
    done = guest.exec(["/bin/cat", PARAMETER], TIMEOUT_S * guest.pace)
    if done.exit_code:
        raise InternalError(f"{PARAMETER} cannot be read: {done.stderr.strip()}")
    bits = int(done.stdout.strip().replace(",", "") or "0", 16)
    return frozenset(number for number in range(bits.bit_length()) if bits >> number & 1)
