# SPDX-License-Identifier: GPL-2.0-only
"""Events fold into results; a clause's verdict follows from its cases."""

from __future__ import annotations

import pytest

from harness.core import events as ev
from harness.report.results import Results, document, judge_clause
from harness.series.contract import Clause, SeriesData

CLAUSE = Clause("V-PG-2", "text", "Purging", 4)


def case(status: ev.Status, clause: str = "V-PG-2", name: str = "p.c::x") -> ev.CaseFinished:
    return ev.CaseFinished(ev.CaseId.parse(name), status, f"because {status}", 0.5, (clause,))


@pytest.mark.parametrize(
    ("statuses", "verdict"),
    [
        (["pass"], "pass"),
        (["pass", "fail"], "fail"),
        (["pass", "error"], "fail"),
        (["pass", "timeout"], "fail"),
        (["skip"], "untested"),
        (["skip", "pass"], "pass"),
        ([], "untested"),
    ],
)
def test_a_clause_follows_its_cases(statuses: list[ev.Status], verdict: str) -> None:
    assert judge_clause(CLAUSE, 4, [case(s) for s in statuses])["verdict"] == verdict


def test_a_clause_that_is_not_promised_yet_is_not_applicable() -> None:
    verdict = judge_clause(CLAUSE, 2, [case("not_applicable")])
    assert (verdict["verdict"], verdict["reason"]) == (
        "not_applicable",
        "holds from patch 4; 2 applied",
    )


def test_cases_of_other_clauses_have_no_say() -> None:
    verdict = judge_clause(CLAUSE, 4, [case("fail", "V-PG-20"), case("pass")])
    assert (verdict["verdict"], verdict["tests"]) == ("pass", ["p.c::x"])


def whole_run(*extra: ev.Event) -> Results:
    results = Results()
    patches = tuple(ev.PatchInfo(f"s{i}", f"id{i}") for i in range(4))
    for event in (
        ev.RunStarted("r1", "/out/r1", "make test-kernel", {"TESTS": ""}),
        ev.StageFinished("build", 12.3456, True, "893 objects"),
        ev.BaseKnown("6.1.192", "6.1", "c0ffee"),
        ev.SeriesKnown("patches", patches, 4),
        ev.ConfigKnown("default", "ab" * 32),
        ev.AccelChosen("tcg", "no KVM here"),
        ev.GuestBooted("boot-1", 1.5, "microvm", False),
        *extra,
        ev.RunFinished("pass", 0, 30.0),
    ):
        results(event)
    return results


def test_the_document_has_what_the_schema_promises(data: SeriesData) -> None:
    done = document(whole_run(case("pass")), data)
    assert done["schema"] == 2
    assert done["verdict"] == "pass"
    assert done["kernel"].version == "6.1.192"
    assert done["series"]["patches"][0] == ev.PatchInfo("s0", "id0")
    assert done["config"].sha256 == "ab" * 32
    assert done["stages"][0] == {
        "name": "build",
        "seconds": 12.346,
        "cached": True,
        "detail": "893 objects",
    }
    assert done["boot_ids"] == ["boot-1"]
    assert done["tests"][0]["status"] == "pass"
    assert done["clauses"]["V-PG-2"] == {"verdict": "pass", "reason": "", "tests": ["p.c::x"]}
    assert len(done["clauses"]) == 45


def test_a_restored_guest_adds_no_boot_id(data: SeriesData) -> None:
    done = document(whole_run(ev.GuestBooted("boot-1", 0.5, "microvm", True)), data)
    assert done["boot_ids"] == ["boot-1"]
    assert [b.restored for b in done["boots"]] == [False, True]


def test_expected_splats_are_no_complaints_and_decodings_find_theirs(data: SeriesData) -> None:
    warning = ev.SplatSeen("WARNING in f", "warning", ev.CaseId.parse("p.c::x"), "raw")
    done = document(
        whole_run(
            ev.SplatSeen("Out of memory", "oom", ev.CaseId.parse("p.c::x"), "killed", True),
            warning,
            ev.SplatDecoded(warning.id, "f at mm/f.c:3", "debug information of the same text"),
        ),
        data,
    )
    assert [(s["title"], s["text"]) for s in done["splats"]] == [("WARNING in f", "f at mm/f.c:3")]


def test_a_run_that_never_ended_says_so() -> None:
    done = document(Results(), None)
    assert (done["verdict"], done["error"]) == ("infra", ["the run did not end"])
