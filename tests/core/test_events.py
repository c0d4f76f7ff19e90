# SPDX-License-Identifier: GPL-2.0-only
"""Ids of cases and of complaints."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.core import events as ev
from harness.core.events import CaseId


@pytest.mark.parametrize(
    ("text", "case"),
    [
        ("volatile/sigbus.c::name", CaseId("guest", "volatile/sigbus.c", "name")),
        ("host::x", CaseId("host", None, "x")),
        ("regression::mm: ksm::two", CaseId("regression", None, "mm: ksm::two")),
        ("races::fork-vote", CaseId("races", None, "fork-vote")),
        ("ksm", CaseId("guest", None, "ksm")),
        ("host", CaseId("guest", None, "host")),
    ],
)
def test_an_id_and_its_text_are_the_same(text: str, case: CaseId) -> None:
    assert CaseId.parse(text) == case
    assert str(case) == text
    assert str(replace(case, attempt=2)) == text
    assert case != replace(case, attempt=2)


def test_complaints_of_the_same_words_have_ids_of_their_own() -> None:
    one, two = (ev.SplatSeen("WARNING in f", "warning", None, "trace") for _ in range(2))
    assert one == two and one.id != two.id
    assert replace(one, foreign="not ours").id == one.id
