# SPDX-License-Identifier: GPL-2.0-only
"""mutants.yaml: an argument is about one operator in one line, as long as the line is there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.errors import InvocationError
from harness.mutants.argued import FILE, argument_for, load_arguments, outlived
from harness.mutants.mutant import Mutant

MUTANT = Mutant(7, "call-dropped", "mm/a.c", 12, "walk", 1, (), "\tcond_resched();", "\t;")
ENTRY = """argued:
  - operator: call-dropped
    file: mm/a.c
    function: walk
    line: "cond_resched();"
    why: no promise
"""


def arguments(folder: Path, text: str, line: str = "6.1") -> list[str]:
    (folder / FILE).write_text(text)
    return [str(argument) for argument in load_arguments(folder, line)]


def test_it_is_about_one_operator_in_one_line(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(ENTRY)
    found = load_arguments(tmp_path, "6.1")
    assert argument_for(MUTANT, found) is found[0]
    assert argument_for(replace(MUTANT, text="        cond_resched() ;".replace(" ;", ";")), found)
    for other in (
        {"operator": "condition-negated"},
        {"path": "mm/b.c"},
        {"function": "run"},
        {"text": "\tcond_resched_lock();"},
    ):
        assert argument_for(replace(MUTANT, **other), found) is None  # type: ignore[arg-type]


def test_one_that_is_about_nothing_is_outlived(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(ENTRY)
    found = load_arguments(tmp_path, "6.1")
    assert outlived(found, [MUTANT]) == []
    assert outlived(found, [replace(MUTANT, text="gone();")]) == found


def test_it_can_name_the_mistake_and_the_kernels(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(ENTRY + "    instead: ';'\n    kernels: ['6.12']\n")
    assert load_arguments(tmp_path, "6.1") == []
    found = load_arguments(tmp_path, "6.12")
    assert argument_for(MUTANT, found)
    assert argument_for(replace(MUTANT, instead="\treturn;"), found) is None


def test_no_file_argues_nothing(tmp_path: Path) -> None:
    assert load_arguments(tmp_path, "6.1") == []


@pytest.mark.parametrize(
    "text",
    [
        "argued:\n  - {operator: x}\n",
        "other: []\n",
        "argued: [\n",
        ENTRY + "    kernels: [6.1]\n",
        ENTRY + "    a: b\n",
    ],
)
def test_what_is_no_argument_is_refused_with_the_file(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(InvocationError, match=FILE):
        load_arguments(tmp_path, "6.1")
