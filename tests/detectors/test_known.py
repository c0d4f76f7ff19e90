# SPDX-License-Identifier: GPL-2.0-only
"""Complaints that are known for a tree: no failure until a date; a broken list is told."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from harness.core.errors import InvocationError
from harness.detectors.known import NAME, ended, load_known, mark_known
from harness.vm.splats import Splat

ENTRY = "- title: WARNING in pond_fill\n  until: 2027-03-31\n  reason: reported to the frogs\n"
SPLAT = Splat("WARNING in pond_fill", "warning", "text", 1, 0, 0)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "linux").mkdir()
    return tmp_path / "linux"


def test_the_list_is_in_the_tree_or_beside_it(tree: Path) -> None:
    assert load_known(str(tree)) == ()
    (tree.parent / NAME).write_text(ENTRY)
    assert [entry.title for entry in load_known(str(tree))] == ["WARNING in pond_fill"]
    (tree / NAME).write_text(ENTRY.replace("fill", "drain"))
    assert [entry.title for entry in load_known(str(tree))] == ["WARNING in pond_drain"]


def test_a_kernel_by_name_has_no_list() -> None:
    assert load_known("6.1") == ()


def test_an_empty_list_is_none(tree: Path) -> None:
    (tree / NAME).write_text("# nothing is known\n")
    assert load_known(str(tree)) == ()


def test_it_is_known_until_the_last_day(tree: Path) -> None:
    (tree / NAME).write_text(ENTRY)
    known = load_known(str(tree))
    marked = mark_known(SPLAT, known, date(2027, 3, 31))
    assert marked.foreign == "known until 2027-03-31: reported to the frogs"
    assert mark_known(SPLAT, known, date(2027, 4, 1)) == SPLAT
    assert ended(known, date(2027, 3, 31)) == []
    (line,) = ended(known, date(2027, 4, 1))
    assert line.endswith(f"{NAME}:1: ended on 2027-03-31: WARNING in pond_fill")


def test_another_title_is_not_known(tree: Path) -> None:
    (tree / NAME).write_text(ENTRY)
    other = Splat("WARNING in pond_filler", "warning", "text", 1, 0, 0)
    assert mark_known(other, load_known(str(tree)), date(2027, 1, 1)) == other


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("title: x\n", 1, "no list"),
        (ENTRY + "- just words\n", 4, "not 'just words'"),
        (ENTRY + "- title: y\n  until: 2027-01-01\n", 4, "reason is missing"),
        (ENTRY + "- title: y\n  until: soon\n  reason: z\n", 4, "date expected, not 'soon'"),
        (ENTRY + "- title: y\n  until: 2027-02-30\n  reason: z\n", 4, "day"),
        (ENTRY + ENTRY[:-1] + "\n  untill: 2027-01-01\n", 4, "untill is none of"),
        (ENTRY + "- title: y\n  until: 2027-01-01\n  reason:\n", 4, "reason: str expected"),
        (ENTRY + "- title: [y]\n  until: 2027-01-01\n  reason: z\n", 4, "title: str expected"),
        (ENTRY + ENTRY, 4, f"stands in .*{NAME}:1 already"),
        (ENTRY + "- title: 'y\n", 5, "quoted scalar"),
        (ENTRY + "- title: a\n\tuntil: b\n", 5, "while"),
        (ENTRY + "- title: y\n  until: 2027-01-01 10:00:00\n  reason: z\n", 4, "date expected"),
        ("- title: " + "[" * 2000, 1, "recursion"),
    ],
)
def test_a_broken_list_names_file_and_line(tree: Path, text: str, line: int, what: str) -> None:
    (tree / NAME).write_text(text)
    with pytest.raises(InvocationError, match=what) as failure:
        load_known(str(tree))
    assert failure.value.what.startswith(f"{tree / NAME}:{line}: ")
    assert failure.value.exit_code == 2


def test_a_list_of_odd_bytes_is_told(tree: Path) -> None:
    (tree / NAME).write_bytes(b"\xff\xfe- title: x\n")
    with pytest.raises(InvocationError, match=f"{NAME}:1: .*can.t decode"):
        load_known(str(tree))
