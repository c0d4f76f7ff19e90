# SPDX-License-Identifier: GPL-2.0-only
"""Reclaim in a control group that may swap: volatile pages go first there too."""

from __future__ import annotations

from vr import PRESENT, Range, purges
from vtest import case, diag, expect, expect_eq, main, require_eq
from vtsys import PAGE, Cgroup, mglru, pin, swap_on_disk

PAGES = 512


def _before_swap() -> None:
    swap_on_disk()
    group = Cgroup("vw-first")
    group.enter()
    pin(0)
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
