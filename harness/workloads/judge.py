# SPDX-License-Identifier: GPL-2.0-only
"""What a selftest says, and whether it says the same with the series as without it.

Unlike the project's own cases, these programs keep their protocol loosely: plans are
missing, numbers stand twice, and half of them print no TAP at all. So what counts is
that the same program says the same on two kernels, point by point.

Each test is run once on both kernels. One that says the same both times is the same. One
that does not, or that is known to flap, is run again on both, and what counts then is how
often it said what: a difference that chance explains is none (``rates.py``). The run that
raised the suspicion is not counted, for it was chosen because it differed.
Source: tools/testing/selftests/kselftest.h and kselftest_harness.h of the kernel.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, cast

from harness.cases.ktap import TapOutput, read_tap
from harness.core import events as ev
from harness.core.rates import Rates
from harness.workloads.regression_selftests import Selftest

AGAIN = 10  # runs on each kernel of what differs or flaps: 10 of 10 against 3 of 10 is a difference
MAX_LINES_SHOWN = 12  # of a program's output, beside a difference
MARK = "| "  # what selftest.py prints before each line of the program
LEFT_OUT = "left out: "  # and before the number of results that it does not print
WHOLE = "exit status"  # the name of the program's own verdict among its points
SKIPPED = ("skip", "skipped")
ABSENT = "absent"  # the outcome of a point that a run does not have
# What differs from run to run of one kernel: addresses, and times with their unit.
_VARIES = (
    (re.compile(r"0x[0-9a-fA-F]+"), "0x.."),
    (re.compile(r"\d+(\.\d+)? ?([mun]?s)\b"), ".. s"),
)


@dataclass(frozen=True)
class Seen:
    """One run. ``outcomes``: point -> pass, fail, skip ...; the program's own under ``WHOLE``."""

    outcomes: Mapping[str, str]
    reason: str = ""
    seconds: float = 0.0
    lines: tuple[str, ...] = field(default=(), repr=False)

    @property
    def status(self) -> str:
        """The program's own verdict."""
        return self.outcomes[WHOLE]


class SelftestRuns(NamedTuple):
    """All runs of one test: the first on each kernel, then those by which rates are judged."""

    base: Sequence[Seen]
    series: Sequence[Seen]

    @property
    def differ(self) -> bool:
        """Whether the first runs say different things."""
        return self.base[0].outcomes != self.series[0].outcomes

    @property
    def passes_on_base(self) -> bool:
        """Whether any run on the bare base passed."""
        return any(run.status == "pass" for run in self.base)


def _results(tap: TapOutput) -> Iterator[tuple[str, str]]:
    """Name, less what varies from run to run, and outcome of each point of TAP."""
    for point in tap.points:
        name = point.name
        for pattern, instead in _VARIES:
            name = pattern.sub(instead, name)
        yield f"{point.number} {name}".strip(), point.outcome


def points(lines: Iterable[str], own: str = "") -> dict[str, str]:
    """The results in a program's output: name -> outcome.

    ``own``: the ``points`` of its Selftest; '' for TAP, where a name is number and
    description, and an outcome pass, fail, skip, todo or xfail (``cases/ktap.py``).
    """
    if own:
        matches = filter(None, map(re.compile(own).search, lines))
        results = iter([(match["name"], match["outcome"].lower()) for match in matches])
    else:
        results = _results(read_tap(lines))
    found: dict[str, str] = {}
    times: Counter[str] = Counter()
    for name, outcome in results:
        times[name] += 1
        again = "" if times[name] == 1 else " (again)" if times[name] == 2 else f" ({times[name]})"
        found[name + again] = outcome
    return found


def seen(record: ev.CaseFinished, own: str = "") -> Seen:
    """What the record of one run says; ``own`` as for ``points``.

    A program that skips all of its points and exits with 0 has skipped, and not passed. Nor
    has one that passes and says that it gave up, or that lacks points of its own plan.
    """
    lines = tuple(d.removeprefix(MARK) for d in record.diagnostics if d.startswith(MARK))
    found = points(lines, own)
    status, reason = record.status, record.reason
    tap = TapOutput() if own else read_tap(lines)
    whole = not any(note.startswith(LEFT_OUT) for note in record.diagnostics)
    if status == "pass" and tap.bailed is not None:
        status, reason = "fail", f"bailed out: {tap.bailed}"
    elif status == "pass" and whole and (missing := tap.missing()):
        status, reason = "fail", missing
    elif status == "pass" and not found and tap.skipped is not None:
        status, reason = "skip", tap.skipped or "its plan is 1..0"
    elif status == "pass" and found and all(o in SKIPPED for o in found.values()):
        status, reason = "skip", f"each of its {len(found)} results is a skip"
    return Seen({WHOLE: status, **found}, reason, record.seconds, lines)


def failing(run: Seen) -> frozenset[str]:
    """The points that fail in a run, and ``WHOLE`` where the program itself does."""
    broken = {WHOLE} if run.status in ev.BROKEN else set()
    return frozenset(broken | {name for name, outcome in run.outcomes.items() if outcome == "fail"})


def alone(record: ev.CaseFinished, run: Seen) -> ev.CaseFinished:
    """The record of a run that nothing is compared with: one whose results fail has failed."""
    status, reason = record.status, record.reason
    if status == "pass":
        status = cast(ev.Status, run.status)
        reason = run.reason
    if share := _share(run):
        reason = share if status == "pass" or not reason else f"{reason}; {share}"
        status = "fail" if status == "pass" else status
    return replace(record, status=status, reason=reason)


