# SPDX-License-Identifier: GPL-2.0-only
"""How a number of things is said."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """``1 case``, ``2 cases``, ``0 patches``; the noun is given in the singular."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun}{'es' if noun.endswith(('ch', 's', 'sh', 'x')) else 's'}"
