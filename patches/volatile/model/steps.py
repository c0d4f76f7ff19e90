# SPDX-License-Identifier: GPL-2.0-only
"""The language of the random programs, and how it travels to the guest and back.

The other half of this file is ``guest-tests/volatile/model.c``, which says how the bytes
lie. A program works on an arena of 16 pages in up to three processes that take turns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag

PAGES = 16
PROCESSES = 3
MOST_STEPS = 250  # of a program: their number is one byte

LOOK_PAGES = 0x40
LOOK_VMAS = 0x80


class Op(IntEnum):
    """What a step does. ``more`` of a step means what stands behind."""

    LOOK = 0
    READ = 1
    WRITE = 2
    MARK = 3  # Length
    UNMARK = 4  # Length
    PAGEOUT = 5
    RECLAIM = 6  # memory.reclaim of ``count`` pages, by another process
    MPROTECT = 7  # Rights
    MMAP = 8  # Rights
    MUNMAP = 9
    DONTNEED = 10
    MOVE = 11  # mremap to page ``to``; the new number of pages, and KEEP for DONTUNMAP
    RESIZE = 12  # mremap in place; the new number of pages
    FORK = 13  # the child is process ``to``
    EXIT = 14  # of the child ``to``


class Rights(IntEnum):
    """Of a mapping."""

    NONE = 0
    READ = 1
    WRITE = 2  # and read


class Length(IntEnum):
    """How a range of pages is told to madvise()."""

    EXACT = 0
    ODD = 1  # a byte more than all pages but the last: rounded up, it is the same range
    UNALIGNED = 2  # not at the beginning of a page


KEEP = 0x80


@dataclass(frozen=True)
class Step:
    """One step of process ``who``; ``look``: what it shows afterwards."""

    op: Op
    who: int
    page: int = 0
    count: int = 0
    to: int = 0
    more: int = 0
    look: int = 0

    @property
    def pages(self) -> range:
        """The pages of its range."""
        return range(self.page, self.page + self.count)


Program = tuple[Step, ...]


class Access(IntEnum):
    """What an access came to."""

    ZERO = 0
    TAG = 1
    TORN = 2
    BUS = 3  # SIGBUS, BUS_ADRERR, at the address of the access
    UNMAPPED = 4  # SIGSEGV, SEGV_MAPERR
    FORBIDDEN = 5  # SIGSEGV, SEGV_ACCERR
    ODD = 6  # any other signal, code or address


class Seen(IntFlag):
    """A page's VMA, as smaps shows it."""

    MAPPED = 1
    READ = 2
    WRITE = 4
    VOLATILE = 8
    BORDER = 16  # a VMA begins here


class Where(IntFlag):
    """A page, as pagemap and mincore() show it."""

    PRESENT = 1
    SWAP = 2
    IN_CORE = 4
    NO_MINCORE = 8  # mincore() failed


@dataclass(frozen=True)
class Record:
    """What became of a step. ``result``: what the call returned, or -errno.

    ``accesses``: one (what, tag) a page of a READ or WRITE. ``seen`` and ``where``: of
    each page of the arena, empty where the step did not look.
    """

    result: int
    accesses: tuple[tuple[Access, int], ...] = ()
    seen: tuple[Seen, ...] = ()
    where: tuple[Where, ...] = ()


class End(IntEnum):
    """How a program ended."""

    OK = 0
    CRASHED = 1  # a process got a signal where nothing of the arena was touched
    STUCK = 2  # it did not go on


@dataclass(frozen=True)
class Outcome:
    """All that a program did; ``records`` are fewer than its steps if it did not end well."""

    end: End
    records: tuple[Record, ...]


def tag(index: int, place: int) -> int:
    """What the ``index``-th step of a program writes into the ``place``-th page of its range."""
    return 1 + index * PAGES + place


def encode(programs: Sequence[Program], mglru: bool) -> str:
    """The request that has ``programs`` run."""
    data = bytearray()
    for program in programs:
        assert len(program) <= MOST_STEPS
        data.append(len(program))
        for s in program:
            data += bytes((s.op | s.look, s.who, s.page, s.count, s.to, s.more))
    return f"go {int(mglru)} {data.hex()}"


class ReplyError(Exception):
    """The guest answered something else than the programs' records."""


def _records(program: Program, data: bytes) -> Iterator[Record]:
    """The records in ``data``, until it ends.

    Raises:
        ReplyError: there is more than the program's.
    """
    at = 0

    def take(count: int) -> bytes:
        nonlocal at
        at += count
        if at > len(data):
            raise EOFError
        return data[at - count : at]

    try:
        for step in program:
            result = int.from_bytes(take(2), "little", signed=True)
            accesses = []
            if step.op in (Op.READ, Op.WRITE):
                for _ in step.pages:
                    what, low, high = take(3)
                    accesses.append((Access(what), high << 8 | low))
            seen = take(PAGES) if step.look & LOOK_VMAS else b""
            where = take(PAGES) if step.look & (LOOK_PAGES | LOOK_VMAS) else b""
            yield Record(result, tuple(accesses), tuple(map(Seen, seen)), tuple(map(Where, where)))
    except EOFError:
        return
    if at != len(data):
        raise ReplyError(f"{len(data) - at} bytes too many after a program")


def decode(programs: Sequence[Program], reply: str) -> list[Outcome]:
    """The outcomes in the guest's answer, one a program.

    Raises:
        ReplyError: it is no answer to ``programs``.
    """
    try:
        data = bytes.fromhex(reply)
    except ValueError as error:
        raise ReplyError(f"not hexadecimal: {reply[:80]!r}") from error
    found: list[Outcome] = []
    at = 0
    for program in programs:
        if at + 3 > len(data):
            raise ReplyError(f"{len(found)} of {len(programs)} programs are answered")
        end, size = End(data[at]), int.from_bytes(data[at + 1 : at + 3], "little")
        at += 3
        records = tuple(_records(program, data[at : at + size]))
        at += size
        if end is End.OK and len(records) != len(program):
            raise ReplyError(f"{len(records)} records of {len(program)} steps")
        found.append(Outcome(end, records))
    if at != len(data):
        raise ReplyError(f"{len(data) - at} bytes too many")
    return found
