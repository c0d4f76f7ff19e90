# SPDX-License-Identifier: GPL-2.0-only
"""What QEMU's log of translated code says: which addresses have run, and in which case first."""

from __future__ import annotations

from pathlib import Path

from harness.core.events import CaseId
from harness.coverage.translated import TranslatedCode

# As QEMU 7.2 writes it.
BLOCK = """\
----------------
IN:
0xffffffff81000010:  55                       pushq    %rbp
0xffffffff81000011:  48 89 e5                 movq     %rsp, %rbp
0xffffffff81000014:  e8 00 00 00 00           callq    0xffffffff81000019

"""
ONE, TWO = CaseId.parse("a.c::one"), CaseId.parse("a.c::two")


def test_only_wanted_addresses_count_and_the_first_case_stays(tmp_path: Path) -> None:
    code, log = TranslatedCode(frozenset({0xFFFFFFFF81000011, 0xFFFFFFFF81000019})), tmp_path / "l"
    code.read(log, None)  # a guest that has run nothing yet
    log.write_text(BLOCK)
    code.read(log, ONE)
    log.write_text(BLOCK * 2)
    code.read(log, TWO)
    other = tmp_path / "other"
    other.write_text(BLOCK)
    code.read(other, TWO)
    assert code.first == {0xFFFFFFFF81000011: (0, ONE)}


def test_a_line_that_is_half_written_is_read_when_it_is_whole(tmp_path: Path) -> None:
    code, log = TranslatedCode(frozenset({0x81000011})), tmp_path / "l"
    text = "0x0000000081000011:  48 89 e5                 movq\n"
    log.write_text(text[:12])
    code.read(log, ONE)
    assert not code.first
    log.write_text(text)
    code.read(log, TWO)
    assert code.first == {0x81000011: (0, TWO)}


def test_of_several_addresses_the_one_that_ran_first_counts(tmp_path: Path) -> None:
    code, log = TranslatedCode(frozenset({1, 2, 3})), tmp_path / "l"
    log.write_text("0x2: nop\n")
    code.read(log, None)
    log.write_text("0x2: nop\n0x1: nop\n")
    code.read(log, ONE)
    assert code.first_of([1, 2, 3]) == (0, None)
    assert code.first_of([1, 3]) == (1, ONE)
    assert code.first_of([3]) is None
