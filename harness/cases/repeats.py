# SPDX-License-Identifier: GPL-2.0-only
"""Runs broken cases again, or all of them: how often does each pass?

One that gives both verdicts is flaky, which is a finding of its own. Its first record stays
what it is, with its evidence: that it passes later changes no verdict of the run. What the
kernel says in a repetition counts as that repetition's failure, and not as another complaint.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.cases.runner import CaseRunner
from harness.core import events as ev
from harness.image.programs import Case
from harness.report.results import Results

MAX_BROKEN_CASES = 8  # more are a broken kernel and no flaky cases


def repeat(case: Case, runner: CaseRunner, times: int, events: ev.Events) -> None:
    """Runs ``case`` that many times more and emits how it went.

    A repetition that was skipped says nothing and is not counted.
    """
    statuses = [runner.run(case, lambda _: None).status for _ in range(times)]
    judged = sum(status in ev.RAN for status in statuses)
    passed = statuses.count("pass")
    events.emit(ev.CaseRepeated(case.id, passed, judged))
    events.emit(ev.Note(f"{case.id}: run {judged} times more, passed {passed}"))


def repeat_broken(
    cases: Sequence[Case], results: Results, runner: CaseRunner, times: int, events: ev.Events
) -> None:
    """Repeats each case that broke; none where so many did that the kernel is at fault."""
    ids = {record.id for record in results.failures()}
    broken = [case for case in cases if case.id in ids]
    if len(broken) > MAX_BROKEN_CASES:
        events.emit(ev.Note(f"{len(broken)} cases are broken: none is run again"))
        return
    for case in broken:
        repeat(case, runner, times, events)
