# SPDX-License-Identifier: GPL-2.0-only
"""Which orders a search tries, in which turn, and which it need not try.

First the program alone, then each thread held once while another one runs to its end, then two
and three changes of threads at random. What earlier tries have shown takes others away: a point
that a thread does not reach, or not while another one is held.
"""

from __future__ import annotations

import itertools
import random
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.races.claimed_points import ENDS
from harness.races.scenario import Point
from harness.races.trace import RaceRun
from harness.search.points import SearchPoint

MAX_RANDOM = 20_000  # orders of the last depth


@dataclass(frozen=True)
class OrderStep:
    """``thread`` goes on to its candidate of number ``at``, in order of arrival; None: its end."""

    thread: str
    at: int | None


# Threads go on in this turn; then all are let go.
SearchOrder = tuple[OrderStep, ...]


def depth(order: SearchOrder) -> int:
    """How many times a thread is held in the middle of its part."""
    return sum(step.at is not None for step in order)


def held(first: str, at: int, other: str) -> SearchOrder:
    """``first`` is held, and ``other`` runs to its end."""
    return OrderStep(first, at), OrderStep(other, None)


class OrderQueue:
    """The orders of a program, in turn; ``told`` learns from each try.

    Args:
        reached: each thread's candidates in the order of its arrivals.
        seed: of what is random.
    """

    def __init__(self, reached: Mapping[str, Sequence[SearchPoint]], seed: int) -> None:
        self.reached = {thread: list(points) for thread, points in reached.items()}
        self.skipped = 0
        self._random = random.Random(seed)
        self._next: deque[SearchOrder] = deque()
        # While a thread is held at a candidate, another gets no farther than to one of its own.
        self._limits: dict[tuple[str, int, str], int] = {}
        self._locked: dict[tuple[str, str], dict[int, str]] = {}  # by candidate: which lock
        self._never: set[OrderStep] = set()  # where a thread that goes first does not come
        self._orders = self._all()

    def points(self, order: SearchOrder) -> tuple[Point, ...]:
        """The points of a scenario with this order."""
        return tuple(
            Point(step.thread, ENDS)
            if step.at is None
            else self.reached[step.thread][step.at].point(step.thread)
            for step in order
        )

    def next(self) -> SearchOrder | None:
        """The next order to try; None: there is no other."""
        if self._next:
            return self._next.popleft()
        for order in self._orders:
            if not self._hopeless(order):
                return order
            self.skipped += 1
        return None

    def told(self, order: SearchOrder, run: RaceRun, stopped_at: int | None) -> None:
        """How a try ended. ``stopped_at``: the candidate before which the thread that waits is.

        The first thread may be the one: it comes no farther by itself, whoever stands elsewhere.
        """
        if not order or run.ending in ("hit", "miss", "error"):
            return
        first = order[0]
        waits = (run.remark or "").partition(" ")[0]  # of an order that was excluded, or waits
        if run.ending == "unreached" or waits == first.thread:
            if depth(order) == 1:
                self._never.add(first)
            return
        if depth(order) != 1 or first.at is None:
            return
        other = order[1].thread
        if stopped_at is not None:
            self._limits[first.thread, first.at, other] = stopped_at
        if run.ending == "excluded":
            self._locked.setdefault((first.thread, other), {})[first.at] = run.remark or ""
        elif stopped_at is not None:
            # It waits for the CPU that is held: then that one goes on, before it comes to wait.
            steps = (first, OrderStep(other, stopped_at), OrderStep(first.thread, None))
            self._next.append(steps)

    # ---- all of them ---------------------------------------------------------------------

    def _all(self) -> Iterator[SearchOrder]:
        yield ()
        pairs = list(itertools.permutations(self.reached, 2))
        once = [held(a, i, b) for a, b in pairs for i in range(len(self.reached[a]))]
        yield from self._shuffled(once)
        twice: list[SearchOrder] = [
            (OrderStep(a, i), OrderStep(b, j), OrderStep(a, None))
            for a, b in pairs
            for i in range(len(self.reached[a]))
            for j in range(len(self.reached[b]))
        ]
        yield from self._shuffled(twice)
        yield from self._of_three([(a, b) for a, b in pairs if len(self.reached[a]) > 1])

    def _of_three(self, pairs: Sequence[tuple[str, str]]) -> Iterator[SearchOrder]:
        seen: set[SearchOrder] = set()
        for _ in range(MAX_RANDOM if pairs else 0):
            a, b = self._random.choice(pairs)
            if self.reached[b]:
                i, k = sorted(self._random.sample(range(len(self.reached[a])), 2))
                j = self._random.randrange(len(self.reached[b]))
                order = OrderStep(a, i), OrderStep(b, j), OrderStep(a, k), OrderStep(b, None)
                if order not in seen:
                    seen.add(order)
                    yield order

    def _shuffled(self, orders: list[SearchOrder]) -> list[SearchOrder]:
        """At random, those first that are about what was asked for."""
        self._random.shuffle(orders)
        return sorted(orders, key=self._distance)

    def _distance(self, order: SearchOrder) -> int:
        ranks = {"asked": 0, "changed": 1, "called": 2}
        return sum(
            ranks[self.reached[step.thread][step.at].origin]
            for step in order
            if step.at is not None
        )

    # ---- what need not be tried ------------------------------------------------------------

    def _hopeless(self, order: SearchOrder) -> bool:
        if not order:
            return False
        first, second = order[:2]
        if first in self._never or first.at is None:
            return True
        if second.at is None:
            return self._in_the_way(first.thread, first.at, second.thread)
        limit = self._limits.get((first.thread, first.at, second.thread))
        return limit is not None and second.at > limit

    def _in_the_way(self, thread: str, at: int, other: str) -> bool:
        """Whether a lock is held from a candidate before this one to one behind it.

        It is taken for held where the other waited at the same place for both, and where in
        between no lock is given back that could be it.
        """
        locked = self._locked.get((thread, other), {})
        before = max((i for i in locked if i < at), default=None)
        behind = min((i for i in locked if i > at), default=None)
        if before is None or behind is None or locked[before] != locked[behind]:
            return False
        between = self.reached[thread][before:behind]
        return not any(p.kind == "lock" and "unlock" in p.place.text for p in between)
