# SPDX-License-Identifier: GPL-2.0-only
"""What is marked: the gauges of the system and of a control group, followed change by change."""

from __future__ import annotations

import os

from vr import MADV_DONTNEED, Range
from vtest import call, case, expect_eq, main, require, require_eq
from vtsys import PAGE, Cgroup, child, key, pin, wait

PAGES = 64
MADV_DONTFORK = 10
MADV_WIPEONFORK = 18
MREMAP_MAYMOVE = 1
MREMAP_DONTUNMAP = 4
MAP_PRIVATE_ANONYMOUS = 0x22
MAP_FIXED = 0x10


def marked() -> int:
    """How many pages are marked in the system."""
    return key("/proc/meminfo", "Volatile") // (PAGE // 1024)


def _changes(since: int, wanted: int, about: str) -> None:
    expect_eq(marked() - since, wanted, f"pages marked: {about}")


@case("VA-1")
def size_not_contents() -> None:
    """Resident, never touched and purged pages count alike, and at once."""
    pin(0)
    since = marked()
    full, empty = Range(PAGES), Range(PAGES, fill=False)
    _changes(since, 0, "nothing yet")
    require_eq(full.mark(), 0, "mark")
    _changes(since, PAGES, "a resident range")
    require_eq(empty.mark(), 0, "mark")
    _changes(since, 2 * PAGES, "and an empty one")
    require_eq(full.pageout(), 0, "MADV_PAGEOUT")
    _changes(since, 2 * PAGES, "one of them purged")
    expect_eq(full.unmark(), 1, "unmark")
    expect_eq(empty.unmark(), 0, "unmark")
    _changes(since, 0, "unmarked")


@case("VA-2")
def parts_and_repeats() -> None:
    """Parts of a range count as such; to mark or unmark twice counts once."""
    since = marked()
    some = Range(PAGES)
    require_eq(some.mark(8, 16), 0, "mark a part")
    require_eq(some.mark(8, 16), 0, "mark it again")
    _changes(since, 16, "a part, marked twice")
    require_eq(some.mark(), 0, "mark all")
    _changes(since, PAGES, "all")
    expect_eq(some.unmark(0, 4), 0, "unmark the beginning")
    expect_eq(some.unmark(0, 8), 0, "unmark more of it")
    _changes(since, PAGES - 8, "without the beginning")
    # The fence behind it is PROT_NONE, but memory: a hole has to be made.
    require_eq(call("munmap", some.address + PAGES * PAGE, PAGE), 0, "a hole behind it")
    expect_eq(call("madvise", some.address, (PAGES + 1) * PAGE, 26), -12, "mark over a hole")
    _changes(since, PAGES - 8, "a call that failed")
    expect_eq(some.advise(MADV_DONTNEED), 0, "MADV_DONTNEED")
    _changes(since, PAGES - 8, "given up, but marked")


@case("VA-2")
def unmapped() -> None:
    """munmap of the middle, and a new mapping over a part, take off what they take away."""
    since = marked()
    some = Range(PAGES)
    require_eq(some.mark(), 0, "mark")
    require_eq(call("munmap", some.address + 8 * PAGE, 8 * PAGE), 0, "munmap the middle")
    _changes(since, PAGES - 8, "the middle unmapped")
    over = some.address + 32 * PAGE
    flags = MAP_PRIVATE_ANONYMOUS | MAP_FIXED
    require_eq(call("mmap", over, 4 * PAGE, 3, flags, -1 & 0xFFFFFFFF, 0), over, "mmap over it")
    _changes(since, PAGES - 12, "and a part mapped over")


