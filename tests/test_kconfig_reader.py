# SPDX-License-Identifier: GPL-2.0-only
"""Why a symbol is not set, told from the Kconfig files."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.kconfig_reader import holds, read, symbols, unmet, why_not_set, why_set
from tests.toy import TOY

CONFIG = {"A": "y", "B": "m", "TEXT": '"abc"', "NUMBER": "5"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A", True),
        ("C", False),
        ("!C", True),
        ("A && C", False),
        ("A || C", True),
        ("A && (C || B)", True),
        ("!(A && B)", False),
        ("A=y", True),
        ("B = y", False),
        ("C != y", True),
        ('TEXT = "abc"', True),
        ("NUMBER > 4", True),
        ("NUMBER <= 4", False),
        ("C || A && C", False),
        ("$(cc-option,-mfoo)", True),
        ("$(success,test $(x) = y) && A", True),
    ],
)
def test_expressions(text: str, value: bool) -> None:
    assert holds(text, CONFIG) is value


def test_only_the_parts_that_fail_are_told() -> None:
    assert unmet("A && !B && (C || D)", CONFIG) == (
        "!B (B is m) and ( C || D ) (C is not set, D is not set)"
    )


def test_conditions_around_and_inside_with_their_places() -> None:
    found = read(TOY, "x86")
    assert {"TOY", "SWAP", "TOY_DRIVER", "DEBUG_INFO_REDUCED"} <= found.keys()
    assert "NOTHING" not in str(found["TOY"])
    told = why_not_set("TOY_DRIVER", found, {"TOY": "y", "TOY_OTHER": "y"})
    assert told == [
        "needs EXPERT (EXPERT is not set), see drivers/Kconfig:5",
        "needs SWAP (SWAP is not set) and !TOY_OTHER (TOY_OTHER is y), see drivers/Kconfig:9",
    ]
    assert why_not_set("TOY_DRIVER", found, {"EXPERT": "y", "SWAP": "y"}) == [
        "needs TOY (TOY is not set), see drivers/Kconfig:3"
    ]


def test_the_names_alone_are_those_of_the_full_reader(tmp_path: Path) -> None:
    assert symbols(TOY, "x86") == read(TOY, "x86").keys()
    (tmp_path / "Kconfig").write_text("config ONE # said why\n\tbool\n\thelp\n\t  config it\n")
    assert "ONE" in symbols(tmp_path, "x86")


def test_other_reasons() -> None:
    found = read(TOY, "x86")
    assert why_not_set("NO_SUCH", found, {}) == ["this tree has no such symbol in any Kconfig file"]
    assert "has no prompt" in why_not_set("MEMORY_HELPER", found, {})[0]
    assert "another member of its choice" in why_not_set("DEBUG_INFO_NONE", found, {})[0]
    assert "cannot be chosen without EXPERT" in why_not_set("SWAP", found, {})[0]


def test_why_a_symbol_is_on() -> None:
    found = read(TOY, "x86")
    assert why_set("MEMORY_HELPER", TOY, found, {"MEMORY": "y", "MEMORY_HELPER": "y"}) == [
        "MEMORY selects it, see mm/Kconfig:11"
    ]
    assert "cannot be turned off without EXPERT" in why_set("SWAP", TOY, found, {"SWAP": "y"})[0]


def test_sources_with_variables_and_without_a_file(tmp_path: Path) -> None:
    (tmp_path / "arch/x86").mkdir(parents=True)
    (tmp_path / "Kconfig").write_text(
        'if OUTER\nsource "arch/$(SRCARCH)/Kconfig"\nendif\nsource "missing/Kconfig"\n'
    )
    (tmp_path / "arch/x86/Kconfig").write_text('config INNER\n\tbool\n\tprompt "x"\n')
    found = read(tmp_path, "x86")
    assert [c.text for c in found["INNER"][0].conditions] == ["OUTER"]
    assert found["INNER"][0].prompt
