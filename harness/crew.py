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
from concurrent.futures import Future, wait

from harness import events as ev
from harness.lab import Lab
from harness.programs import Case

MOST = 4  # guests; a suite of seconds is not worth more
FEW = 8  # cases a guest: below this a second one takes longer to start than it saves
ALONE = "alone"  # a case that needs this measures time and wants no neighbours

# A case may keep both CPUs of its guest busy, and so may its neighbour's: where there
# is one CPU a guest, either then takes twice as long as alone.
SHARED_FACTOR = 2.0


def at_once(jobs: int) -> int:
    """How many guests share the cases of a suite, with ``jobs`` CPUs to use."""
    return min(jobs, MOST)


class Crew:
    """Runs the cases of one suite on ``labs``, a guest each.

    ``begin`` names the cases; after it ``run`` must be called for them in the same
    order. ``stop`` keeps the threads from beginning another case.
    """

    def __init__(self, events: ev.Events, labs: Sequence[Lab]) -> None:
        self._events = events
        self._labs = labs
        self._waiting: deque[Case] = deque()
        self._futures: dict[str, Future[list[ev.Event]]] = {}
        self._stopped = False

    def begin(self, cases: Sequence[Case]) -> None:
        """Sets the threads to work; with few cases or one guest there are none."""
        hands = min(len(self._labs), len(cases) // FEW)
        if hands < 2:
            return
        shared = [case for case in cases if ALONE not in case.needs]
        self._futures = {case.id: Future() for case in shared}
        # Long ones first, or one of them is alone at the end. How long a case may take says
        # well enough which those are.
        self._waiting.extend(sorted(shared, key=lambda case: -case.timeout))
        for lab in self._labs[:hands]:
            lab.factor *= SHARED_FACTOR
            threading.Thread(target=self._work, args=(lab,), daemon=True).start()

    def run(self, case: Case) -> ev.CaseFinished:
        """The record of a case, when it is there; its events are emitted now.

        Raises:
            HarnessError: whatever kept the case from being run.
        """
        future = self._futures.get(case.id)
        if future is None:
            wait(self._futures.values())
            return self._labs[0].run(case)
        self._events.emit(
            ev.CaseStarted(case.id, case.clauses)
        )  # the screen says what it waits for
        seen = future.result()
        for event in seen:
            if not isinstance(event, ev.CaseStarted):
                self._events.emit(event)
        record = seen[-1]
        assert isinstance(record, ev.CaseFinished)
        return record

    def stop(self) -> None:
        """No thread begins another case; what they are at ends with their guests."""
        self._stopped = True

    def _work(self, lab: Lab) -> None:
        while not self._stopped:
            try:
                case = self._waiting.popleft()
            except IndexError:
                return
            seen: list[ev.Event] = []
            lab.events = ev.Events([seen.append])
            try:
                lab.run(case)
            except BaseException as error:
                # Handed to whoever asks for this case, and then nobody asks for later ones.
                self._stopped = True
                self._futures[case.id].set_exception(error)
            else:
                self._futures[case.id].set_result(seen)
