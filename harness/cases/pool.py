# SPDX-License-Identifier: GPL-2.0-only
"""Several guests at once: cases run side by side, their records come back in order.

A case keeps one virtual CPU busy most of the time, so with two guests a suite takes
little more than half as long. Each guest belongs to one thread. What a thread has
to say of a case is kept until the case's turn comes, so that screen, log and
results read as if the cases had run one after the other.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import TypeVar

from harness.cases.runner import CaseRunner
from harness.core import events as ev
from harness.image.programs import Case

T = TypeVar("T")
R = TypeVar("R")

MAX_GUESTS = 4  # a suite of seconds is not worth more
MIN_CASES_PER_GUEST = 8  # below this a second guest takes longer to start than it saves

# A case may keep both CPUs of its guest busy, and so may its neighbour's: where there
# is one CPU a guest, either then takes twice as long as alone.
SHARED_FACTOR = 2.0


def at_once(jobs: int) -> int:
    """How many guests share the cases of a suite, with ``jobs`` CPUs to use."""
    return min(jobs, MAX_GUESTS)


def shared_out(
    items: Sequence[T], workers: Sequence[Callable[[T], R]], order: Callable[[T], float]
) -> Generator[tuple[T, Future[R]], None, None]:
    """Gives the items to the workers, a thread each; each item with what becomes of it.

    They come back as they stand in ``items``, and are begun in the order of ``order``, least
    first. Once a worker has raised an error no other item is begun: the error is that of all that
    are left. Nor is one when this iterator is closed.
    """
    waiting = deque(sorted(range(len(items)), key=lambda number: order(items[number])))
    futures: list[Future[R]] = [Future() for _ in items]

    def begun() -> int | None:
        try:
            return waiting.popleft()
        except IndexError:
            return None

    def work(worker: Callable[[T], R]) -> None:
        while (number := begun()) is not None:
            try:
                result = worker(items[number])
            except BaseException as error:
                # For whoever asks for this item, or for one that now nobody begins.
                left: int | None = number
                while left is not None:
                    futures[left].set_exception(error)
                    left = begun()
            else:
                futures[number].set_result(result)

    for worker in workers:
        threading.Thread(target=work, args=(worker,), daemon=True).start()
    try:
        yield from zip(items, futures, strict=True)
    finally:
        waiting.clear()


class _Limit:
    """Says of a case whether it is begun, once so many have broken that no other is.

    What has been announced to the screen is begun all the same. ``ran``: how many have ended.
    """

    def __init__(self, most: int | None) -> None:
        self._most, self._broken, self.ran = most, 0, 0
        self._announced: Case | None = None
        self._lock = threading.Lock()

    @property
    def _reached(self) -> bool:
        return self._most is not None and self._broken >= self._most

    def announce(self, case: Case) -> bool:
        """Whether the case is begun, if it was not yet."""
        with self._lock:
            if not self._reached:
                self._announced = case
            return not self._reached

    def begins(self, case: Case) -> bool:
        """Whether its turn may begin."""
        with self._lock:
            return not self._reached or case is self._announced

    def count(self, record: ev.CaseFinished) -> None:
        """Counts a case that ends, when it does: its turn on the screen may come much later."""
        with self._lock:
            self.ran += 1
            self._broken += record.status in ev.BROKEN


def run_shared(
    cases: Sequence[Case],
    runners: Sequence[CaseRunner],
    emit: ev.Consumer,
    most: int | None = None,
    *,
    in_order: bool = False,
) -> int:
    """Runs the cases on ``runners``, a guest each, and says how many; the first has all of few.

    Args:
        most: after so many that broke no other is begun; None: all are run.
        in_order: they are begun as they stand here, not long ones first.

    Raises:
        HarnessError: whatever kept a case from being run, when its turn comes. No thread
            begins another case then; what they are at ends with their guests.
    """
    limit = _Limit(most)
    guests = min(len(runners), len(cases) // MIN_CASES_PER_GUEST)
    if guests < 2:
        for case in cases:
            if limit.begins(case):
                limit.count(runners[0].run(case, emit))
        return limit.ran

    def worker(runner: CaseRunner) -> Callable[[Case], list[ev.Event]]:
        def work(case: Case) -> list[ev.Event]:
            seen: list[ev.Event] = []
            if limit.begins(case):
                longer = replace(case, timeout=case.timeout * SHARED_FACTOR)
                limit.count(runner.run(longer, seen.append))
            return seen

        return work

    # Long ones first, or one of them is alone at the end. How long a case may take says
    # well enough which those are.
    workers = [worker(runner) for runner in runners[:guests]]
    shared = shared_out(cases, workers, lambda case: 0.0 if in_order else -case.timeout)
    with contextlib.closing(shared):
        for case, seen in shared:
            announced = limit.announce(case)
            if announced:  # the screen says what it waits for
                emit(ev.CaseStarted(case.id, case.clauses))
            for event in seen.result():
                if not (announced and isinstance(event, ev.CaseStarted)):
                    emit(event)
    return limit.ran
