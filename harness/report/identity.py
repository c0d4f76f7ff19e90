# SPDX-License-Identifier: GPL-2.0-only
"""The id of a failure: the same in each run in which the same thing goes wrong.

It is made of what a reader would call the failure by: whose it is (a case, a race, the kernel),
what it breaks, its title, and the place in the code that the title names. What differs from
run to run, such as times, addresses and counts, is not in it, nor is a line's number: a
line that is added above must not make another failure of it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

DIGITS = 8  # of an id: of ten thousand failures, two have one id with 1 %
# Hexadecimal, decimal with a fraction, and all that is counted; words such as page0 stay.
_NUMBER = re.compile(r"\b0x[0-9a-f]+\b|(?<![\w.])-?\d+(?:\.\d+)?\b|(?<=:)\d+", re.IGNORECASE)


def stable(text: str) -> str:
    """A title or reason without its numbers, its first line."""
    return _NUMBER.sub("N", text.partition("\n")[0]).strip()


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:DIGITS]


def case_finding(case: str, reason: str, clauses: Iterable[str]) -> str:
    """The id of a broken case: its own id, its clauses, and the check that failed.

    ``reason``: begins with the place of that check, or names the kernel's complaint.
    """
    return _digest(("case", case, *sorted(clauses), stable(reason)))


def splat_finding(title: str) -> str:
    """The id of what the kernel said, in whichever case: its title names the function."""
    return _digest(("kernel", stable(title)))
