# SPDX-License-Identifier: GPL-2.0-only
"""TESTS= is pytest's -k: parts of names. A program's file name selects its cases and no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cases.selection import select_cases
from harness.core.errors import InvocationError
from harness.core.events import CaseId
from harness.image.programs import Case, Program


def case(file: str, name: str, clause: str) -> Case:
    program = Program(Path(f"/x/volatile/{file}"), f"volatile/{file}", ())
    return Case(CaseId("guest", f"volatile/{file}", name), program, (clause,), 1.0, "")


CASES = [
    case("purge.c", "small_pages", "V-PG-1"),
    case("purge.c", "huge_pages", "V-PG-2"),
    case("global_pressure.c", "purges_all", "V-PG-1"),
]


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("", ["small_pages", "huge_pages", "purges_all"]),
        ("purge", ["small_pages", "huge_pages", "purges_all"]),
        ("purge.c", ["small_pages", "huge_pages"]),
        ("volatile/purge.c and huge", ["huge_pages"]),
        ("V-PG-1 and not small", ["purges_all"]),
        ("nothing", []),
    ],
)
def test_what_an_expression_selects(expression: str, names: list[str]) -> None:
    assert [found.name for found in select_cases(CASES, expression)] == names


@pytest.mark.parametrize("expression", ["small and", "small huge", "(small", "small(a=1)"])
def test_what_is_no_expression_is_the_invocations_fault(expression: str) -> None:
    with pytest.raises(InvocationError, match="is no pytest -k expression: "):
        select_cases(CASES, expression)
