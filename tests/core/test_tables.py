# SPDX-License-Identifier: GPL-2.0-only
"""A table loses nothing on a narrow terminal."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from harness.core.tables import plain_table

SUBJECT = "MADV_VOLATILE/NONVOLATILE: handle marking of VMAs"
RUN = "20261201-094326-12219"


def shown(width: int) -> str:
    table = plain_table("after", "subject", "exit", "results", right=("exit",), whole=("results",))
    table.add_row("1", SUBJECT, "0", RUN)
    text = io.StringIO()
    Console(file=text, width=width).print(table)
    return text.getvalue()


@pytest.mark.parametrize("width", [200, 80, 50])
def test_nothing_is_cut_off(width: int) -> None:
    text = shown(width)
    assert "\N{HORIZONTAL ELLIPSIS}" not in text and RUN in text
    rest = re.sub(r"\s", "", text.replace(f"0  {RUN}", ""))
    assert rest.endswith("1" + SUBJECT.replace(" ", ""))


def test_numbers_are_on_the_right() -> None:
    heading, row = shown(200).splitlines()
    assert heading.index("exit") + 3 == row.index(" 0 ") + 1
