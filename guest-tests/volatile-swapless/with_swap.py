# SPDX-License-Identifier: GPL-2.0-only
"""Reclaim in a control group that may swap: volatile pages go first there too."""

from __future__ import annotations

import os

from vr import PRESENT, Range, purges
from vtest import call, case, diag, expect, expect_eq, main, require, require_eq
from vtsys import PAGE, Cgroup, child, mglru, pin, swap_on_disk, wait

PAGES = 512
MAP_PRIVATE_ANONYMOUS_NORESERVE = 0x4022
MADV_VOLATILE = 26
EMPTY = 1 << 40  # bytes: by its page tables alone, more than reclaim ever looks at


def _before_swap(beside: int = 0) -> None:
    """``beside``: how many other processes of the group have marked much and touched nothing."""
    swap_on_disk()
    group = Cgroup("vw-first")
    group.enter()
    pin(0)
    ready, told = os.pipe()
    go, gate = os.pipe()

    def mark_nothing() -> None:
        flags = MAP_PRIVATE_ANONYMOUS_NORESERVE
        start = call("mmap", 0, EMPTY, 3, flags, -1 & 0xFFFFFFFF, 0)
        require(start > 0, "mmap")
        require_eq(call("madvise", start, EMPTY, MADV_VOLATILE), 0, "mark")
        os.write(told, b"r")
        os.read(go, 1)

    others = [child(mark_nothing) for _ in range(beside)]
    for _ in others:
        os.read(ready, 1)
    # What is not marked is older: by the LRU lists it would go first.
    other, some = Range(4 * PAGES), Range(4 * PAGES)
    require_eq(some.mark(), 0, "mark")

    def went(portions: int) -> tuple[int, int]:
        before, swapped = purges(), group.number("memory.swap.current")
        for _ in range(portions):
            group.try_write("memory.reclaim", 32 * PAGE)
        return purges() - before, (group.number("memory.swap.current") - swapped) // PAGE

    # All have been used and are asked once more; others may go meanwhile.
    first = went(PAGES // 32)
    purged, swapped = went(PAGES // 32)
    diag(f"purged and swapped: at first {first}, then {purged, swapped}")
    expect(purged >= PAGES, f"purged only {purged} of {PAGES} pages that were asked for")
    expect_eq(swapped, 0, "pages swapped while there were volatile ones")
    expect_eq(some.unmark(), 1, "unmark")
    # Control: with nothing marked any more it is the others' turn.
    expect(went(PAGES // 32)[1] > 0, "no page was swapped when it was its turn")
    expect_eq(other.count(), (4 * PAGES, 0), "other pages old and zero")
    os.write(gate, b"g" * beside)
    for process in others:
        expect_eq(wait(process), 0, "a process beside it")


@case("VW-10", "VW-4")
def before_swap() -> None:
    """With swap to be had, volatile pages go while what is older but not marked stays."""
    mglru(False)
    _before_swap()


@case("VW-10", "VW-4")
def before_swap_mglru() -> None:
    """The same with MGLRU."""
    mglru(True)
    _before_swap()


@case("VW-10")
def beside_emptiness() -> None:
    """The same beside processes that have marked much more, and have never touched it."""
    mglru(False)
    _before_swap(beside=4)


@case("VW-10")
def beside_emptiness_mglru() -> None:
    """The same with MGLRU."""
    mglru(True)
    _before_swap(beside=4)


@case("VW-10", "VW-4")
def both_go() -> None:
    """With swap to be had, volatile pages are lost, the others are swapped, and none is lost."""
    mglru(False)
    swap_on_disk()
    group = Cgroup("vw-swap")
    group.enter()
    pin(0)
    some, other = Range(PAGES), Range(PAGES)
    require_eq(some.mark(), 0, "mark")
    for _ in range(4):
        group.try_write("memory.reclaim", 4 * PAGES * PAGE)
    expect(other.pagemap(PRESENT) < PAGES, "nothing of what is not marked was swapped")
    expect_eq(some.unmark(), 1, "unmark")
    expect(some.count()[1] > 0, "no page purged")
    expect_eq(other.count(), (PAGES, 0), "other pages old and zero")


main()
