# SPDX-License-Identifier: GPL-2.0-only
"""Random programs: Hypothesis draws numbers, and any numbers make a program.

So nothing is thrown away, and what Hypothesis shrinks, by leaving numbers out and making
them smaller, stays a program: number 0 is no step at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .steps import KEEP, LOOK_VMAS, PAGES, PROCESSES, Length, Op, Program, Rights, Step

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

# How often each step comes, beside NOTHING; the ones that show most come first, for what
# is shrunk moves towards the front.
WEIGHTS: tuple[tuple[Op, int], ...] = (
    (Op.LOOK, 1),
    (Op.READ, 3),
    (Op.WRITE, 4),
    (Op.MARK, 5),
    (Op.UNMARK, 5),
    (Op.PAGEOUT, 4),
    (Op.RECLAIM, 3),
    (Op.MPROTECT, 2),
    (Op.DONTNEED, 1),
    (Op.MUNMAP, 1),
    (Op.MMAP, 1),
    (Op.RESIZE, 1),
    (Op.MOVE, 2),
    (Op.FORK, 1),
    (Op.EXIT, 1),
)
KINDS: tuple[Op | None, ...] = (None, *(op for op, often in WEIGHTS for _ in range(often)))
RIGHTS = (Rights.WRITE, Rights.READ, Rights.NONE, Rights.WRITE)
CHANGES = (Op.MARK, Op.UNMARK, Op.MPROTECT, Op.MMAP, Op.MUNMAP, Op.MOVE, Op.RESIZE, Op.LOOK)
LONGEST = 32  # steps that are drawn

Raw = tuple[int, int, int, int, int, int]  # kind, who, page, count, to, more


def strategy() -> SearchStrategy[tuple[int, list[Raw]]]:
    """Draws the numbers of one program: which beginning, and its steps."""
    from hypothesis import strategies as st

    most = (len(KINDS) - 1, PROCESSES - 1, PAGES - 1, 7, PAGES - 1, 15)
    raw: SearchStrategy[Raw] = st.tuples(*(st.integers(0, end) for end in most))
    return st.tuples(st.integers(0, 3), st.lists(raw, min_size=12, max_size=LONGEST))


class _Builder:
    """Turns numbers into steps; it knows which processes there are at each moment."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.parents: dict[int, int] = {0: -1}

    def add(
        self, op: Op, who: int, page: int = 0, count: int = 0, to: int = 0, more: int = 0
    ) -> None:
        look = LOOK_VMAS if op in CHANGES else 0
        self.steps.append(Step(op, who, page, count, to, more, look))

    def begin(self, setup: int) -> None:
        """What most programs have before anything of interest can happen."""
        if setup:
            self.add(Op.MMAP, 0, 0, PAGES, more=Rights.WRITE)
        if setup > 1:
            self.add(Op.WRITE, 0, 0, PAGES // 2)
        if setup > 2:
            self.add(Op.MARK, 0, 2, PAGES // 2)

    def raw(self, numbers: Raw) -> None:
        kind, who, page, count, to, more = numbers
        op = KINDS[kind]
        who = sorted(self.parents)[who % len(self.parents)]
        room = PAGES - page
        if op in (Op.LOOK, Op.RECLAIM):
            self.add(op, who, count=4 << count % 4 if op is Op.RECLAIM else 0)
        elif op in (Op.READ, Op.WRITE):
            self.add(op, who, page, 1 + count % min(4, room))
        elif op in (Op.MARK, Op.UNMARK):
            length = {13: Length.ODD, 14: Length.UNALIGNED}.get(more, Length.EXACT)
            self.add(op, who, page, 0 if more == 15 else 1 + count % room, more=length)
        elif op in (Op.PAGEOUT, Op.DONTNEED, Op.MUNMAP):
            self.add(op, who, page, 1 + count % room)
        elif op in (Op.MPROTECT, Op.MMAP):
            self.add(op, who, page, 1 + count % room, more=RIGHTS[more % 4])
        elif op is Op.RESIZE:
            self.add(op, who, page, 1 + count % room, more=1 + more % room)
        elif op is Op.MOVE:
            self.move(who, page, 1 + count % min(6, room), to, more)
        elif op is Op.FORK:
            self.fork(who)
        elif op is Op.EXIT:
            self.exit(to)

    def move(self, who: int, page: int, count: int, to: int, more: int) -> None:
        size = count + (1 + more // 4 if more % 4 == 3 else 0)
        if to + size > PAGES or (page < to + size and to < page + count):
            return  # an error that has nothing to do with us
        keep = KEEP if more % 4 == 2 else 0
        self.add(Op.MOVE, who, page, count, to, size | keep)

    def fork(self, who: int) -> None:
        free = [one for one in range(PROCESSES) if one not in self.parents]
        if free:
            self.add(Op.FORK, who, to=free[0])
            self.parents[free[0]] = who

    def exit(self, to: int) -> None:
        """Its parent waits for it, so the youngest go first."""
        leaves = [one for one in self.parents if one and one not in self.parents.values()]
        if leaves:
            leaf = sorted(leaves)[to % len(leaves)]
            self.add(Op.EXIT, self.parents.pop(leaf), to=leaf)

    def finish(self) -> None:
        """In the end everybody looks at everything."""
        for who in sorted(self.parents):
            self.add(Op.LOOK, who)
            self.add(Op.READ, who, 0, PAGES)


def build(setup: int, numbers: Sequence[Raw]) -> Program:
    """The program that the numbers stand for."""
    builder = _Builder()
    builder.begin(setup)
    for one in numbers:
        builder.raw(one)
    builder.finish()
    return tuple(builder.steps)
