# SPDX-License-Identifier: GPL-2.0-only
"""What must be set so that a symbol can be."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.build.explain import read_kconfig
from harness.change.switches import Kconfig, Refusal

TEXT = """
config HAVE
\tbool "have"

config PLAIN
\tbool "plain"
\tdepends on HAVE

config DEEP
\ttristate "deep"
\tdepends on PLAIN && (ABSENT || NEXT)
\thelp
\t  depends on words in a help text, that count for nothing.

config NEXT
\tbool
\tprompt "next"

config HIDDEN
\tbool

config SELECTS
\tbool "selects"
\tselect HIDDEN if NEXT

config DERIVED
\tdef_bool y
\tdepends on PLAIN

config NEVER
\tbool "never"
\tdepends on !HAVE

config EQUAL
\tbool "equal"
\tdepends on PLAIN=y && HAVE!=n && CHOSEN = "x"

config LOST
\tbool "lost"
\tdepends on NOWHERE

config EXPERTS
\tbool "experts" if NEXT

if NEXT
config INSIDE
\tbool "inside"
endif

menu "m"
\tdepends on PLAIN
config BELOW
\tbool "below"
endmenu

choice
\tprompt "one of"
config FIRST
\tbool "first"
config SECOND
\tbool "second"
endchoice

config ROUND
\tbool "round"
\tdepends on ABOUT
config ABOUT
\tbool "about"
\tdepends on ROUND
"""


@pytest.fixture
def kconfig(tmp_path: Path) -> Kconfig:
    (tmp_path / "Kconfig").write_text(TEXT)
    config = {"HAVE": "y", "FIRST": "y", "CHOSEN": '"x"'}
    return Kconfig(read_kconfig(tmp_path, "x86"), config, frozenset({"LEFT"}))


@pytest.mark.parametrize(
    ("symbol", "names"),
    [
        ("HAVE", ""),
        ("PLAIN", "PLAIN"),
        ("DEEP", "DEEP PLAIN NEXT"),
        ("HIDDEN", "SELECTS NEXT"),
        ("DERIVED", "PLAIN"),
        ("EQUAL", "EQUAL PLAIN"),
        ("EXPERTS", "EXPERTS NEXT"),
        ("INSIDE", "INSIDE NEXT"),
        ("BELOW", "BELOW PLAIN"),
        ("FIRST", ""),
    ],
)
def test_what_is_switched_on(kconfig: Kconfig, symbol: str, names: str) -> None:
    assert kconfig.propose(symbol) == frozenset(names.split())


@pytest.mark.parametrize(
    ("symbol", "why"),
    [
        ("SECOND", "which is one of a choice"),
        ("NEVER", "CONFIG_NEVER, which needs !HAVE"),
        ("LOST", "CONFIG_LOST, which needs CONFIG_NOWHERE, which this tree does not have"),
        ("LEFT", "which the flavour leaves out"),
        ("ROUND", "too much else"),
    ],
)
def test_what_cannot_be_says_why(kconfig: Kconfig, symbol: str, why: str) -> None:
    answer = kconfig.propose(symbol)
    assert isinstance(answer, Refusal) and why in answer.why
    both = kconfig.propose_all(["PLAIN", symbol])
    assert both == answer
    assert kconfig.propose_all(["PLAIN", "NEXT"]) == frozenset({"PLAIN", "NEXT"})
