# SPDX-License-Identifier: GPL-2.0-only
"""The words between the host and a program in a guest that it talks to.

A line on the program's standard input is a question, and the line of its output that
begins with ``@reply `` is the answer.
"""

from __future__ import annotations

from collections.abc import Callable

REPLY = b"@reply "
VARIABLE = "HARNESS_DIALOGUE"  # set for a case that may read its standard input

Ask = Callable[[str], str]


class EndedError(Exception):
    """The program has ended, or closed its output, and will answer nothing more."""
