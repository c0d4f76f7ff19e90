# SPDX-License-Identifier: GPL-2.0-only
"""No volatile page reaches the swap disk: the host searches the disk for their tags."""

from __future__ import annotations

from vr import SWAPPED, Range
from vtest import case, expect_eq, main, require_eq
from vtsys import Cgroup, pin, swap_on_disk


@case("V-PG-2", needs=("swapdisk",), host_checks=("swapimage",))
def pageout_writes_none() -> None:
    """MADV_PAGEOUT purges volatile pages and swaps the others out."""
    swap_on_disk()
    pin(0)
    volatile, control = Range(256), Range(256)
    require_eq(volatile.mark(), 0, "mark")
    require_eq(volatile.pageout(), 0, "MADV_PAGEOUT of the volatile range")
    require_eq(control.pageout(), 0, "MADV_PAGEOUT of the control range")
    require_eq(control.pagemap(SWAPPED), 256, "control pages in swap")
    volatile.want_in_swap(False)
    control.want_in_swap(True)
    expect_eq(volatile.unmark(), 1, "unmark")
    expect_eq(volatile.count(), (0, 256), "volatile pages old and zero")
    expect_eq(control.count(), (256, 0), "control pages old and zero")


@case("V-PG-2", needs=("swapdisk",), host_checks=("swapimage",))
def memory_reclaim_writes_none() -> None:
    """memory.reclaim of a whole group purges volatile pages and swaps the others out."""
    swap_on_disk()
    pin(0)
    group = Cgroup("vr-reclaim")
    group.enter()
    volatile, control = Range(512), Range(512)
    require_eq(volatile.mark(), 0, "mark")
    # The group's use is more than can be reclaimed: it ends in EAGAIN, having done its best.
    expect_eq(group.try_write("memory.reclaim", group.number("memory.current")), -11, "reclaim")
    require_eq(control.pagemap(SWAPPED), 512, "control pages in swap")
    volatile.want_in_swap(False)
    control.want_in_swap(True)
    expect_eq(volatile.unmark(), 1, "unmark")
    expect_eq(volatile.count(), (0, 512), "volatile pages old and zero")
    expect_eq(control.count(), (512, 0), "control pages old and zero")


main()
