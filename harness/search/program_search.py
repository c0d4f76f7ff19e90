# SPDX-License-Identifier: GPL-2.0-only
"""The search with one program on one kernel: who comes where, the tries, the smallest order."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.races.batch import StressTotals, controlled
from harness.races.guests import KernelGuests
from harness.races.scenario import Point, Scenario
from harness.races.trace import Ending, RaceRun
from harness.search.orders_to_try import OrderQueue, OrderStep, SearchOrder, depth
from harness.search.points import SearchedCode, SearchPoint
from harness.search.prober import Prober

SURE = 3  # runs of a smaller order, all of which must strike


@dataclass(frozen=True)
class FoundOrder:
    """An order that strikes: ``hits`` of ``runs``. ``points``: as a scenario has them.

    ``tries``, ``seconds``: until it struck first. ``seen``: what was seen of it.
    """

    points: tuple[Point, ...]
    hits: int
    runs: int
    tries: int
    seconds: float
    seen: str


@dataclass
class ProgramSearch:
    """What a search does and finds.

    Args:
        runs: of an order that has struck, for its rate.
        reached: the candidates that each thread comes to, in the order of its arrivals.
        endings: how the tries ended, counted.
        errors: why tries had to be given up, counted; a check of the program's own among them.
        once: orders that have struck and did not again; where nobody is held, that says little.
        written: the scenario of what was found; ``repeated``: plain repetition beside it.
    """

    on: KernelGuests
    scenario: Scenario
    code: SearchedCode
    runs: int
    seed: int
    reached: dict[str, list[SearchPoint]] = field(default_factory=dict)
    endings: Counter[Ending] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    found: FoundOrder | None = None
    once: list[tuple[Point, ...]] = field(default_factory=list)
    skipped: int = 0
    seconds: float = 0.0
    reach_seconds: float = 0.0
    written: Path | None = None
    repeated: StressTotals | None = None

    @property
    def answer(self) -> str:
        """What it has come to, in words."""
        if self.found is not None:
            rate = f"{self.found.hits} of {self.found.runs}"
            return f"try {self.found.tries}, {self.found.seconds:.0f} s, strikes {rate}"
        if not self.tries:
            return "not tried: " + next(iter(self.errors), "no thread comes there")
        return f"nothing in {self.tries} tries"

    @property
    def tries(self) -> int:
        """Orders that were tried."""
        return sum(self.endings.values())

    def reach(self) -> None:
        """Finds the candidates that each thread comes to; a RaceError where the program fails."""
        entries = self.code.entries
        at = {address: name for name, where in entries.items() for address in where.addresses}
        seen = self._watch(at)
        names = {at[address] for addresses in seen.values() for address in addresses}
        points = {at: point for point in self.code.points(names) for at in point.at.addresses}
        for thread, addresses in self._watch(points).items():
            self.reached[thread] = list(dict.fromkeys(points[at] for at in addresses))

    def _watch(self, addresses: Mapping[int, object]) -> dict[str, list[int]]:
        """Which of the addresses each thread comes to; each begins first once."""
        batch = controlled(
            self.on, self.scenario, (), len(self.scenario.threads), watched=frozenset(addresses)
        )
        if batch.error is not None:
            raise batch.error
        return batch.seen

    def search(self, budget_s: float, progress: Callable[[int], None]) -> None:
        """Tries orders until one strikes more than once, or the time is up.

        ``progress`` hears of each try. Errors as of ``Prober.attempt``.
        """
        start = time.monotonic()
        queue = OrderQueue(self.reached, self.seed)
        prober = Prober(self.on, self.scenario)
        try:
            while self.found is None and time.monotonic() - start < budget_s:
                if (order := queue.next()) is None:
                    break
                tried = prober.attempt(queue.points(order))
                queue.told(order, tried.run, self._stopped_at(tried.run))
                self.endings[tried.run.ending] += 1
                self.seconds, self.skipped = time.monotonic() - start, queue.skipped
                if tried.run.ending == "error":
                    self.errors[tried.run.remark or ""] += 1
                progress(self.tries)
                if tried.struck:
                    self._settle(prober, queue, order, tried.said or self.scenario.hit)
        finally:
            prober.close()

    def _stopped_at(self, run: RaceRun) -> int | None:
        """The candidate in which the thread that waits is, by its stack."""
        if run.ending not in ("excluded", "waits") or not run.steps:
            return None
        symbols = self.on.symbols
        assert symbols is not None  # of the kernels of a controlled scenario
        name = (run.remark or "").partition(" ")[0]
        waits = next((cpu.stack for cpu in run.steps[-1].cpus if cpu.thread == name), None)
        frames = waits.functions(symbols) if waits else []
        lines = {(f.function, f.line) for f in frames}
        functions = {f.function for f in frames}
        inside = [
            number
            for number, point in enumerate(self.reached.get(name, []))
            if (point.place.function, point.at.line) in lines
            or (point.place.kind == "entry" and point.place.function in functions)
        ]
        return max(inside, default=None)

    def _settle(self, prober: Prober, queue: OrderQueue, order: SearchOrder, seen: str) -> None:
        """An order has struck once: its rate, and the smallest that strikes as well."""
        tries, seconds = self.tries, self.seconds
        smallest = order
        while (smaller := self._smaller(prober, queue, smallest)) is not None:
            smallest = smaller
        points = queue.points(smallest)
        hits = sum(prober.attempt(points).struck for _ in range(self.runs))
        if hits:
            self.found = FoundOrder(points, hits, self.runs, tries, seconds, seen)
        else:
            self.once.append(points)

    def _smaller(self, prober: Prober, queue: OrderQueue, order: SearchOrder) -> SearchOrder | None:
        """The order with a point less, where that strikes as surely; None: there is none."""
        for number, step in enumerate(order):
            if step.at is None:
                continue
            fewer = order[:number] + order[number + 1 :]
            if number and number + 1 < len(order):  # it runs to its end instead
                fewer = (*order[:number], OrderStep(step.thread, None))
            if not depth(fewer):
                continue
            points = queue.points(fewer)
            if all(prober.attempt(points).struck for _ in range(SURE)):
                return fewer
        return None
