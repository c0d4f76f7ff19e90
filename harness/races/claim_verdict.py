# SPDX-License-Identifier: GPL-2.0-only
"""What a claim comes to, and how it is told: on the screen, in claim.json, as a scenario."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from rich.markup import escape
from rich.table import Table

from harness.core.events import CaseFinished, CaseId, Status
from harness.core.rates import wilson
from harness.core.tables import plain_table
from harness.debugger.symbols import Symbols
from harness.races.batch import Batch
from harness.races.claimed_points import REVERSE, Order, Resolved
from harness.races.claims import Claim
from harness.races.scenario import Scenario

SCHEMA = 1
MAX_FRAMES = 14  # of a stack on the screen; the trace has all
Answer = Literal["strikes", "cannot be", "harmless as tried", "not reached"]
_STATUS: dict[Answer, Status] = {"strikes": "fail", "not reached": "skip"}


@dataclass(frozen=True)
class ChosenProgram:
    """Whose threads play the claim's. ``threads``: a column's title: the program's thread.

    ``unreached``: points that no run without an order came to. ``why``: it was chosen.
    """

    scenario: Scenario
    threads: Mapping[str, str]
    unreached: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class TriedOrder:
    """An order and its runs; ``order``: with the names of the program's threads."""

    order: Order
    batch: Batch

    @property
    def counted_splats(self) -> list[str]:
        """Titles of what the kernel said; not where a run went wrong: a held CPU is a stall."""
        return [] if self.batch.error else [splat.title for splat in self.batch.splats]

    @property
    def struck(self) -> bool:
        """Whether the program, or the kernel, saw the bad outcome."""
        return bool(self.batch.counts.hit or self.counted_splats)


@dataclass
class ClaimResult:
    """``asked``: runs of each order; ``reason``: why none was tried, where that is so.

    ``stacks``: of the threads where a lock was first in the way, a line each.
    """

    name: str
    claim: Claim
    asked: int
    resolved: Resolved
    program: ChosenProgram | None = None
    tried: list[TriedOrder] = field(default_factory=list)
    reason: str | None = None
    stacks: list[str] = field(default_factory=list)

    @property
    def answer(self) -> tuple[Answer, str]:
        """The answer, and what was seen. Only an order that was reached says anything."""
        for one in self.tried:
            if one.struck:
                return "strikes", self._seen(one)
        if self.resolved.lost:
            row, why = self.resolved.lost[0]
            return "not reached", f"'{row}': {why}"
        if self.reason is not None:
            return "not reached", self.reason
        claimed = [one for one in self.tried if one.order.name != REVERSE]
        reached = [one for one in claimed if one.batch.error is None]
        if not reached:
            errors = [f"{one.order.name}: {one.batch.error}" for one in claimed]
            by = f" (program {self.program.scenario.name})" if self.program else ""
            return "not reached", "; ".join(dict.fromkeys(errors)) + by
        first, counts = reached[0], reached[0].batch.counts
        if counts.excluded == counts.runs:
            who_waits = first.batch.runs[0].steps[-1].what
            return "cannot be", f"{_of(counts.runs, counts.runs)}: {who_waits}"
        more = f", and {counts.excluded} times a lock was in the way" if counts.excluded else ""
        reached_of = f"the order was reached {counts.miss} times of {counts.runs}"
        return "harmless as tried", f"{reached_of}{more}; bad outcomes: {_of(0, counts.runs)}"

    def _seen(self, one: TriedOrder) -> str:
        counts, titles = one.batch.counts, list(dict.fromkeys(one.counted_splats))
        remark = next((run.remark for run in one.batch.runs if run.ending == "hit"), None)
        bad = self.program.scenario.hit if self.program is not None and counts.hit else None
        seen = "; ".join(filter(None, (bad, remark, *titles)))
        return f"{_of(counts.hit, counts.runs)} runs, {one.order.name}: {seen}"

    def record(self, seconds: float) -> CaseFinished:
        """The claim as a test of the run."""
        answer, seen = self.answer
        status = _STATUS.get(answer, "pass")
        sides = tuple(f"{one.order.name}: {one.batch.counts}" for one in self.tried)
        why = f"{answer}: {seen}" if status != "pass" else ""
        return CaseFinished(
            CaseId("races", None, self.name), status, why, seconds, (), sides, self.claim.title
        )


