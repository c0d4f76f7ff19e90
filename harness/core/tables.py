# SPDX-License-Identifier: GPL-2.0-only
"""Tables for a terminal. What does not fit into a column goes on below: nothing is cut off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rich.table import Table


def plain_table(*columns: str, right: Sequence[str] = (), whole: Sequence[str] = ()) -> Table:
    """A table without lines. ``right``: columns of numbers; ``whole``: those never folded."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        justify: Literal["left", "right"] = "right" if name in right else "left"
        shown.add_column(name, justify=justify, no_wrap=name in whole, overflow="fold")
    return shown
