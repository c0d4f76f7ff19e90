# SPDX-License-Identifier: GPL-2.0-only
"""What the kernel's checkers say becomes a record, and only where there are checkers."""

from __future__ import annotations

from harness.core import events as ev
from harness.detectors.soundness import record
from harness.report.results import Results

CLAUSE = "V-KS-1"
RAN = ev.CaseFinished(ev.CaseId.parse("p.c::x"), "pass", "", 0.1, ("V-PG-2",))
SPLAT = ev.SplatSeen("KASAN: use-after-free in f", "kasan", ev.CaseId.parse("p.c::x"), "text")


def told(*events: ev.Event, **config: str) -> ev.CaseFinished:
    results = Results()
    for event in events:
        results(event)
    return record(CLAUSE, config, results, "kasan")


def test_silence_counts_where_something_listened() -> None:
    done = told(RAN, KASAN="y", UBSAN="y")
    assert (str(done.id), done.status, done.clauses) == ("kernel::kasan", "pass", (CLAUSE,))
    assert done.diagnostics == ("watched by KASAN, UBSAN",)


def test_a_kernel_without_checkers_says_nothing_of_it() -> None:
    assert told(RAN, DEBUG_LIST="y").status == "not_applicable"


def test_a_complaint_breaks_the_clause() -> None:
    done = told(RAN, SPLAT, KASAN="y")
    assert (done.status, done.reason) == (
        "fail",
        "1 complaints, first: KASAN: use-after-free in f",
    )


def test_what_is_not_the_series_own_is_listed() -> None:
    race = ev.SplatSeen("KCSAN: data-race in a / b", "kcsan", None, "text", foreign="not ours")
    done = told(RAN, race, KCSAN="y")
    assert done.status == "pass"
    assert done.diagnostics[-1] == "does not count: KCSAN: data-race in a / b: not ours"


def test_no_case_is_no_proof() -> None:
    assert told(KASAN="y").status == "error"
