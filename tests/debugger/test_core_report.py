# SPDX-License-Identifier: GPL-2.0-only
"""What is said of a core, as far as it needs no core: page tables, flags, VMCOREINFO."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("drgn", reason="drgn is an optional package")
from harness.debugger import core_report

PRESENT, HUGE = 0x1, 0x81
TOP = 0x1000


class Memory:
    """Tables at physical addresses: of the first 2 MiB pages, and a huge page behind them."""

    def __init__(self) -> None:
        self.words = {
            TOP: 0x2000 | PRESENT,
            0x2000: 0x3000 | PRESENT,
            0x3000: 0x4000 | PRESENT,
            0x3008: 0x400000 | HUGE,
            0x4000 + 8 * 1: 0x8000 | PRESENT,
            0x4000 + 8 * 2: 26 << 59,
        }

    def read(self, address: int, size: int, physical: bool) -> bytes:
        assert physical
        return self.words.get(address, 0).to_bytes(size, "little")


@pytest.mark.parametrize(
    ("start", "end", "told"),
    [
        (0x0, 0x4000, "2 none, 1 present, 1 swap type 26"),
        (0x1000, 0x2000, "1 present"),
        (0x200000, 0x202000, "2 present, huge"),
        (0x400000, 0x600000, "512 none"),
        (1 << 39, (1 << 39) + 0x1000, "1 none"),
    ],
)
def test_pages_are_counted_by_how_they_stand(start: int, end: int, told: str) -> None:
    memory: Any = Memory()
    assert core_report.mapped(memory, TOP, start, end) == told


def test_flags_are_words_and_what_has_none_a_number() -> None:
    assert core_report.flags_of(0x1 | 0x2 | 0x70 | 0x100000) == "read write account"
    assert core_report.flags_of(0x1 | 1 << 40) == "read 0x10000000000"


def test_the_kernel_is_where_it_was_linked() -> None:
    symbols = "ffffffff81a09000 D init_top_pgt\nffffffff81aacf00 D init_uts_ns\n"
    told = core_report.vmcoreinfo(f"{symbols}ffffffff81000000 T _stext\n", "6.1.192")
    assert "OSRELEASE=6.1.192\n" in told
    assert "SYMBOL(swapper_pg_dir)=ffffffff81a09000\n" in told
