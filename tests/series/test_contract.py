# SPDX-License-Identifier: GPL-2.0-only
"""The contract is read whole, and every clause knows from which patch on it holds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.core.errors import InvocationError
from harness.core.settings import PROJECT
from harness.series.contract import load, load_table, parse_clauses

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
    with pytest.raises(InvocationError, match="A-B-1 twice"):
        parse_clauses("| A-B-1 | x |\n| A-B-1 | y |\n", {"*": 1})


def test_a_clause_without_a_pattern_is_refused() -> None:
    with pytest.raises(InvocationError, match="no pattern for A-B-1"):
        parse_clauses("| A-B-1 | x |\n", {"C-*": 1})


def test_a_folder_without_series_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(InvocationError, match=re.escape("holds no series.yaml")):
        load(tmp_path)


SERIES = """\
name: toy
title: Toy
contract: contract.md
guest_tests: toy
patches: [one]
holds_from: {"T-*": 1}
"""


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("name: [toy", "series.yaml: while parsing a flow sequence"),
        (
            "name: toy\n",
            "the whole: contract, guest_tests, holds_from, patches, title is",
        ),
        ("", "series.yaml: the whole"),
        (SERIES + "contracts: x\n", "series.yaml: the whole: contracts is none of name, title"),
        (SERIES.replace("[one]", "one"), "series.yaml: patches"),
        (SERIES.replace("contract.md", "c.md"), "series.yaml: contract: there is no "),
        (SERIES.replace("T-*", "X-*"), "holds_from has no pattern for T-1"),
        (SERIES + "sound: T-2\n", "series.yaml: sound: the contract has no T-2"),
        (SERIES + "on_top_of: nothing\n", "series.yaml: on_top_of: nothing is no other series"),
        (SERIES + "sound: 2027-02-30\n", "series.yaml: day "),
        (SERIES + "sound: " + "9" * 5000, "series.yaml: Exceeds the limit"),
        (SERIES + "sound: " + "[" * 2000, "series.yaml: maximum recursion"),
        (SERIES.replace('"T-*": 1', "5: 1"), "series.yaml: holds_from: str expected, not 5"),
        (SERIES.replace('"T-*": 1', '"T-*": yes'), "holds_from.T-*: int expected, not True"),
    ],
)
def test_a_table_that_makes_no_sense_is_the_users_mistake(
    tmp_path: Path, table: str, said: str
) -> None:
    (tmp_path / "series.yaml").write_text(table)
    (tmp_path / "contract.md").write_text("## S\n| T-1 | x |\n")
    with pytest.raises(InvocationError, match=re.escape(said)):
        load(tmp_path)


def test_a_contract_that_is_no_text_is_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "series.yaml").write_text(SERIES)
    (tmp_path / "contract.md").write_bytes(b"## S\n| T-1 | gr\xf6\xdfer |\n")
    with pytest.raises(InvocationError, match=r"contract\.md: .*can't decode byte 0xf6"):
        load(tmp_path)


@pytest.mark.parametrize("below", [("a",), ("b", "a"), ("c", "b", "a")])
def test_series_that_stand_on_each_other_are_refused(tmp_path: Path, below: tuple[str]) -> None:
    for name, other in zip(("a", *below), below, strict=False):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "series.yaml").write_text(f"{SERIES}on_top_of: {other}\n")
        (tmp_path / name / "contract.md").write_text("## S\n| T-1 | x |\n")
    with pytest.raises(InvocationError, match="on_top_of: a is no other series"):
        load(tmp_path / "a")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("variants: {a: [T-1]}", "variants.yaml: variants.a"),
        ("variants: {a: {clauses: [T-1], line: ['6.1']}}", "variants.a: line is none of clauses"),
        ("variants: {a: {clauses: [T-2]}}", "variants.yaml: the contract has no T-2"),
        ("variants: {a: {clauses: []}}", "variants.yaml: a names no clause"),
        ("variants: {a: {clauses: [T-1], lines: ['6.1']}}", "there is no patch for a on Linux 6.1"),
        ("\tvariants:", "variants.yaml: while scanning"),
    ],
)
def test_a_table_of_variants_that_makes_no_sense_is_the_users_mistake(
    tmp_path: Path, table: str, said: str
) -> None:
    (tmp_path / "series.yaml").write_text(SERIES)
    (tmp_path / "contract.md").write_text("## S\n| T-1 | x |\n")
    (tmp_path / "variants.yaml").write_text(table)
    with pytest.raises(InvocationError, match=re.escape(said)):
        load_table(load(tmp_path))


def test_the_subjects_are_those_of_the_contract() -> None:
    text = (OURS / "contract.md").read_text()
    for number, subject in enumerate(load(OURS).subjects, 1):
        assert f"| {number} {subject} |" in text
