# SPDX-License-Identifier: GPL-2.0-only
"""No volatile page reaches the swap disk: the host searches the disk for their tags.

The control range shows that the same reclaim did write to the disk, and that the
host finds what was written there.
"""

from __future__ import annotations

from vr import SWAPPED, Range, purges
from vtest import case, expect, expect_between, expect_eq, main, require_eq
from vtsys import PAGE, Cgroup, mglru, pin, swap_on_disk


def _two_ranges(pages: int) -> tuple[Range, Range]:
    """A volatile and a control range on a CPU of their own, with the swap disk in use."""
    swap_on_disk()
    pin(0)
    volatile, control = Range(pages), Range(pages)
    require_eq(volatile.mark(), 0, "mark")
    return volatile, control


def _judge(volatile: Range, control: Range, at_least: int) -> None:
    """Reclaim took ``at_least`` pages of each: only one is on the disk, the other lost."""
    expect_between(control.pagemap(SWAPPED), at_least, control.pages, "control pages in swap")
    # The rest of the control range, so that the host has to find each of its pages.
    require_eq(control.pageout(), 0, "MADV_PAGEOUT of the control range")
    require_eq(control.pagemap(SWAPPED), control.pages, "control pages in swap in the end")
    volatile.want_in_swap(False)
    control.want_in_swap(True)
    expect_eq(volatile.pagemap(SWAPPED), 0, "volatile pages in swap")
    expect_eq(volatile.unmark(), 1, "unmark")
    old, zero = volatile.count()
    expect_between(zero, at_least, volatile.pages, "volatile pages lost")
    expect_eq(old + zero, volatile.pages, "volatile pages old or lost")
    expect_eq(control.count(), (control.pages, 0), "control pages old and zero")


@case("V-PG-2", host_checks=("swapimage",))
def pageout_writes_none() -> None:
    """MADV_PAGEOUT purges volatile pages and swaps the others out."""
    volatile, control = _two_ranges(256)
    require_eq(volatile.pageout(), 0, "MADV_PAGEOUT of the volatile range")
    require_eq(control.pageout(), 0, "MADV_PAGEOUT of the control range")
    _judge(volatile, control, 256)


def _reclaim_group(multi_generational: bool) -> None:
    mglru(multi_generational)
    group = Cgroup("vr-image")
    group.enter()
    volatile, control = _two_ranges(400)
    # All there is: this may fall short, what counts is what it took.
    group.try_write("memory.reclaim", group.number("memory.current"))
    _judge(volatile, control, 300)


@case("V-PG-2", host_checks=("swapimage",))
def reclaim_writes_none_lru() -> None:
    """memory.reclaim of all of a group purges what is volatile, with the classic LRU."""
    _reclaim_group(False)


@case("V-PG-2", host_checks=("swapimage",))
def reclaim_writes_none_mglru() -> None:
    """memory.reclaim of all of a group purges what is volatile, with MGLRU."""
    _reclaim_group(True)


@case("V-PG-2", "V-PG-11", host_checks=("swapimage",))
def limit_writes_none() -> None:
    """Growing against memory.max purges volatile pages instead of swapping them."""
    group = Cgroup("vr-image")
    group.enter()
    volatile, control = _two_ranges(512)
    # The control pages are in swap before: what is purged then makes the room.
    require_eq(control.pageout(), 0, "MADV_PAGEOUT of the control range")
    require_eq(control.pagemap(SWAPPED), 512, "control pages in swap")
    control.want_in_swap(True)
    volatile.want_in_swap(False)
    before = purges()
    group.write("memory.max", group.number("memory.current") + 64 * PAGE)
    # What is under way to the disk counts until it has arrived: 512 pages at most.
    new = Range(1024)
    expect_eq(new.count(), (1024, 0), "new pages old and zero")
    # What is unmarked may be swapped: nothing must press on it any more.
    group.write("memory.max", "max")
    expect_eq(volatile.unmark(), 1, "unmark")
    purged = purges() - before
    expect(purged > 0, "growing against memory.max purged nothing")
    expect_eq(volatile.count(), (512 - purged, purged), "volatile pages old and zero")
    expect_eq(group.key("memory.events", "oom_kill"), 0, "OOM kills")


main()
