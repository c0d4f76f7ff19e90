# SPDX-License-Identifier: GPL-2.0-only
"""What the Kconfig files say of a symbol: its blocks, what is around them, and the values."""

from __future__ import annotations

from pathlib import Path

from harness.build.explain import explain, read_kconfig
from tests.support.toy import TOY


def test_what_is_around_and_inside_with_its_place_and_the_values() -> None:
    told = explain("TOY_DRIVER", read_kconfig(TOY, "x86"), {"TOY": "y", "TOY_OTHER": "y"})
    assert "drivers/Kconfig:3: depends on TOY" in told
    assert "drivers/Kconfig:5: if EXPERT" in told
    assert "drivers/Kconfig:9: depends on SWAP && !TOY_OTHER" in told
    values = "TOY is y, EXPERT is not set, SWAP is not set, TOY_OTHER is y"
    assert told[-1] == f"in the result: {values}"


def test_a_help_text_is_no_code_and_a_comment_no_end() -> None:
    blocks = {block.symbol: block for block in read_kconfig(TOY, "x86")}
    assert {"TOY", "SWAP", "TOY_DRIVER", "DEBUG_INFO_REDUCED"} <= blocks.keys()
    assert "NOTHING" not in str(blocks["TOY"])


def test_a_symbol_that_is_nowhere() -> None:
    told = explain("NO_SUCH", read_kconfig(TOY, "x86"), {})
    assert told == ["this tree has no such symbol in any Kconfig file"]


def test_a_choice_and_the_condition_of_a_prompt_are_shown() -> None:
    blocks = list(read_kconfig(TOY, "x86"))
    assert any("choice" in line for line in explain("DEBUG_INFO_NONE", blocks, {}))
    assert any("if EXPERT" in line for line in explain("SWAP", blocks, {"SWAP": "y"}))


def test_what_selects_a_symbol_and_is_on_itself() -> None:
    blocks = list(read_kconfig(TOY, "x86"))
    line = "mm/Kconfig:11: select MEMORY_HELPER, and MEMORY is y"
    assert line in explain("MEMORY_HELPER", blocks, {"MEMORY": "y", "MEMORY_HELPER": "y"})
    assert line not in explain("MEMORY_HELPER", blocks, {})


def test_files_by_variables_without_a_file_and_lines_that_go_on(tmp_path: Path) -> None:
    (tmp_path / "arch/x86").mkdir(parents=True)
    (tmp_path / "Kconfig").write_text(
        'if OUTER && \\\n   OTHER\nsource "arch/$(SRCARCH)/Kconfig"\nendif\n'
        'source "missing/Kconfig"\n'
        "config LATE # said why\n\tdepends on A || \\\n\t\tB\n\tbool\n\thelp\n\t  if it is\n"
    )
    (tmp_path / "arch/x86/Kconfig").write_text('config INNER\n\tbool\n\tprompt "x"\n')
    inner, late = read_kconfig(tmp_path, "x86")
    assert inner.around == ("Kconfig:1: if OUTER && OTHER",)
    assert 'arch/x86/Kconfig:3: prompt "x"' in inner.lines
    assert late.lines[:3] == (
        "Kconfig:6: config LATE # said why", "Kconfig:7: depends on A || B", "Kconfig:9: bool"
    )  # fmt: skip
    assert not late.around