@case("VA-2")
def remapped() -> None:
    """mremap grows, shrinks, moves and leaves behind: each time the size is right."""
    since = marked()
    first = call("mmap", 0, PAGES * PAGE, 3, MAP_PRIVATE_ANONYMOUS, -1 & 0xFFFFFFFF, 0)
    require(first > 0, "mmap")
    require_eq(call("madvise", first, PAGES * PAGE, 26), 0, "mark")
    _changes(since, PAGES, "marked")
    second = call("mremap", first, PAGES * PAGE, 2 * PAGES * PAGE, MREMAP_MAYMOVE)
    require(second > 0, "mremap that grows")
    _changes(since, 2 * PAGES, "grown")
    third = call("mremap", second, 2 * PAGES * PAGE, PAGES * PAGE, 0)
    require_eq(third, second, "mremap that shrinks")
    _changes(since, PAGES, "shrunk")
    leave = MREMAP_MAYMOVE | MREMAP_DONTUNMAP
    fourth = call("mremap", third, PAGES * PAGE, PAGES * PAGE, leave, 0)
    require(fourth > 0 and fourth != third, "mremap that leaves the old range")
    _changes(since, 2 * PAGES, "left behind and moved")
    require_eq(call("munmap", third, PAGES * PAGE), 0, "munmap")
    require_eq(call("munmap", fourth, PAGES * PAGE), 0, "munmap")
    _changes(since, 0, "all unmapped")


@case("VA-2")
def relatives() -> None:
    """A child counts for itself, less what it does not inherit, until it ends, however."""
    since = marked()
    some, kept = Range(PAGES), Range(PAGES)
    require_eq(some.mark(), 0, "mark")
    require_eq(kept.mark(), 0, "mark")
    require_eq(some.advise(MADV_WIPEONFORK, 0, 8), 0, "MADV_WIPEONFORK")
    require_eq(kept.advise(MADV_DONTFORK), 0, "MADV_DONTFORK")
    _changes(since, 2 * PAGES, "before fork")
    ready, told = os.pipe()
    go, gate = os.pipe()

    def live() -> None:
        expect_eq(some.unmark(60, 4), 0, "the child unmarks some")
        os.write(told, b"r")
        os.read(go, 1)

    first = child(live)
    os.read(ready, 1)
    _changes(since, 3 * PAGES - 4, "with a child")
    os.write(gate, b"g")
    require_eq(wait(first), 0, "the child's end")
    _changes(since, 2 * PAGES, "without it")
    second = child(live)
    os.read(ready, 1)
    os.kill(second, 9)
    wait(second)
    _changes(since, 2 * PAGES, "when another was killed")
    third = child(lambda: os.execv("/bin/true", ["true"]))
    require_eq(wait(third), 0, "a child that executes a program")
    _changes(since, 2 * PAGES, "when it is gone")


@case("VA-3")
def of_a_group() -> None:
    """A group counts its processes; they take it along, and a removed group leaves none."""
    # More than the statistics of a group may lag behind: it depends on the number of CPUs.
    pages = 64 * PAGES
    above = Cgroup("vw-above")
    above.write("cgroup.subtree_control", "+memory")
    first, second = Cgroup("vw-above/first"), Cgroup("vw-above/second")
    ready, told = os.pipe()
    go, gate = os.pipe()

    def live() -> None:
        first.enter()
        some = Range(pages, fill=False)
        require_eq(some.mark(), 0, "mark")
        os.write(told, b"r")
        os.read(go, 1)
        second.enter()
        require_eq(some.mark(), 0, "mark again")
        os.write(told, b"r")
        os.read(go, 1)
        require_eq(some.unmark(0, pages // 2), 0, "unmark some")
        os.write(told, b"r")
        os.read(go, 1)

    process = child(live)
    size = pages * PAGE

    def volatile(group: Cgroup) -> int:
        return group.key("memory.stat", "volatile")

    os.read(ready, 1)
    expect_eq(volatile(first), size, "where it was marked")
    expect_eq(volatile(above), size, "above")
    expect_eq(volatile(second), 0, "elsewhere")
    os.write(gate, b"g")
    os.read(ready, 1)
    expect_eq(volatile(first), 0, "where it was")
    expect_eq(volatile(second), size, "where it went")
    expect_eq(volatile(above), size, "above, as before")
    os.write(gate, b"g")
    os.read(ready, 1)
    expect_eq(volatile(second), size // 2, "some unmarked")
    os.write(gate, b"g")
    require_eq(wait(process), 0, "the process")
    expect_eq(volatile(second), 0, "when it has ended")
    os.rmdir(second.path)
    expect_eq(volatile(above), 0, "above, when the group is gone")


main()
