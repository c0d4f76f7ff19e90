# SPDX-License-Identifier: GPL-2.0-only
"""The model: what each call promises to do (contract.md), and whether it did.

Purging is chance, except where the contract says otherwise: a page that reclaim may
have taken is *perhaps purged* until somebody looks, and all that is seen later must
agree with what was seen then. What mmap(), mprotect(), mremap() and munmap() do beside
the contract is what Linux does: half of a call that meets a hole may be done.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace

from .looks import (
    DivergedError,
    Kind,
    look_at_pages,
    look_at_vmas,
    resolve_by_sight,
    wanted_borders,
)
from .state import Frame, Page, Process, State, new_anon
from .steps import KEEP, PAGES, Access, Length, Op, Program, Record, Rights, Step, tag


@dataclass
class Counts:
    """What a number of programs came to. Splits and merges are those of marking."""

    programs: int = 0
    steps: int = 0
    purges: int = 0
    nonvolatile_0: int = 0
    nonvolatile_1: int = 0
    sigbus: int = 0
    forks: int = 0
    splits: int = 0
    merges: int = 0

    def add(self, other: Counts) -> None:
        """Adds those of other programs."""
        for name in (f.name for f in fields(self)):
            setattr(self, name, getattr(self, name) + getattr(other, name))


class World:
    """The processes of one program, from its first step to its last."""

    def __init__(self) -> None:
        self.processes: dict[int, Process] = {0: Process(-1)}
        self.counts = Counts(programs=1)
        self._calls: dict[Op, Callable[[int, Step, Record], int]] = {
            Op.LOOK: self._nothing,
            Op.READ: self._read,
            Op.WRITE: self._write,
            Op.MARK: self._mark,
            Op.UNMARK: self._unmark,
            Op.PAGEOUT: self._pageout,
            Op.RECLAIM: self._reclaim,
            Op.MPROTECT: self._mprotect,
            Op.MMAP: self._mmap,
            Op.MUNMAP: self._munmap,
            Op.DONTNEED: self._dontneed,
            Op.MOVE: self._move,
            Op.RESIZE: self._resize,
            Op.FORK: self._fork,
            Op.EXIT: self._exit,
        }

    def step(self, index: int, step: Step, record: Record) -> None:
        """Compares the ``index``-th step of a program with what became of it.

        Raises:
            DivergedError: the kernel did something else than the contract says.
        """
        self.counts.steps += 1
        wanted = self._calls[step.op](index, step, record)
        if step.op is not Op.RECLAIM and record.result != wanted:
            raise DivergedError(Kind.RESULT, -1, wanted, record.result)
        if record.seen:
            process = self.processes[step.who]
            gone = wanted_borders(process, step) if not record.result < 0 else set()
            before = len(process.runs())
            look_at_vmas(process, record)
            if step.op in (Op.MARK, Op.UNMARK):
                more = len(process.runs()) - before
                self.counts.splits += max(more, 0)
                self.counts.merges += max(-more, 0)
            if left := sorted(gone & process.borders):
                raise DivergedError(Kind.BORDER, left[0], "none", "one")
        if record.where:
            look_at_pages(self.processes[step.who], record, self._settle)

    # ---- frames ---------------------------------------------------------------

    def _sharers(self, frame: Frame) -> list[Page]:
        return [
            page
            for process in self.processes.values()
            for page in process.pages
            if page is not None and page.frame is frame
        ]

    def _settle(self, frame: Frame, purged: bool) -> None:
        """Now it is known what became of a frame."""
        frame.state = State.PURGED if purged else State.INTACT
        self.counts.purges += purged

    def _mapped(self, step: Step) -> Iterator[Page]:
        pages = self.processes[step.who].pages
        return (page for place in step.pages if (page := pages[place]) is not None)

    def _hole(self, step: Step) -> int:
        """-ENOMEM if a page of the range is not mapped, else 0."""
        pages = self.processes[step.who].pages
        return -errno.ENOMEM if any(pages[place] is None for place in step.pages) else 0

    # ---- accesses ----------------------------------------------------------------

    def _nothing(self, _index: int, _step: Step, _record: Record) -> int:
        return 0

    def _read(self, _index: int, step: Step, record: Record) -> int:
        pages = self.processes[step.who].pages
        for place, (what, number) in zip(step.pages, record.accesses, strict=True):
            page = pages[place]
            frame = self._access(place, page, what, write=False)
            if what is Access.TAG and frame is not None and number != frame.tag:
                raise DivergedError(Kind.CONTENTS, place, frame.tag, number)
            if page is not None and what is Access.ZERO:
                page.read = True
        return 0

    def _write(self, index: int, step: Step, record: Record) -> int:
        process = self.processes[step.who]
        for place, (what, _) in zip(step.pages, record.accesses, strict=True):
            page = process.pages[place]
            frame = self._access(place, page, what, write=True)
            if page is None or what is not Access.TAG:
                continue
            number = tag(index, place - step.page)
            if frame is None or len(self._sharers(frame)) > 1:
                page.frame = Frame(number)
            else:
                frame.tag = number
            if not page.anon and not process.forked:
                _give_anon(process, place)
        return 0

    def _access(self, place: int, page: Page | None, what: Access, *, write: bool) -> Frame | None:
        """Checks one access; settles what was not known of the page's frame."""
        frame = page.frame if page is not None else None
        wanted: tuple[Access, ...]
        if page is None:
            wanted = (Access.UNMAPPED,)
        elif page.rights < (Rights.WRITE if write else Rights.READ):
            wanted = (Access.FORBIDDEN,)
        elif frame is None:
            wanted = (Access.TAG if write else Access.ZERO,)
        elif frame.state is State.PURGED:
            wanted = (Access.BUS,)
        elif frame.state is State.MAYBE:
            wanted = (Access.BUS, Access.TAG)
        else:
            wanted = (Access.TAG,)
        if what not in wanted:
            names = " or ".join(one.name for one in wanted)
            raise DivergedError(Kind.WRITE if write else Kind.READ, place, names, what.name)
        self.counts.sigbus += what is Access.BUS
        if frame is not None and frame.state is State.MAYBE and what is not Access.FORBIDDEN:
            self._settle(frame, what is Access.BUS)
        return frame

    # ---- marking ------------------------------------------------------------------

    def _mark(self, _index: int, step: Step, _record: Record) -> int:
        return self._change(step, volatile=True)

    def _unmark(self, _index: int, step: Step, record: Record) -> int:
        if (error := self._change(step, volatile=False)) or not step.count:
            return error
        if step.more == Length.UNALIGNED:
            return error
        purged = False
        for place in step.pages:
            page = self.processes[step.who].pages[place]
            assert page is not None
            if page.frame is None:
                continue
            if page.frame.state is State.MAYBE:
                resolve_by_sight(page.frame, record.where[place], self._settle)
            if page.frame.state is State.PURGED:
                purged = True
                page.frame, page.read = None, False
        self.counts.nonvolatile_1 += purged
        self.counts.nonvolatile_0 += not purged
        return int(purged)

    def _change(self, step: Step, *, volatile: bool) -> int:
        if step.more == Length.UNALIGNED:
            return -errno.EINVAL
        if error := self._hole(step):
            return error
        changed = [page.volatile != volatile for page in self._mapped(step)]
        for page in self._mapped(step):
            page.volatile = volatile
        self._made_borders(step, changed)
        return 0

    def _made_borders(self, step: Step, changed: list[bool]) -> None:
        """A border is made where a page changes and its neighbour outside does not."""
        may = self.processes[step.who].may_border
        if changed and changed[0]:
            may.add(step.page)
        if changed and changed[-1]:
            may.add(step.page + len(changed))

    # ---- reclaim --------------------------------------------------------------------

    def _pageout(self, _index: int, step: Step, _record: Record) -> int:
        for page in self._mapped(step):
            if page.frame is not None:
                sharers = self._sharers(page.frame)
                self._reclaim_frame(page.frame, sharers, sure=len(sharers) == 1)
        return self._hole(step)

    def _reclaim(self, _index: int, _step: Step, _record: Record) -> int:
        for process in self.processes.values():
            for page in process.pages:
                if page is not None and page.frame is not None:
                    self._reclaim_frame(page.frame, self._sharers(page.frame), sure=False)
        return 0

    def _reclaim_frame(self, frame: Frame, sharers: list[Page], *, sure: bool) -> None:
        """It may be purged if all who have it agree; ``sure``: if it was not in swap, it is."""
        if frame.state is not State.INTACT:
            return
        if all(page.volatile for page in sharers):
            if sure and frame.pristine:
                self._settle(frame, purged=True)
                return
            frame.state = State.MAYBE
        frame.pristine = False

    # ---- mappings ---------------------------------------------------------------------

    def _mprotect(self, _index: int, step: Step, _record: Record) -> int:
        """Up to the first hole it is done."""
        pages = self.processes[step.who].pages
        rights, changed = Rights(step.more), []
        for place in step.pages:
            page = pages[place]
            if page is None:
                break
            changed.append(page.rights is not rights)
            page.rights = rights
        self._made_borders(step, changed)
        return self._hole(step)

    def _mmap(self, _index: int, step: Step, _record: Record) -> int:
        process = self.processes[step.who]
        for place in step.pages:
            process.pages[place] = Page(Rights(step.more))
        process.may_border |= {step.page, step.page + step.count}
        return 0

    def _munmap(self, _index: int, step: Step, _record: Record) -> int:
        self._drop(self.processes[step.who], step.page, step.page + step.count)
        return 0

    @staticmethod
    def _drop(process: Process, first: int, end: int) -> None:
        process.pages[first:end] = [None] * (end - first)
        process.may_border |= {first, end}

    def _dontneed(self, _index: int, step: Step, _record: Record) -> int:
        for page in self._mapped(step):
            page.frame, page.read = None, False
        return self._hole(step)

    def _move(self, _index: int, step: Step, record: Record) -> int:
        """What is in the way goes first, and stays gone if the move fails.

        Since 6.17 a move that keeps the size moves every VMA of the range, and leaves holes
        and what stands in their place alone; before, and where it grows, one VMA is the limit.
        """
        process, size, end = self.processes[step.who], step.more & ~KEEP, step.page + step.count
        if process.pages[step.page] is None:
            return -errno.EFAULT
        if end <= process.run(step.page).stop:
            self._move_piece(step, step.page, end, size - step.count)
        elif record.result == 0 and size == step.count:
            for run in process.runs():
                if run.start < end and run.stop > step.page:
                    self._move_piece(step, max(run.start, step.page), min(run.stop, end))
        else:
            self._drop(process, step.to, step.to + size)
            return -errno.EFAULT
        return 0

    def _move_piece(self, step: Step, first: int, end: int, growth: int = 0) -> None:
        """Moves the part [``first``, ``end``) of a range, which lies in one VMA."""
        process, to = self.processes[step.who], step.to + first - step.page
        self._drop(process, to, to + end - first + growth)
        pages = [page for page in process.pages[first:end] if page is not None]
        moved = [replace(page, home=False) for page in pages]
        more = [replace(moved[-1], frame=None, read=False) for _ in range(growth)]
        # What MREMAP_DONTUNMAP leaves gives its anon_vma up, if all of a VMA was moved.
        alone = process.run(first) == range(first, end)
        for place, page in zip(range(first, end), moved, strict=True):
            left = replace(page, frame=None, read=False, anon=0 if alone else page.anon)
            process.pages[place] = left if step.more & KEEP else None
        process.pages[to : to + len(moved) + growth] = [*moved, *more]
        process.may_border |= {first, end}

    def _resize(self, _index: int, step: Step, _record: Record) -> int:
        process, size, end = self.processes[step.who], step.more, step.page + step.count
        last = process.pages[end - 1]
        if process.pages[step.page] is None:
            return -errno.EFAULT
        if size <= step.count:
            if size < step.count:
                self._drop(process, step.page + size, end)
            return 0
        if end > process.run(step.page).stop or last is None:
            return -errno.EFAULT
        if any(process.pages[end : step.page + size]):
            return -errno.ENOMEM
        for place in range(end, step.page + size):
            process.pages[place] = replace(last, frame=None, read=False)
        process.may_border.add(step.page + size)
        return 0

    # ---- processes -----------------------------------------------------------------------

    def _fork(self, _index: int, step: Step, _record: Record) -> int:
        parent = self.processes[step.who]
        parent.forked = True
        self.processes[step.to] = parent.child(step.who)
        self.counts.forks += 1
        return 0

    def _exit(self, _index: int, step: Step, _record: Record) -> int:
        del self.processes[step.to]
        return 0


def _give_anon(process: Process, place: int) -> None:
    """The first write to a VMA: it shares the anon_vma of a neighbour, or gets its own.

    The neighbour after it is asked first. One that was moved shares if its offset
    happens to fit: then nothing is known.
    """
    vma = process.run(place)
    anon = 0
    for inner, outer in ((vma.stop - 1, vma.stop), (vma.start, vma.start - 1)):
        other = process.pages[outer] if 0 <= outer < PAGES else None
        mine = process.pages[inner]
        if other is None or mine is None or not other.anon:
            continue
        anon = other.anon if other.home and mine.home else new_anon()
        break
    anon = anon or new_anon()
    for at in vma:
        page = process.pages[at]
        assert page is not None
        page.anon = anon


def check(program: Program, records: tuple[Record, ...]) -> tuple[World, int, DivergedError | None]:
    """Follows a program through its records.

    Returns:
        The world in the end, how many steps agree, and how the next one diverged, if one did.
    """
    world = World()
    for index, (step, record) in enumerate(zip(program, records, strict=False)):
        try:
            world.step(index, step, record)
        except DivergedError as diverged:
            return world, index, diverged
    return world, min(len(program), len(records)), None
