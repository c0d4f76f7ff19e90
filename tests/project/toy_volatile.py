# SPDX-License-Identifier: GPL-2.0-only
"""A kernel with volatile ranges in some lines of Python, for tests of the model.

It answers the requests that the model's driver sends to a guest. It purges whatever it may
at each reclaim, joins all VMAs that are alike, and can be given a mistake.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field

from patches.volatile.model.steps import (
    KEEP,
    LOOK_PAGES,
    LOOK_VMAS,
    PAGES,
    Access,
    End,
    Length,
    Op,
    Outcome,
    Program,
    Record,
    Rights,
    Seen,
    Step,
    Where,
    tag,
)

MISTAKES = (
    "purged-not-told",
    "hole-overlooked",
    "length-rounded-down",
    "zeros-instead-of-sigbus",
    "entries-stay",
    "flag-stays",
    "fork-loses-entries",
    "mremap-loses-entries",
    "marking-again-forgets",
    "marking-drops-pages",
    "one-vote-is-enough",
    "never-merges",
    "mincore-says-resident",
    "swaps-instead",
)


@dataclass(eq=False)
class Cell:
    """What a page holds; shared after fork()."""

    number: int
    purged: bool = False


@dataclass
class ToyPage:
    rights: Rights
    volatile: bool = False
    cell: Cell | None = None
    read: bool = False


@dataclass
class ToyKernel:
    """Runs one program."""

    mistake: str = ""
    processes: dict[int, list[ToyPage | None]] = field(default_factory=lambda: {0: [None] * PAGES})
    borders: dict[int, set[int]] = field(default_factory=lambda: {0: set()})

    def run(self, program: Program) -> Outcome:
        return Outcome(End.OK, tuple(self._step(i, step) for i, step in enumerate(program)))

    def _step(self, index: int, step: Step) -> Record:
        accesses: tuple[tuple[Access, int], ...] = ()
        result = 0
        if step.op in (Op.READ, Op.WRITE):
            accesses = tuple(self._access(index, step, place) for place in step.pages)
        else:
            result = getattr(self, f"_{step.op.name.lower()}")(step)
        pages = self.processes[step.who]
        seen: tuple[Seen, ...] = ()
        where: tuple[Where, ...] = ()
        if step.look & LOOK_VMAS:
            seen = tuple(self._seen(step.who, place) for place in range(PAGES))
        if step.look & (LOOK_VMAS | LOOK_PAGES):
            where = tuple(map(self._where, pages))
        return Record(result, accesses, seen, where)

    def _seen(self, who: int, place: int) -> Seen:
        pages = self.processes[who]
        page, below = pages[place], pages[place - 1] if place else None
        if page is None:
            return Seen(0)
        seen = Seen.MAPPED | (Seen.VOLATILE if page.volatile else Seen(0))
        seen |= Seen.READ if page.rights >= Rights.READ else Seen(0)
        seen |= Seen.WRITE if page.rights is Rights.WRITE else Seen(0)
        differs = below is None or (below.rights, below.volatile) != (page.rights, page.volatile)
        stays = self.mistake == "never-merges" and place in self.borders[who]
        if differs:
            self.borders[who].add(place)
        return seen | (Seen.BORDER if differs or stays else Seen(0))

    def _where(self, page: ToyPage | None) -> Where:
        if page is not None and page.cell is not None:
            if not page.cell.purged:
                return Where.PRESENT | Where.IN_CORE
            return Where.IN_CORE if self.mistake == "mincore-says-resident" else Where(0)
        return Where.PRESENT | Where.IN_CORE if page is not None and page.read else Where(0)

    def _sharers(self, cell: Cell) -> list[ToyPage]:
        return [p for pages in self.processes.values() for p in pages if p and p.cell is cell]

    def _access(self, index: int, step: Step, place: int) -> tuple[Access, int]:
        page, write = self.processes[step.who][place], step.op is Op.WRITE
        if page is None:
            return Access.UNMAPPED, 0
        if page.rights < (Rights.WRITE if write else Rights.READ):
            return Access.FORBIDDEN, 0
        if page.cell is not None and page.cell.purged:
            if self.mistake != "zeros-instead-of-sigbus":
                return Access.BUS, 0
            page.cell = None
        if write:
            number = tag(index, place - step.page)
            if page.cell is None or len(self._sharers(page.cell)) > 1:
                page.cell = Cell(number)
            page.cell.number = number
            return Access.TAG, number
        if page.cell is None:
            page.read = True
            return Access.ZERO, 0
        return Access.TAG, page.cell.number

    def _range(self, step: Step) -> list[ToyPage | None]:
        return self.processes[step.who][step.page : step.page + step.count]

    def _look(self, _: Step) -> int:
        return 0

    def _hole(self, step: Step) -> int:
        return -errno.ENOMEM if None in self._range(step) else 0

    def _change(self, step: Step, volatile: bool) -> list[ToyPage] | int:
        if step.more == Length.UNALIGNED:
            return -errno.EINVAL
        hole = self._hole(step)
        if hole and self.mistake != "hole-overlooked":
            return hole
        pages = [page for page in self._range(step) if page]
        if step.more == Length.ODD and self.mistake == "length-rounded-down":
            pages = pages[:-1]
        for page in pages:
            again = volatile and page.volatile and page.cell and page.cell.purged
            if again and self.mistake == "marking-again-forgets":
                page.cell = None
            if volatile and self.mistake == "marking-drops-pages":
                page.cell, page.read = None, False
            page.volatile = volatile or (page.volatile and self.mistake == "flag-stays")
        return pages

    def _mark(self, step: Step) -> int:
        pages = self._change(step, True)
        return pages if isinstance(pages, int) else 0

    def _unmark(self, step: Step) -> int:
        pages = self._change(step, False)
        if isinstance(pages, int):
            return pages
        gone = [page for page in pages if page.cell and page.cell.purged]
        for page in gone:
            if self.mistake != "entries-stay":
                page.cell, page.read = None, False
        return 0 if self.mistake == "purged-not-told" else int(bool(gone))

    def _purge(self, page: ToyPage | None) -> None:
        if page is None or page.cell is None or self.mistake == "swaps-instead":
            return
        votes = [sharer.volatile for sharer in self._sharers(page.cell)]
        if all(votes) or (any(votes) and self.mistake == "one-vote-is-enough"):
            page.cell.purged = True

    def _pageout(self, step: Step) -> int:
        for page in self._range(step):
            if page and page.cell and len(self._sharers(page.cell)) == 1:
                self._purge(page)
        return self._hole(step)

    def _reclaim(self, _: Step) -> int:
        for pages in self.processes.values():
            for page in pages:
                self._purge(page)
        return 0

    def _mprotect(self, step: Step) -> int:
        for page in self._range(step):
            if page is None:
                break
            page.rights = Rights(step.more)
        return self._hole(step)

    def _mmap(self, step: Step) -> int:
        for place in step.pages:
            self.processes[step.who][place] = ToyPage(Rights(step.more))
        return 0

    def _munmap(self, step: Step) -> int:
        for place in step.pages:
            self.processes[step.who][place] = None
        return 0

    def _dontneed(self, step: Step) -> int:
        for page in self._range(step):
            if page:
                page.cell, page.read = None, False
        return self._hole(step)

    def _one_vma(self, step: Step) -> bool:
        pages = self._range(step)
        first = pages[0]
        return first is not None and all(
            p and (p.rights, p.volatile) == (first.rights, first.volatile) for p in pages
        )

    def _move(self, step: Step) -> int:
        pages, size = self.processes[step.who], step.more & ~KEEP
        if pages[step.page] is None:
            return -errno.EFAULT
        pages[step.to : step.to + size] = [None] * size
        if not self._one_vma(step):
            return -errno.EFAULT
        for offset in range(size):
            source = pages[step.page + min(offset, step.count - 1)]
            assert source is not None
            there = ToyPage(source.rights, source.volatile)
            if offset < step.count:
                there.cell, there.read = source.cell, source.read
                if source.cell and source.cell.purged and self.mistake == "mremap-loses-entries":
                    there.cell = None
            pages[step.to + offset] = there
        for place in step.pages:
            page = pages[place]
            assert page is not None
            keep = step.more & KEEP
            pages[place] = ToyPage(page.rights, page.volatile) if keep else None
        return 0

    def _resize(self, step: Step) -> int:
        pages, end = self.processes[step.who], step.page + step.count
        if pages[step.page] is None:
            return -errno.EFAULT
        if step.more <= step.count:
            pages[step.page + step.more : end] = [None] * (step.count - step.more)
            return 0
        if not self._one_vma(step):
            return -errno.EFAULT
        if any(pages[end : step.page + step.more]):
            return -errno.ENOMEM
        last = pages[end - 1]
        assert last is not None
        for place in range(end, step.page + step.more):
            pages[place] = ToyPage(last.rights, last.volatile)
        return 0

    def _fork(self, step: Step) -> int:
        child: list[ToyPage | None] = []
        for page in self.processes[step.who]:
            copy = ToyPage(page.rights, page.volatile, page.cell, page.read) if page else None
            if copy and copy.cell and copy.cell.purged and self.mistake == "fork-loses-entries":
                copy.cell = None
            child.append(copy)
        self.processes[step.to] = child
        self.borders[step.to] = set(self.borders[step.who])
        return 0

    def _exit(self, step: Step) -> int:
        del self.processes[step.to]
        return 0


def to_wire(program: Program, outcome: Outcome) -> bytes:
    """What the interpreter in the guest would answer for one program."""
    data = bytearray()
    for record in outcome.records:
        data += record.result.to_bytes(2, "little", signed=True)
        for what, number in record.accesses:
            data += bytes((what, number & 0xFF, number >> 8))
        data += bytes(record.seen) + bytes(record.where)
    return bytes((outcome.end,)) + len(data).to_bytes(2, "little") + bytes(data)


def from_wire(request: str) -> list[Program]:
    """The programs of a request, as the interpreter reads them."""
    word, _, data = request.split(" ")
    assert word == "go"
    raw, programs = bytes.fromhex(data), []
    while raw:
        size = 1 + 6 * raw[0]
        steps = [raw[at : at + 6] for at in range(1, size, 6)]
        programs.append(
            tuple(Step(Op(s[0] & 0x3F), s[1], s[2], s[3], s[4], s[5], s[0] & 0xC0) for s in steps)
        )
        raw = raw[size:]
    return programs


def ask(mistake: str, request: str) -> str:
    """A guest's answer to a request."""
    programs = from_wire(request)
    return b"".join(to_wire(p, ToyKernel(mistake).run(p)) for p in programs).hex()
