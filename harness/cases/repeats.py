# SPDX-License-Identifier: GPL-2.0-only
"""Broken cases run again: one that gives both verdicts is flaky, which is a finding of its own.

The first record of a case stays what it is, with its evidence; that it passes when it
is run again changes no verdict of the run. What the kernel says in a repetition counts
as that repetition's failure, and not as another complaint.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.cases.runner import Lab
from harness.core import events as ev
from harness.image.programs import Case
from harness.report.results import BROKEN, Results

JUDGED = BROKEN | {"pass"}  # what says something of a kernel

MAX_BROKEN_CASES = 8  # more are a broken kernel and no flaky cases


def repeat(case: Case, lab: Lab, times: int, events: ev.Events) -> ev.CaseRepeated:
    """Runs ``case`` that many times more and emits how it went.

    A repetition that was skipped says nothing and is not counted.
    """
    records = [lab.run(case, lambda _: None) for _ in range(times)]
    judged = [record for record in records if record.status in JUDGED]
    passed = sum(record.status == "pass" for record in judged)
    event = ev.CaseRepeated(case.id, passed, len(judged))
    events.emit(event)
    events.emit(ev.Note(f"{case.id}: run {len(judged)} times more, passed {passed}"))
    return event


def repeat_broken(
    cases: Sequence[Case], results: Results, lab: Lab, times: int, events: ev.Events
) -> None:
    """Repeats each case that broke; none where so many did that the kernel is at fault."""
    ids = {record.id for record in results.failures()}
    broken = [case for case in cases if case.id in ids]
    if len(broken) > MAX_BROKEN_CASES:
        events.emit(ev.Note(f"{len(broken)} cases are broken: none is run again"))
        return
    for case in broken:
        repeat(case, lab, times, events)
