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


class GuestPool:
    """Runs the cases of one suite on ``runners``, a guest each, and hands events to ``emit``.

    ``begin`` names the cases; after it ``run`` must be called for them in the same
    order. ``stop`` keeps the threads from beginning another case.
    """

    def __init__(self, emit: ev.Consumer, runners: Sequence[CaseRunner]) -> None:
        self._emit = emit
        self._runners = runners
        self._waiting: deque[Case] = deque()
        self._futures: dict[ev.CaseId, Future[list[ev.Event]]] = {}

    def begin(self, cases: Sequence[Case]) -> None:
        """Sets the threads to work; with few cases or one guest there are none."""
        guests = min(len(self._runners), len(cases) // MIN_CASES_PER_GUEST)
        if guests < 2:
            return
        self._futures = {case.id: Future() for case in cases}
        # Long ones first, or one of them is alone at the end. How long a case may take says
        # well enough which those are.
        longest_first = sorted(cases, key=lambda case: -case.timeout)
        for case in longest_first:
            self._waiting.append(replace(case, timeout=case.timeout * SHARED_FACTOR))
        for runner in self._runners[:guests]:
            threading.Thread(target=self._work, args=(runner,), daemon=True).start()

    def run(self, case: Case) -> ev.CaseFinished:
        """The record of a case, when it is there; its events are emitted now.

        Raises:
            HarnessError: whatever kept the case from being run.
        """
        if not self._futures:
            return self._runners[0].run(case, self._emit)
        self._emit(ev.CaseStarted(case.id, case.clauses))  # the screen says what it waits for
        seen = self._futures[case.id].result()
        for event in seen:
            if not isinstance(event, ev.CaseStarted):
                self._emit(event)
        record = seen[-1]
        assert isinstance(record, ev.CaseFinished)
        return record

    def stop(self) -> None:
        """No thread begins another case; what they are at ends with their guests."""
        self._waiting.clear()

    def _next(self) -> Case | None:
        try:
            return self._waiting.popleft()
        except IndexError:
            return None

    def _work(self, runner: CaseRunner) -> None:
        while case := self._next():
            seen: list[ev.Event] = []
            try:
                runner.run(case, seen.append)
            except BaseException as error:
                # For whoever asks for this case, or for one that now nobody begins.
                while case:
                    self._futures[case.id].set_exception(error)
                    case = self._next()
            else:
                self._futures[case.id].set_result(seen)
