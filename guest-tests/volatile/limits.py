# SPDX-License-Identifier: GPL-2.0-only
"""The known limit of the series: where reclaim does not come to anonymous memory.

Each case measures how much memory.reclaim purged in one such set-up, and reports it;
more than expected is never a failure. MADV_PAGEOUT purges in all of them.
"""

from __future__ import annotations

from vr import Range, purges
from vtest import case, diag, expect_between, expect_eq, main, require_eq
from vtsys import PAGE, Cgroup, mglru, pin, set_knob, swap_on_disk, swap_on_zram

PAGES = 512


def _measure(group: Cgroup) -> None:
    """Reclaims half of a volatile range by memory.reclaim, then all by MADV_PAGEOUT."""
    group.enter()
    pin(0)
    volatile = Range(PAGES)
    require_eq(volatile.mark(), 0, "mark")
    before = purges()
    result = group.try_write("memory.reclaim", PAGES * PAGE // 2)
    reclaimed = purges() - before
    diag(f"measure: memory.reclaim returned {result}, purged {reclaimed} of {PAGES} pages")
    expect_between(reclaimed, 0, PAGES, "pages purged by memory.reclaim")
    expect_eq(volatile.pageout(), 0, "MADV_PAGEOUT")
    expect_eq(purges() - before, PAGES, "pages purged in all")
    expect_eq(volatile.unmark(), 1, "unmark")
    expect_eq(volatile.count(), (0, PAGES), "pages old and zero")


@case("V-PG-13")
def no_swap() -> None:
    """Without swap MADV_PAGEOUT purges; what memory.reclaim does is reported."""
    _measure(Cgroup("vr-limits"))


@case("V-PG-13")
def no_swap_mglru() -> None:
    """Without swap and with MGLRU MADV_PAGEOUT purges; the rest is reported."""
    mglru(True)
    _measure(Cgroup("vr-limits"))


@case("V-PG-13")
def swap_full() -> None:
    """With swap full MADV_PAGEOUT purges; what memory.reclaim does is reported."""
    swap_on_zram(1)
    pin(0)
    filler = Range(PAGES)
    require_eq(filler.pageout(), 0, "MADV_PAGEOUT of more than fits")
    _measure(Cgroup("vr-limits"))
    expect_eq(filler.count(), (PAGES, 0), "filler pages old and zero")


@case("V-PG-13")
def swappiness_zero() -> None:
    """With swappiness 0 MADV_PAGEOUT purges; what memory.reclaim does is reported."""
    swap_on_disk()
    set_knob("/proc/sys/vm/swappiness", 0)
    _measure(Cgroup("vr-limits"))


@case("V-PG-13")
def swap_max_zero() -> None:
    """With memory.swap.max 0 MADV_PAGEOUT purges; what memory.reclaim does is reported."""
    swap_on_disk()
    group = Cgroup("vr-limits")
    group.write("memory.swap.max", 0)
    _measure(group)


main()
