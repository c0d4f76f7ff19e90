# SPDX-License-Identifier: GPL-2.0-only
"""Cases that give both verdicts on one kernel: how often they pass there and elsewhere.

One run before a patch and one after it cannot judge such a case. It is run many times
on both kernels, and Fisher's exact test says whether the rates differ (rates.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.cases.repeats import JUDGED
from harness.core.rates import Rates
from harness.report.results import RunDocument

RUNS = 20  # on each kernel: always against three in four is a difference at the level of rates.py
NO_EVIDENCE = "no evidence of a difference"


@dataclass(frozen=True)
class Flaky:
    """A case that passes sometimes: ``here`` with the patch, ``there`` on the yardstick.

    ``against`` names the yardstick: 'the base', 'the previous revision', or '' where the
    case is applicable on neither. ``p`` is the two-sided p-value of Fisher's exact test.
    """

    case: str
    passes_here: int
    runs_here: int
    against: str
    passes_there: int
    runs_there: int
    verdict: str
    p: float

    @property
    def excused(self) -> bool:
        """Whether the patch is not to blame: the yardstick is as flaky, as far as one can tell."""
        return self.verdict in (NO_EVIDENCE, "better")


def flaky_cases(document: RunDocument) -> tuple[str, ...]:
    """The broken cases of a run that passed when they were run again."""
    return tuple(r["id"] for r in document["repeats"] if r["passed"] > 0)


def applicable(document: RunDocument | None, case: str) -> bool:
    """Whether a run says something of a case."""
    tests = document["tests"] if document else ()
    return any(test["id"] == case and test["status"] in JUDGED for test in tests)


def counted(case: str, documents: Iterable[RunDocument], *, chosen: bool) -> tuple[int, int]:
    """Passes and runs of a case over runs of one kernel.

    ``chosen``: the case was chosen because its first record is a failure, so that one
    does not count: it would make the rate look worse than it is.
    """
    passes = runs = 0
    for document in documents:
        if not chosen:
            first = [t["status"] for t in document["tests"] if t["id"] == case]
            passes += first.count("pass")
            runs += sum(status in JUDGED for status in first)
        for record in document["repeats"]:
            if record["id"] == case:
                passes += record["passed"]
                runs += record["runs"]
    return passes, runs


def judge(case: str, here: tuple[int, int], against: str, there: tuple[int, int]) -> Flaky:
    """The statement on one flaky case from (passes, runs) on both kernels."""
    rates = Rates(there[0], there[1], here[0], here[1])
    verdict = str(rates.verdict()) if against else "no yardstick"
    return Flaky(case, *here, against, *there, verdict, round(rates.p, 6))


@dataclass(frozen=True)
class Yardsticks:
    """What a flaky case is measured against, with the runs made for that.

    ``again``: the runs that repeat flaky cases, by state: the number of patches, or
    None for the previous revision.
    """

    base: RunDocument
    previous: RunDocument | None
    again: Mapping[int | None, Sequence[RunDocument]]

    def yardstick(self, case: str) -> tuple[str, int | None]:
        """The name and the state of the kernel that a case is measured against."""
        if applicable(self.base, case):
            return "the base", 0
        if applicable(self.previous, case):
            return "the previous revision", None
        return "", 0

    def statement(self, case: str, state: int, document: RunDocument) -> Flaky:
        """What is said of a case that is flaky after ``state`` patches."""
        first = counted(case, [document], chosen=True)
        more = counted(case, self.again.get(state, ()), chosen=False)
        here = (first[0] + more[0], first[1] + more[1])
        against, where = self.yardstick(case)
        if not against:
            return judge(case, here, "", (0, 0))
        whole = self.base if where == 0 else self.previous
        plain = counted(case, [whole] if whole else [], chosen=False)
        repeated = counted(case, self.again.get(where, ()), chosen=False)
        there = (plain[0] + repeated[0], plain[1] + repeated[1])
        return judge(case, here, against, there)
