# SPDX-License-Identifier: GPL-2.0-only
"""What has become of the failures of the previous revision, by their ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.core.events import RAN, CaseId
from harness.core.rates import Rates
from harness.findings.failures import Failure, failures
from harness.report.records import RunDocument

Fate = Literal["fixed", "still there", "unrelated change", "no evidence"]


@dataclass(frozen=True)
class PreviousFinding:
    """A failure of the previous revision: how often it was seen there, and here.

    ``fate``: 'unrelated change' where its case fails otherwise now, or says nothing; 'no
    evidence' where it was not seen, and as many runs of the previous one might not show it either.
    """

    id: str
    title: str
    fate: Fate
    seen_there: int
    runs_there: int
    seen_here: int
    runs_here: int


def to_try(previous: RunDocument, now: RunDocument) -> tuple[str, ...]:
    """The cases that fail in the previous revision and not here: are they fixed, or was it luck?"""
    here = {test["id"]: test["status"] for test in now["tests"]}
    cases = (f.test["id"] for f in failures(previous) if f.test is not None)
    ours = (case for case in cases if CaseId.parse(case).kind == "guest")
    return tuple(dict.fromkeys(case for case in ours if here.get(case) == "pass"))


def runs_of(case: str, *documents: RunDocument | None) -> tuple[int, int]:
    """How often a case passed and was judged in these runs, their repetitions included."""
    counts = [
        (int(test["status"] == "pass"), 1)
        for document in filter(None, documents)
        for test in document["tests"]
        if test["id"] == case and test["status"] in RAN
    ]
    for document in filter(None, documents):
        counts += [(r["passed"], r["runs"]) for r in document["repeats"] if r["id"] == case]
    return sum(passed for passed, _ in counts), sum(runs for _, runs in counts)


def _judged(there: Failure, documents: Sequence[RunDocument]) -> PreviousFinding:
    def now(fate: Fate, seen: int, runs: int) -> PreviousFinding:
        return PreviousFinding(there.id, there.title, fate, there.seen, there.runs, seen, runs)

    same = [f for d in documents for f in failures(d) if f.id == there.id]
    if same:
        return now("still there", sum(f.seen for f in same), sum(f.runs for f in same))
    passes, _ = runs_of(there.test["id"], *documents) if there.test else (0, 0)
    if not passes:
        return now("unrelated change", 0, 0)
    # As of passes: the side that is better has more of them.
    rates = Rates(there.runs - there.seen, there.runs, passes, passes)
    return now("fixed" if rates.verdict() == "better" else "no evidence", 0, passes)


def fates(previous: RunDocument, documents: Sequence[RunDocument]) -> tuple[PreviousFinding, ...]:
    """Each failure of the previous revision; ``documents``: the runs of the whole series."""
    return tuple(_judged(failure, documents) for failure in failures(previous))
