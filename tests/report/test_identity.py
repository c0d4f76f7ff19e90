# SPDX-License-Identifier: GPL-2.0-only
"""The id of a failure stays while the failure is the same."""

from __future__ import annotations

import pytest

from harness.report.identity import case_finding, splat_finding

CASE, CLAUSES = "volatile/a.c::it", ("V-PG-2", "V-PG-1")
REASON = "volatile/a.c:17: mapped at 0x7f20 after 1.25 s: 3 pages"


@pytest.mark.parametrize(
    "reason",
    [
        "volatile/a.c:21: mapped at 0x9000 after 13.5 s: 4 pages",
        f"{REASON}\nand more that is said below it",
    ],
)
def test_numbers_and_later_lines_make_no_other_failure(reason: str) -> None:
    assert case_finding(CASE, reason, CLAUSES) == case_finding(CASE, REASON, CLAUSES[::-1])


@pytest.mark.parametrize(
    ("case", "reason", "clauses"),
    [
        ("volatile/a.c::other", REASON, CLAUSES),
        (CASE, REASON.replace("a.c", "b.c"), CLAUSES),
        (CASE, REASON.replace("mapped", "unmapped"), CLAUSES),
        (CASE, REASON, CLAUSES[:1]),
    ],
)
def test_another_case_place_check_or_clause_is_another_failure(
    case: str, reason: str, clauses: tuple[str, ...]
) -> None:
    assert case_finding(case, reason, clauses) != case_finding(CASE, REASON, CLAUSES)


def test_what_the_kernel_says_is_known_by_its_title() -> None:
    assert splat_finding("WARNING in f") == splat_finding("WARNING in f")
    assert splat_finding("WARNING in f") != splat_finding("WARNING in g")
    assert splat_finding("WARNING in f") != case_finding("WARNING in f", "", ())