def _of(part: int, whole: int) -> str:
    low, high = wilson(part, whole)
    return f"{part} of {whole} ({low:.0%} to {high:.0%})"


def stacks(batch: Batch, symbols: Symbols) -> list[str]:
    """The threads' stacks in the first excluded run, a line each, the callers to the right."""
    run = next((run for run in batch.runs if run.ending == "excluded"), None)
    if run is None:
        return []
    lines = []
    for one in run.steps[-1].cpus:
        if one.thread is not None:
            at = f"is held at {one.held_at}" if one.held_at else "waits"
            names = [frame.function for frame in one.stack.functions(symbols)]
            shown = " < ".join(names[:MAX_FRAMES]) or "in user space"
            more = " < ..." if len(names) > MAX_FRAMES else ""
            lines.append(f"{one.thread} {at}: {shown}{more}")
    return lines


def document(result: ClaimResult) -> dict[str, Any]:
    """``claim.json``."""
    answer, seen = result.answer
    program = result.program
    return {
        "schema": SCHEMA,
        "claim": result.claim.title,
        "kind": result.claim.kind,
        "answer": answer,
        "seen": seen,
        "points": [
            {"row": str(at.row), "place": str(at.place), "how": at.how or ""}
            for at in result.resolved.found
        ],
        "lost": [{"row": str(row), "why": why} for row, why in result.resolved.lost],
        "words": [str(row) for row in result.resolved.words],
        "program": program
        and {
            "name": program.scenario.name,
            "why": program.why,
            "threads": dict(program.threads),
            "unreached": list(program.unreached),
        },
        "stacks": result.stacks,
        "orders": [
            {
                "order": one.order.name,
                "points": list(map(str, one.order.points)),
                **asdict(one.batch.counts),
                "interval": [
                    round(b, 4) for b in wilson(one.batch.counts.hit, one.batch.counts.runs)
                ],
                "seconds": round(one.batch.seconds, 2),
                "splats": one.counted_splats,
                "error": str(one.batch.error or ""),
            }
            for one in result.tried
        ],
    }


def resolved_table(resolved: Resolved) -> Table:
    """What each row of the claim is in this kernel."""
    shown = plain_table("row", "point", "in this kernel")
    for at in resolved.found:
        where = f"{at.at.file}:{at.at.line}" if at.at.file else ""
        where += f", inlined into {', '.join(at.at.inlined_into)}" if at.at.inlined_into else ""
        what = "; ".join(filter(None, (where, at.how)))
        shown.add_row(escape(str(at.row)), escape(str(at.place)), escape(what))
    for row, why in resolved.lost:
        shown.add_row(escape(str(row)), "[red]no such place[/]", escape(why))
    for row in resolved.words:
        shown.add_row(escape(str(row)), "[dim]words[/]", "")
    return shown


def tried_table(tried: Sequence[TriedOrder]) -> Table:
    """How the runs of each order ended."""
    numbers = ("strikes", "95 %", "harmless", "excluded", "s")
    shown = plain_table("order", *numbers, "points", right=numbers, whole=numbers)
    for one in tried:
        counts = one.batch.counts
        low, high = wilson(counts.hit, counts.runs)
        shown.add_row(
            one.order.name,
            f"{counts.hit} of {counts.runs}",
            f"{low:.0%} to {high:.0%}" if counts.runs else "",
            *(str(counts.miss), str(counts.excluded), f"{one.batch.seconds:.1f}"),
            escape(", ".join(map(str, one.order.points))),
        )
    return shown
