# SPDX-License-Identifier: GPL-2.0-only
"""The parts of a console line: printk's prefixes, and names of functions."""

from __future__ import annotations

import pytest

from harness.vm.splats import bare, plain_name


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("do_thing", "do_thing"),
        ("do_thing.cold", "do_thing"),
        ("do_thing.isra.0", "do_thing"),
        ("do_thing.constprop.12", "do_thing"),
        ("do_thing.part.0.cold", "do_thing"),
    ],
)
def test_copies_of_a_function_are_the_function(name: str, plain: str) -> None:
    assert plain_name(name) == plain


@pytest.mark.parametrize(
    ("line", "text", "caller"),
    [
        ("[    1.234567] x", "x", ""),
        ("[    1.234567][   T12] x", "x", "T12"),
        ("[   C1] x", "x", "C1"),
        ("x", "x", ""),
        (" x", " x", ""),
        ("<4>[ 1.0]  x", " x", ""),
        ("[12345.234567]  do+0x1/0x2", " do+0x1/0x2", ""),
    ],
)
def test_prefixes(line: str, text: str, caller: str) -> None:
    assert bare(line) == (text, caller)
