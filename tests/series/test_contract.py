# SPDX-License-Identifier: GPL-2.0-only
"""The contract is read whole, and every clause knows from which patch on it holds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.core.errors import InternalError, InvocationError
from harness.core.settings import PROJECT
from harness.series.contract import load, parse_clauses

OURS = PROJECT / "patches" / "volatile"


def test_every_row_of_our_contract_is_read() -> None:
    text = (OURS / "contract.md").read_text()
    rows = re.findall(r"^\| (V-\S+) \|", text, re.MULTILINE)
    assert len(rows) == 45
    assert list(load(OURS).clauses) == rows


@pytest.mark.parametrize(
    ("clause", "patch"),
    [("V-IF-1", 2), ("V-MK-7", 2), ("V-PG-1", 2), ("V-PG-2", 4), ("V-PG-15", 4), ("V-SB-1", 4)],
)
def test_clauses_hold_from_the_patch_that_brings_them(clause: str, patch: int) -> None:
    data = load(OURS)
    assert data.clauses[clause].holds_from == patch
    assert data.applicable(clause, patch)
    assert not data.applicable(clause, patch - 1)


def test_an_exact_name_beats_a_longer_looking_pattern() -> None:
    clauses = parse_clauses("## S\n| A-B-1 | x |\n| A-B-12 | y |\n", {"A-B-*": 3, "A-B-1": 1})
    assert (clauses["A-B-1"].holds_from, clauses["A-B-12"].holds_from) == (1, 3)


def test_sections_are_the_headings_above() -> None:
    clauses = parse_clauses("## One\n| A-B-1 | x |\n## Two\n| A-C-1 | y |\n", {"*": 1})
    assert [c.section for c in clauses.values()] == ["One", "Two"]


def test_a_clause_that_stands_twice_is_refused() -> None:
    with pytest.raises(InternalError, match="A-B-1 twice"):
        parse_clauses("| A-B-1 | x |\n| A-B-1 | y |\n", {"*": 1})


def test_a_clause_without_a_pattern_is_refused() -> None:
    with pytest.raises(InternalError, match="no pattern for A-B-1"):
        parse_clauses("| A-B-1 | x |\n", {"C-*": 1})


def test_a_folder_without_series_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(InvocationError, match=re.escape("holds no series.yaml")):
        load(tmp_path)


def test_the_subjects_are_those_of_the_contract() -> None:
    text = (OURS / "contract.md").read_text()
    for number, subject in enumerate(load(OURS).subjects, 1):
        assert f"| {number} {subject} |" in text
