# SPDX-License-Identifier: GPL-2.0-only
"""cost.yaml: what is shipped makes sense, and what makes none is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.commands.cost.bars import load_bars
from harness.core.errors import InvocationError
from harness.core.settings import PROJECT
from harness.image.programs import GUEST_TESTS, sources

OURS = PROJECT / "patches" / "volatile"
GOOD = (OURS / "cost.yaml").read_text()


def test_what_is_shipped_names_programs_that_are_there() -> None:
    table = load_bars(OURS)
    there = {source.stem for source in sources(GUEST_TESTS / table.guest_tests)}
    assert {*table.compared, *table.alone} == there


def test_each_figure_has_one_bar_at_most_in_a_condition() -> None:
    table = load_bars(OURS)
    folder = GUEST_TESTS / table.guest_tests
    text = "".join((folder / f"{name}.c").read_text() for name in table.compared)
    figures = set(re.findall(r"^\tCOST\((\w+),", text, re.MULTILINE))
    assert len(figures) == 15
    for condition in table.conditions:
        for figure in figures:
            assert sum(bar.judges(condition.name, figure) for bar in table.bars) <= 1
    for bar in table.bars:
        assert any(bar.judges(bar.condition, figure) for figure in figures), bar


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("clause: V-KS-2", "claus: V-KS-2", "clause is missing"),
        ("memory_mb: 1536", "memory_mb: much", "memory_mb: int expected"),
        ("condition: unused, figures: mmap", "condition: idle, figures: mmap", "condition idle"),
        ("clause: V-KS-2", "clause: [", "cost.yaml"),
    ],
)
def test_what_makes_no_sense_is_refused(old: str, new: str, what: str, tmp_path: Path) -> None:
    assert old in GOOD
    (tmp_path / "cost.yaml").write_text(GOOD.replace(old, new))
    with pytest.raises(InvocationError, match=what):
        load_bars(tmp_path)


def test_a_series_without_bars_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(InvocationError, match=r"has no cost\.yaml"):
        load_bars(tmp_path)
