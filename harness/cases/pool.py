# SPDX-License-Identifier: GPL-2.0-only
"""Several guests at once: cases run side by side, their records come back in order.

A case keeps one virtual CPU busy most of the time, so with two guests a suite takes
little more than half as long. Each guest belongs to one thread. What a thread has
to say of a case is kept until the case's turn comes, so that screen, log and
results read as if the cases had run one after the other.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace

from harness.cases.runner import CaseRunner
from harness.core import events as ev
from harness.image.programs import Case

MAX_GUESTS = 4  # a suite of seconds is not worth more
MIN_CASES_PER_GUEST = 8  # below this a second guest takes longer to start than it saves

# A case may keep both CPUs of its guest busy, and so may its neighbour's: where there
# is one CPU a guest, either then takes twice as long as alone.
SHARED_FACTOR = 2.0


def at_once(jobs: int) -> int:
    """How many guests share the cases of a suite, with ``jobs`` CPUs to use."""
    return min(jobs, MAX_GUESTS)


def run_shared(cases: Sequence[Case], runners: Sequence[CaseRunner], emit: ev.Consumer) -> None:
    """Runs the cases on ``runners``, a guest each; with few cases the first has them all.

    Raises:
        HarnessError: whatever kept a case from being run, when its turn comes. No thread
            begins another case then; what they are at ends with their guests.
    """
    guests = min(len(runners), len(cases) // MIN_CASES_PER_GUEST)
    if guests < 2:
        for case in cases:
            runners[0].run(case, emit)
        return
    # Long ones first, or one of them is alone at the end. How long a case may take says
    # well enough which those are.
    waiting = deque(sorted(cases, key=lambda case: -case.timeout))
    futures: dict[ev.CaseId, Future[list[ev.Event]]] = {case.id: Future() for case in cases}

    def begun() -> Case | None:
        try:
            return waiting.popleft()
        except IndexError:
            return None

    def work(runner: CaseRunner) -> None:
        while case := begun():
            seen: list[ev.Event] = []
            try:
                runner.run(replace(case, timeout=case.timeout * SHARED_FACTOR), seen.append)
            except BaseException as error:
                # For whoever asks for this case, or for one that now nobody begins.
                while case:
                    futures[case.id].set_exception(error)
                    case = begun()
            else:
                futures[case.id].set_result(seen)

    for runner in runners[:guests]:
        threading.Thread(target=work, args=(runner,), daemon=True).start()
    try:
        for case in cases:
            emit(ev.CaseStarted(case.id, case.clauses))  # the screen says what it waits for
            for event in futures[case.id].result():
                if not isinstance(event, ev.CaseStarted):
                    emit(event)
    finally:
        waiting.clear()
