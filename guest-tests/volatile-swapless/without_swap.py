# SPDX-License-Identifier: GPL-2.0-only
"""Reclaim in a control group where anonymous memory is not scanned: what goes, and first."""

from __future__ import annotations

import ctypes
import os

from vr import PRESENT, Range, purges
from vtest import call, case, diag, expect, expect_between, expect_eq, main, require_eq
from vtsys import PAGE, Cgroup, child, key, mglru, pin, set_knob, swap_on_disk, swap_on_zram, wait

PAGES = 512
MIB = 1 << 20


def _reclaimed(group: Cgroup) -> None:
    """Half of a marked range is asked for, and comes from it; then the rest."""
    group.enter()
    pin(0)
    some, other = Range(PAGES), Range(PAGES)
    require_eq(some.mark(), 0, "mark")
    before = purges()
    expect_eq(group.try_write("memory.reclaim", PAGES * PAGE // 2), 0, "memory.reclaim")
    purged = purges() - before
    # A batch more may have been in hand when there was enough.
    expect_between(purged, PAGES // 2, PAGES // 2 + 64, "pages purged for half of it")
    expect_eq(some.pagemap(PRESENT), PAGES - purged, "pages left of it")
    expect_eq(some.unmark(), 1, "unmark")
    expect_eq(some.count(), (PAGES - purged, purged), "pages old and zero")
    expect_eq(other.pagemap(PRESENT), PAGES, "pages left of what was not marked")
    expect_eq(other.count(), (PAGES, 0), "its pages old and zero")


@case("VW-1", "VW-4")
def no_swap() -> None:
    """Without swap memory.reclaim gets what it asks for from volatile pages only."""
    mglru(False)
    _reclaimed(Cgroup("vw-reclaim"))


@case("VW-1", "VW-4")
def no_swap_mglru() -> None:
    """The same with MGLRU."""
    mglru(True)
    _reclaimed(Cgroup("vw-reclaim"))


@case("VW-1", "VW-4")
def swap_full() -> None:
    """The same when swap is full."""
    swap_on_zram(1)
    pin(0)
    filler = Range(PAGES)
    require_eq(filler.pageout(), 0, "MADV_PAGEOUT of more than fits")
    _reclaimed(Cgroup("vw-reclaim"))
    expect_eq(filler.count(), (PAGES, 0), "filler pages old and zero")


@case("VW-1", "VW-4", "VW-9")
def swappiness_zero() -> None:
    """The same with swap, but swappiness 0: nothing is swapped, and volatile pages go."""
    mglru(False)
    swap_on_disk()
    set_knob("/proc/sys/vm/swappiness", 0)
    _reclaimed(Cgroup("vw-reclaim"))


@case("VW-1", "VW-4")
def swap_max_zero() -> None:
    """The same with swap that the group may not use."""
    swap_on_disk()
    group = Cgroup("vw-reclaim")
    group.write("memory.swap.max", 0)
    _reclaimed(group)


class _Disk:
    """Page cache in use: the beginning of a disk, which has been read again and again."""

    def __init__(self, pages: int) -> None:
        self.size = pages * PAGE
        self.pages = pages
        fd = os.open(os.environ["VTEST_SWAPDISK"], os.O_RDONLY)
        # Of this group, and not of who has read it before.
        os.posix_fadvise(fd, 0, self.size, os.POSIX_FADV_DONTNEED)
        for _ in range(4):
            require_eq(len(os.pread(fd, self.size, 0)), self.size, "read")
        self.address = call("mmap", 0, self.size, 1, 1, fd, 0)
        require_eq(self.address > 0, True, "mmap of the disk")

    def cached(self) -> int:
        """How many of its pages are in memory."""
        seen = ctypes.create_string_buffer(self.pages)
        require_eq(call("mincore", self.address, self.size, seen), 0, "mincore")
        return sum(byte & 1 for byte in seen.raw)


def _before_page_cache() -> None:
    group = Cgroup("vw-cache")
    group.enter()
    pin(0)
    disk = _Disk(PAGES)
    some = Range(PAGES)
    require_eq(some.mark(), 0, "mark")
    before = purges()
    require_eq(disk.cached(), PAGES, "pages of the disk in memory")
    expect_eq(group.try_write("memory.reclaim", PAGES * PAGE // 2), 0, "memory.reclaim")
    purged = purges() - before
    diag(f"{purged} pages purged, {disk.cached()} of {PAGES} pages of the disk left")
    expect(purged >= PAGES // 2, f"purged only {purged} pages")
    expect_eq(disk.cached(), PAGES, "pages of the disk in memory, still")
    # Control: with nothing marked any more it is the disk's pages that go.
    some.unmark()
    for _ in range(8):
        group.try_write("memory.reclaim", PAGES * PAGE // 2)
    expect(disk.cached() < PAGES, "no page of the disk went when it was its turn")


@case("VW-2")
def before_page_cache() -> None:
    """Volatile pages go first, and the page cache in use stays; then that goes."""
    mglru(False)
    _before_page_cache()


@case("VW-2")
def before_page_cache_mglru() -> None:
    """The same with MGLRU."""
    mglru(True)
    _before_page_cache()


def _nobody_killed(limit: str, multi_generational: bool) -> None:
    mglru(multi_generational)
    group = Cgroup("vw-limit")
    group.enter()
    pin(0)
    some = Range(4 * PAGES)
    require_eq(some.mark(), 0, "mark")
    before = purges()
    group.write(limit, group.number("memory.current") + 64 * PAGE)
    grown = Range(2 * PAGES)
    expect_eq(group.key("memory.events", "oom_kill"), 0, "OOM kills")
    expect_eq(some.unmark(), 1, "unmark")
    # Nothing is volatile any more: what we use from here on has no other place.
    group.write(limit, "max")
    purged = purges() - before
    diag(f"{purged} of {4 * PAGES} volatile pages purged, {2 * PAGES} pages grown")
    expect_between(purged, PAGES, 4 * PAGES, "pages purged")
    expect_eq(some.count(), (4 * PAGES - purged, purged), "volatile pages old and zero")
    expect_eq(grown.count(), (2 * PAGES, 0), "grown pages old and zero")


@case("VW-1", "VW-3", "VW-4")
def before_the_kill() -> None:
    """A process that grows to memory.max purges what it has marked, and is not killed."""
    _nobody_killed("memory.max", False)


@case("VW-1", "VW-3", "VW-4")
def before_the_kill_mglru() -> None:
    """The same with MGLRU."""
    _nobody_killed("memory.max", True)


@case("VW-1", "VW-4")
def memory_high() -> None:
    """A process that grows over memory.high purges what it has marked."""
    _nobody_killed("memory.high", False)


def _second_chance() -> None:
    group = Cgroup("vw-used")
    group.enter()
    pin(0)
    some = Range(PAGES)
    require_eq(some.mark(), 0, "mark")
    with open("/proc/self/clear_refs", "w") as file:
        file.write("1")
    # That does not reach what the TLB holds; a change of the protection does.
    for protection in (1, 3):
        require_eq(call("mprotect", some.address, PAGES * PAGE, protection), 0, "mprotect")
    for index in range(0, PAGES, 2):
        some.contents(index)
    before = purges()
    expect_eq(group.try_write("memory.reclaim", PAGES * PAGE // 4), 0, "memory.reclaim")
    purged = purges() - before
    fd = os.open("/proc/self/pagemap", os.O_RDONLY)
    raw = os.pread(fd, PAGES * 8, some.address // PAGE * 8)
    os.close(fd)
    used = sum(bool(raw[index * 8 + 7] & 0x80) for index in range(0, PAGES, 2))
    expect_between(purged, PAGES // 4, PAGES // 2, "pages purged")
    expect_eq(used, PAGES // 2, "pages left of those that were used")


@case("VW-5")
def second_chance() -> None:
    """Of pages that are as old, those go that were not used since."""
    mglru(False)
    _second_chance()


@case("VW-5")
def second_chance_mglru() -> None:
    """The same with MGLRU, whose look-around would forget the use of neighbours."""
    mglru(True)
    _second_chance()


@case("VW-7")
def two_of_a_kind() -> None:
    """Two processes that have marked as much: neither loses all before the other some."""
    mglru(False)
    group = Cgroup("vw-two")
    ready, told = os.pipe()
    go, gate = os.pipe()

    def hold() -> None:
        group.enter()
        pin(0)
        some = Range(PAGES)
        require_eq(some.mark(), 0, "mark")
        os.write(told, b"r")
        os.read(go, 1)
        left = some.pagemap(PRESENT)
        diag(f"{PAGES - left} of {PAGES} pages purged")
        expect_between(left, PAGES // 4, PAGES - PAGES // 4, "pages left of one")
        require_eq(left >= PAGES // 4 and left <= PAGES - PAGES // 4, True, "a fair share")

    both = [child(hold), child(hold)]
    for _ in both:
        os.read(ready, 1)
    expect_eq(group.try_write("memory.reclaim", PAGES * PAGE), 0, "memory.reclaim of half")
    os.write(gate, b"gg")
    for one in both:
        expect_eq(wait(one), 0, "one of the two")


@case("VW-6", needs=("oom",), timeout=30)
def nothing_to_be_had() -> None:
    """Locked, pinned and shared pages stay: reclaim says so, and the kill comes."""
    mglru(False)
    group = Cgroup("vw-stuck")
    ready, told = os.pipe()
    go, gate = os.pipe()

    def hold() -> None:
        group.enter()
        pin(0)
        locked, shared = Range(PAGES), Range(PAGES)
        require_eq(locked.mark(), 0, "mark")
        require_eq(call("mlock", locked.address, PAGES * PAGE), 0, "mlock")

        def keep() -> None:
            os.write(told, b"r")
            os.read(go, 1)

        child(keep)
        os.read(ready, 1)
        # The child has not marked what it shares.
        require_eq(shared.mark(), 0, "mark")
        before = purges()
        require_eq(group.try_write("memory.reclaim", PAGES * PAGE), -11, "memory.reclaim")
        expect_eq(purges() - before, 0, "pages purged")
        group.write("memory.max", group.number("memory.current") + 64 * PAGE)
        Range(4 * PAGES)

    status = wait(child(hold))
    expect_eq(os.WIFSIGNALED(status) and os.WTERMSIG(status), 9, "the signal that ended it")
    expect(group.key("memory.events", "oom_kill") >= 1, "nobody was killed")
    os.write(gate, b"g")


@case("VW-8")
def nothing_marked() -> None:
    """Where nothing is marked no anonymous page is scanned, whatever others have marked."""
    mglru(False)
    group, other = Cgroup("vw-none"), Cgroup("vw-other")
    ready, told = os.pipe()
    go, gate = os.pipe()

    def hold() -> None:
        other.enter()
        some = Range(PAGES)
        # -22: a kernel that does not know of it; nothing is marked then either.
        expect(some.mark() in (0, -22), "mark")
        os.write(told, b"r")
        os.read(go, 1)
        expect_eq(some.pagemap(PRESENT), PAGES, "pages left in the other group")

    process = child(hold)
    os.read(ready, 1)
    group.enter()
    pin(0)
    kept = Range(PAGES)
    before = key("/proc/vmstat", "pgscan_anon")
    group.try_write("memory.reclaim", PAGES * PAGE)
    expect_eq(key("/proc/vmstat", "pgscan_anon") - before, 0, "anonymous pages scanned")
    expect_eq(kept.count(), (PAGES, 0), "pages old and zero")
    os.write(gate, b"g")
    expect_eq(wait(process), 0, "the process in the other group")


@case("VW-1")
def huge_page() -> None:
    """A transparent huge page that is marked goes like small ones."""
    set_knob("/sys/kernel/mm/transparent_hugepage/enabled", "always")
    group = Cgroup("vw-huge")
    group.enter()
    pin(0)
    huge = 2 * MIB
    start = call("mmap", 0, 2 * huge, 3, 0x22, -1 & 0xFFFFFFFF, 0)
    require_eq(start > 0, True, "mmap")
    start = (start + huge - 1) // huge * huge
    ctypes.memset(start, 1, huge)
    require_eq(key("/proc/self/smaps_rollup", "AnonHugePages") >= huge // 1024, True, "a huge page")
    require_eq(call("madvise", start, huge, 26), 0, "mark")
    before = purges()
    expect_eq(group.try_write("memory.reclaim", huge), 0, "memory.reclaim")
    expect_eq(purges() - before, huge // PAGE, "pages purged")
    expect_eq(call("madvise", start, huge, 27), 1, "unmark")


@case("VW-4")
def charged_elsewhere() -> None:
    """A group that is short of memory takes no page that is charged to another one."""
    mglru(False)
    group = Cgroup("vw-short")
    pin(0)
    some = Range(PAGES)
    require_eq(some.mark(), 0, "mark")
    before = purges()

    def squeeze() -> None:
        group.enter()
        expect_eq(group.try_write("memory.reclaim", PAGES * PAGE), -11, "memory.reclaim")
        expect_eq(some.unmark(), 0, "the child unmarks")

    expect_eq(wait(child(squeeze)), 0, "the child")
    expect_eq(purges() - before, 0, "pages purged")
    expect_eq(some.count(), (PAGES, 0), "pages old and zero")


def _protected(multi_generational: bool) -> None:
    mglru(multi_generational)
    above = Cgroup("vw-above")
    above.write("cgroup.subtree_control", "+memory")
    group = Cgroup("vw-above/vw-kept")
    group.enter()
    pin(0)
    some = Range(8 * PAGES)
    require_eq(some.mark(), 0, "mark")
    spare = PAGES // 8
    group.write("memory.min", group.number("memory.current") - spare * PAGE)
    before = purges()
    expect_eq(above.try_write("memory.reclaim", 4 * PAGES * PAGE), -11, "memory.reclaim")
    purged = purges() - before
    # A batch may be in hand when the limit is reached, and another is charged in advance.
    expect_between(purged, spare // 2, spare + 128, "pages purged")
    # Control: it was the protection that kept them.
    group.write("memory.min", 0)
    expect_eq(above.try_write("memory.reclaim", 4 * PAGES * PAGE), 0, "memory.reclaim without it")


@case("VW-11")
def protected() -> None:
    """Of a group that has little more than its memory.min no more than that is purged."""
    _protected(False)


@case("VW-11")
def protected_mglru() -> None:
    """The same with MGLRU."""
    _protected(True)


@case("VW-1", "VW-6", timeout=30)
def while_mappings_change() -> None:
    """A process at its limit that splits its mappings, with their lock held, goes on."""
    mglru(False)
    group = Cgroup("vw-split")
    group.enter()
    pin(0)
    some = Range(4 * PAGES)
    require_eq(some.mark(), 0, "mark")
    many = 8192
    start = call("mmap", 0, many * PAGE, 0, 0x4022, -1 & 0xFFFFFFFF, 0)
    require_eq(start > 0, True, "mmap")
    group.write("memory.max", group.number("memory.current") + 8 * PAGE)
    for index in range(0, many, 2):
        require_eq(call("mprotect", start + index * PAGE, PAGE, 1), 0, "split a mapping")
    Range(PAGES)
    expect_eq(group.key("memory.events", "oom_kill"), 0, "OOM kills")
    expect_eq(some.unmark(), 1, "unmark")


main()