def _share(run: Seen) -> str:
    """How many results of a run fail, in words; '' for none."""
    points = failing(run) - {WHOLE}
    return _results_fail(points, run) if points else ""


def _results_fail(points: frozenset[str], run: Seen) -> str:
    return f"{len(points)} of {len(run.outcomes) - 1} results fail, such as {min(points)}"


def without_known(record: ev.CaseFinished, runs: SelftestRuns) -> ev.CaseFinished:
    """The record of a test in which the kernel complained, less results that fail on the base too.

    They would be read as what the complaint has broken.
    """
    here, there = failing(runs.series[0]) - {WHOLE}, failing(runs.base[0])
    if not here or not here <= there:
        return record
    return replace(record, reason=record.reason.removesuffix(f"; {_share(runs.series[0])}"))


def excused(record: ev.CaseFinished, runs: SelftestRuns) -> ev.CaseFinished:
    """The record of a test that failed with the series, once it ran on the bare base.

    What fails there in the same way says nothing of the series. Where it says so only
    sometimes, the runs after the first decide by their rates.
    """
    here, there = failing(runs.series[0]), failing(runs.base[0])
    if here <= there:
        good = any(
            outcome == "pass" for n, outcome in runs.series[0].outcomes.items() if n != WHOLE
        )
        reason = f"on the bare base too: {record.reason}"
        return replace(record, status="pass" if good else "skip", reason=reason)
    said = ", ".join(sorted(here - there))
    if there and (new := here - there - {WHOLE}):
        share = f"{_results_fail(new, runs.series[0])}, and not on the bare base"
        record = replace(record, reason=record.reason.replace(_share(runs.series[0]), share))
    if len(runs.base) > 1:
        ours, chance = differences(runs)
        if not ours:
            return replace(record, status="skip", reason=chance[0] if chance else record.reason)
        said = ours[0]
    return replace(record, diagnostics=(f"not on the bare base: {said}", *record.diagnostics))


def differences(runs: SelftestRuns) -> tuple[list[str], list[str]]:
    """What differs, and what varies without evidence that it does; a sentence each."""
    ours: list[str] = []
    chance: list[str] = []
    for point in dict.fromkeys(name for run in (*runs.base, *runs.series) for name in run.outcomes):
        (base, *more_base), (series, *more_series) = (
            [run.outcomes.get(point, ABSENT) for run in side] for side in runs
        )
        outcomes = dict.fromkeys((base, *more_base, series, *more_series))
        if len(outcomes) < 2:
            continue
        if not more_base:
            ours.append(f"{point}: {base} without the series, {series} with it")
            continue
        for outcome in outcomes:
            hits_base, hits_series = more_base.count(outcome), more_series.count(outcome)
            rates = Rates(hits_base, len(more_base), hits_series, len(more_series))
            verdict = rates.verdict()
            same = verdict == "no evidence of a difference"
            # Of an outcome such as 'fail' more is not better.
            said = verdict if same or outcome == "pass" else "a difference"
            (chance if same else ours).append(
                f"{point}: {outcome} {hits_base} of {len(more_base)} without the series, "
                f"{hits_series} of {len(more_series)} with it, p = {rates.p:.2g}: {said}"
            )
    return ours, chance


def judge(test: Selftest, runs: SelftestRuns, clause: str) -> ev.CaseFinished:
    """The record of one test.

    'fail': the kernels differ. 'skip': it never passes on the bare base, and so says
    nothing of the series as long as it fails there in the same way.
    """
    ours, chance = differences(runs)
    notes = [*ours, *chance]
    status: ev.Status
    if ours:
        status, reason = "fail", ours[0]
        notes += [f"with the series: {line}" for line in runs.series[0].lines[-MAX_LINES_SHOWN:]]
    elif not runs.passes_on_base:
        first = runs.base[0]
        status, reason = "skip", f"on the bare base too: {first.status}: {first.reason}"
    else:
        status, reason = "pass", chance[0] if chance else ""
    seconds = sum(run.seconds for run in (*runs.base, *runs.series))
    case_id = ev.CaseId("regression", None, test.name, attempt=len(runs.base))
    return ev.CaseFinished(case_id, status, reason, seconds, (clause,), tuple(notes), test.claim)


def cannot_run(test: Selftest, symbol: str, clause: str) -> ev.CaseFinished:
    """The record of a test for which the kernel has no ``symbol``."""
    reason = f"needs CONFIG_{symbol}, which this flavour does not have (see CONFIG=)"
    identity = ev.CaseId("regression", None, test.name)
    return ev.CaseFinished(identity, "skip", reason, 0.0, (clause,), about=test.claim)


def summary(
    listed: Sequence[Selftest],
    runs: Mapping[str, SelftestRuns],
    records: Sequence[ev.CaseFinished],
) -> str:
    """One line: how much was compared, and what came of it."""
    points = sum(len(run.base[0].outcomes) - 1 for run in runs.values())
    passed = sum(run.passes_on_base for run in runs.values())
    differ = sum(r.status == "fail" for r in records)
    varied = sum(r.status == "pass" and bool(r.reason) for r in records)
    compared = f"{len(records)} of {len(listed)} selftests compared, {points} results in them"
    found = f"{passed} pass on the bare base, {differ} differ, {varied} vary on both"
    return f"{compared}: {found} without evidence of a difference"
