# SPDX-License-Identifier: GPL-2.0-only
"""Two sets of verdicts: what was fixed, broken, is new or gone, and what the base excuses."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.commands.revision.verdict import blame, changes, kind_of

VERDICTS = st.sampled_from(("pass", "fail", "untested", "not_applicable"))
SETS = st.dictionaries(st.sampled_from(("A-1", "A-2", "A-3", "A-4")), VERDICTS)


@pytest.mark.parametrize(
    ("before", "now", "kind"),
    [
        ("fail", "pass", "fixed"),
        ("pass", "fail", "broken"),
        ("untested", "pass", "new"),
        ("not_applicable", "fail", "new"),
        ("", "pass", "new"),
        ("pass", "untested", "gone"),
        ("fail", "", "gone"),
        ("pass", "pass", None),
        ("untested", "not_applicable", None),
        ("", "untested", None),
    ],
)
def test_a_change_has_one_kind(before: str, now: str, kind: str | None) -> None:
    assert kind_of(before, now) == kind


@given(SETS, SETS)
def test_swapping_the_two_sets_swaps_the_kinds(one: dict[str, str], other: dict[str, str]) -> None:
    opposite = {"fixed": "broken", "broken": "fixed", "new": "gone", "gone": "new"}
    forth = {c.clause: c.kind for c in changes(one, other)}
    back = {c.clause: c.kind for c in changes(other, one)}
    assert back == {clause: opposite[kind] for clause, kind in forth.items()}
    assert changes(one, one) == ()


def document(titles: tuple[str, ...] = (), **cases: str) -> Any:
    return {
        "tests": [{"id": name, "status": status} for name, status in cases.items()],
        "splats": [{"title": title} for title in titles],
    }


def test_only_a_failure_on_the_base_excuses_one() -> None:
    here = document(("WARNING in x", "BUG in y"), a="fail", b="timeout", c="fail", d="pass")
    base = document(("BUG in y",), a="error", b="not_applicable", c="pass", d="fail")
    found = blame(here, base)
    assert found.before == ("a", "BUG in y")
    assert found.ours == ("b", "c", "WARNING in x")
