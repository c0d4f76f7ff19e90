# SPDX-License-Identifier: GPL-2.0-only
"""Two processes compete for the memory of one control group.

One holds a volatile range, the other one grows. Only volatile pages may be lost, and
each side's other data must be as it was written, page by page.
"""

from __future__ import annotations

import os

from vr import Range, purges
from vtest import case, diag, expect_between, expect_eq, main, require_eq, sample
from vtsys import PAGE, Cgroup, child, mglru, pin, swap_on_disk, wait

HELD = 1024
GROWTH = 512
STEP = 16  # pages between two samples for the plot
MIB = 1 << 20


def _competitor(group: Cgroup, limit: str) -> tuple[int, int]:
    """A process that grows within the group once its gate, a pipe, is written to."""
    waiting, gate = os.pipe()

    def grow() -> None:
        os.read(waiting, 1)
        group.enter()
        pin(0)
        limit_mib = group.number(limit) / MIB
        grown = Range(GROWTH, fill=False)
        before = purges()
        for index in range(GROWTH):
            grown.fill(index)
            if index % STEP == STEP - 1:
                now, used = purges(), group.number("memory.current") / MIB
                levels = {
                    "MiB used": used,
                    f"MiB {limit}": limit_mib,
                    "MiB that grow": (index + 1) * PAGE / MIB,
                }
                sample(levels, {"purged": now - before})
                before = now
        require_eq(grown.count(), (GROWTH, 0), "the competitor's pages old and zero")

    return child(grow), gate


def _compete(limit: str, multi_generational: bool) -> None:
    mglru(multi_generational)
    swap_on_disk()
    group = Cgroup("vr-compete")
    # Started before there is anything volatile: what it inherits would be shared.
    competitor, gate = _competitor(group, limit)
    group.enter()
    pin(0)
    volatile, kept = Range(HELD), Range(64)
    require_eq(volatile.mark(), 0, "mark")
    before = purges()
    group.write(limit, group.number("memory.current") + 64 * PAGE)
    os.write(gate, b"go")
    expect_eq(wait(competitor), 0, "status of the competitor")
    expect_eq(volatile.unmark(), 1, "unmark")
    purged = purges() - before
    diag(f"{purged} of {HELD} volatile pages purged, {GROWTH} pages grown")
    expect_between(purged, GROWTH // 4, HELD, "purged pages")
    expect_eq(volatile.count(), (HELD - purged, purged), "volatile pages old and zero")
    expect_eq(kept.count(), (64, 0), "other pages old and zero")
    expect_eq(group.key("memory.events", "oom_kill"), 0, "OOM kills")
    expect_eq(group.key("memory.stat", "pgvolpurged"), purged, "the group's purges")


@case("V-PG-2", "V-PG-11", "V-SB-5", timeout=20)
def growing_to_memory_max() -> None:
    """A competitor that grows to memory.max takes volatile pages, nothing else is lost."""
    _compete("memory.max", False)


@case("V-PG-2", "V-PG-11", "V-SB-5", timeout=20)
def growing_to_memory_max_mglru() -> None:
    """A competitor that grows to memory.max takes volatile pages, with MGLRU."""
    _compete("memory.max", True)


@case("V-PG-2", "V-PG-11", "V-SB-5", timeout=20)
def growing_over_memory_high() -> None:
    """A competitor that grows over memory.high takes volatile pages, nothing else is lost."""
    _compete("memory.high", False)


@case("V-PG-3", "V-SB-5", "V-SB-6", timeout=20)
def cache_under_reclaim() -> None:
    """A cache that asks before each use never sees a wrong byte, while another reclaims."""
    swap_on_disk()
    group = Cgroup("vr-cache")
    requests, request = os.pipe()
    replies, reply = os.pipe()

    def take() -> None:
        pin(1)
        while os.read(requests, 1):
            group.try_write("memory.reclaim", 4 << 20)
            os.write(reply, b"d")

    child(take)
    group.enter()
    pin(0)
    entries = [Range(16) for _ in range(12)]
    for entry in entries:
        require_eq(entry.mark(), 0, "mark")
    hits = misses = 0
    for use in range(24):
        # Every third reclaim is let finish, the others run beside what follows.
        os.write(request, b"r")
        if use % 3 == 0:
            os.read(replies, 1)
        entry = entries[use * 7 % len(entries)]
        if entry.unmark():
            misses += 1
            entry.count()
            for index in range(entry.pages):
                entry.fill(index)
        else:
            hits += 1
        require_eq(entry.count(), (16, 0), "pages of an entry old and zero")
        if use % 3:
            os.read(replies, 1)
            require_eq(entry.count(), (16, 0), "pages of an entry after reclaim")
        require_eq(entry.mark(), 0, "mark")
    diag(f"{hits} hits, {misses} misses")
    expect_between(misses, 5, 24, "misses")


main()
