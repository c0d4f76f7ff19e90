# SPDX-License-Identifier: GPL-2.0-only
"""What is told of the protections, whatever ends the run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.jsondata import read_kept, write_json
from harness.mutants.report import MutantReport
from harness.mutants.verdict import MutantVerdict
from harness.races.claimed_points import ENDS
from harness.races.scenario import Point, parse_place
from harness.search import why_locked
from harness.search.program_search import FoundOrder
from harness.search.protections import Protection, ProtectionSearch
from tests.search.test_protections import mutant


def test_what_was_judged_before_the_run_was_ended_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted:
        def __init__(self, *given: Any) -> None:
            self.report: MutantReport = given[3]
            assert given[5] == why_locked.CASES_S  # of cases for each

        def judge_all(self) -> None:
            self.report.mutants = [mutant(number=n) for n in (1, 2, 3)]
            self.report.verdicts[1] = MutantVerdict("killed", "x failed", "check", "tlb.c::flush")
            self.report.verdicts[3] = MutantVerdict("survived")
            raise KeyboardInterrupt

    equipment = SimpleNamespace(prepared=SimpleNamespace(applied=SimpleNamespace(patches=())))
    monkeypatch.setattr(why_locked, "assemble_guest", lambda *given: equipment)
    monkeypatch.setattr(why_locked, "MutantRun", Interrupted)
    session: Any = SimpleNamespace(settings=SimpleNamespace(jobs=1))
    told: list[Protection] = []
    with pytest.raises(KeyboardInterrupt):
        why_locked.judge_protections(session, told)
    assert [(one.answer, one.shown_by) for one in told] == [
        ("needed, shown by a case", "tlb.c::flush"),
        ("not tried", "the run was ended before"),
        ("not tried", "the run was ended before the search"),
    ]


def test_what_was_searched_is_kept_by_protection_and_programs(tmp_path: Path) -> None:
    one = Protection(mutant(number=1), MutantVerdict("survived"))
    points = (Point("A", parse_place("f: pte_clear(mm, addr, pte);")), Point("B", ENDS))
    found = FoundOrder(points, 5, 5, 3, 9.0, "the page is gone")
    search = ProtectionSearch(["one", "two"], 3, 9.5, found)
    path = why_locked.kept_in(tmp_path, "these programs", one)
    assert read_kept(ProtectionSearch, path) is None
    write_json(path, search)
    assert read_kept(ProtectionSearch, path) == search
    assert replace(one, search=search).answer == "needed, shown by an order"
    # Nor is another one's taken, nor what other programs have found.
    other = replace(one, mutant=mutant("lock-dropped"))
    assert why_locked.kept_in(tmp_path, "these programs", other) != path
    assert why_locked.kept_in(tmp_path, "other programs", one) != path


def test_a_program_is_able_where_it_passes_a_place_that_has_no_point() -> None:
    """An inline function of a header has none."""
    point: Any = SimpleNamespace(place=SimpleNamespace(function="g"))
    program: Any = SimpleNamespace(reached={"A": [], "B": [point]})
    assert why_locked.ReachedBy(program, frozenset({1})).comes_to(mutant(number=1))
    assert not why_locked.ReachedBy(program, frozenset({2})).comes_to(mutant(number=1))
    point.place.function = "f"  # the mutant's
    assert why_locked.ReachedBy(program, frozenset()).comes_to(mutant(number=1))
