# SPDX-License-Identifier: GPL-2.0-only
"""Whether a selftest says the same with the series as without it. Pure functions.

Each test is run once on both kernels. One that says the same both times is the same. One
that does not, or that is known to flap, is run again on both, and what counts then is how
often it said what: a difference that chance explains is none (``rates.py``). The run that
raised the suspicion is not counted, for it was chosen because it differed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.commands.selftests.table import Selftest
from harness.commands.selftests.tap import Seen, differing
from harness.core import events as ev
from harness.core.rates import Rates

AGAIN = 10  # runs on each kernel of what differs or flaps: 10 of 10 against 3 of 10 is a difference
SHOWN = 12  # lines of a program's output that stand beside a difference


@dataclass(frozen=True)
class SelftestRuns:
    """All runs of one test: the first on each kernel, then those by which rates are judged."""

    base: Seen
    series: Seen
    base_again: tuple[Seen, ...] = ()
    series_again: tuple[Seen, ...] = ()

    @property
    def all_base(self) -> tuple[Seen, ...]:
        """Every run on the bare base."""
        return (self.base, *self.base_again)


def to_repeat(tests: Sequence[Selftest], runs: Mapping[str, SelftestRuns]) -> tuple[Selftest, ...]:
    """The tests that one run of each kernel cannot judge."""
    return tuple(
        test
        for test in tests
        if test.name in runs
        and (test.flaps or differing(runs[test.name].base, runs[test.name].series))
    )


def rates(runs: SelftestRuns, point: str, outcome: str) -> Rates:
    """How often a point had an outcome, without and with the series."""
    return Rates(
        sum(seen.outcome(point) == outcome for seen in runs.base_again),
        len(runs.base_again),
        sum(seen.outcome(point) == outcome for seen in runs.series_again),
        len(runs.series_again),
    )


def _suspects(runs: SelftestRuns) -> dict[str, dict[str, None]]:
    """Points that were not always the same, and the outcomes that they had, in order."""
    everything = (runs.base, runs.series, *runs.base_again, *runs.series_again)
    names = dict.fromkeys(name for seen in everything for name in seen.outcomes)
    had = {name: dict.fromkeys(seen.outcome(name) for seen in everything) for name in names}
    return {name: outcomes for name, outcomes in had.items() if len(outcomes) > 1}


def differences(runs: SelftestRuns) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What differs, and what varies without evidence that it does; a sentence each."""
    ours: list[str] = []
    chance: list[str] = []
    for point, outcomes in _suspects(runs).items():
        if not runs.base_again:
            ours.append(f"{point}: {runs.base.outcome(point)} without the series, "
                        f"{runs.series.outcome(point)} with it")  # fmt: skip
            continue
        for outcome in outcomes:
            found = rates(runs, point, outcome)
            verdict = found.verdict()
            same = verdict == "no evidence of a difference"
            # Of an outcome such as 'fail' more is not better.
            said = verdict if same or outcome == "pass" else "a difference"
            counts = f"{outcome} {found.passes_a} of {found.runs_a} without the series, "
            counts += f"{found.passes_b} of {found.runs_b} with it, p = {found.p:.2g}: {said}"
            (chance if same else ours).append(f"{point}: {counts}")
    return tuple(ours), tuple(chance)


def judge(test: Selftest, runs: SelftestRuns, clause: str) -> ev.CaseFinished:
    """The record of one test.

    'fail': the kernels differ. 'skip': it never passes on the bare base, and so says
    nothing of the series as long as it fails there in the same way.
    """
    ours, chance = differences(runs)
    notes = (*ours, *chance)
    passed = sum(seen.status == "pass" for seen in runs.all_base)
    status: ev.Status
    if ours:
        status, reason = "fail", ours[0]
        notes += tuple(f"with the series: {line}" for line in runs.series.lines[-SHOWN:])
    elif not passed:
        status, reason = "skip", f"on the bare base too: {runs.base.status}: {runs.base.reason}"
    else:
        status, reason = "pass", chance[0] if chance else ""
    seconds = sum(s.seconds for s in (*runs.all_base, runs.series, *runs.series_again))
    return ev.CaseFinished(
        ev.CaseId("regression", None, test.name, attempt=1 + len(runs.base_again)),
        status,
        reason,
        seconds,
        (clause,),
        diagnostics=notes,
        about=f"{' '.join(test.argv)} says the same with the series as without it",
    )


def cannot_run(test: Selftest, symbol: str, clause: str) -> ev.CaseFinished:
    """The record of a test for which the kernel has no ``symbol``."""
    reason = f"needs CONFIG_{symbol}, which this flavour does not have (see CONFIG=)"
    about = f"{' '.join(test.argv)} says the same with the series as without it"
    case = ev.CaseId("regression", None, test.name)
    return ev.CaseFinished(case, "skip", reason, 0.0, (clause,), about=about)


def summary(listed: Sequence[Selftest], runs: Mapping[str, SelftestRuns],
            records: Sequence[ev.CaseFinished]) -> str:  # fmt: skip
    """One line: how much was compared, and what came of it."""
    points = sum(len(r.base.outcomes) - 1 for r in runs.values())
    passed = sum(any(s.status == "pass" for s in r.all_base) for r in runs.values())
    differ = sum(r.status == "fail" for r in records)
    varied = sum(r.status == "pass" and bool(r.reason) for r in records)
    return (
        f"{len(records)} of {len(listed)} selftests compared, {points} results in them: {passed} "
        f"pass on the bare base, {differ} differ, {varied} vary on both without evidence of a "
        "difference"
    )
