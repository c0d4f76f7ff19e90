# SPDX-License-Identifier: GPL-2.0-only
"""What smaps says of marked memory: what is resident and what has been purged."""

from __future__ import annotations

import os

from vr import Range
from vtest import case, expect_eq, main, require_eq
from vtsys import PAGE, child, key, pin, wait

PAGES = 64


def _of(some: Range) -> tuple[int, int]:
    """Pages of ``some``, in all its VMAs: resident and marked, purged."""
    fields = {"Volatile": 0, "Volatile_Purged": 0}
    inside = False
    end = some.address + some.pages * PAGE
    with open("/proc/self/smaps") as file:
        for line in file:
            name, _, rest = line.partition(":")
            if "-" in name:
                start = int(name.split()[0].partition("-")[0], 16)
                inside = some.address <= start < end
            elif inside and name in fields:
                fields[name] += int(rest.split()[0])
    kib = PAGE // 1024
    return fields["Volatile"] // kib, fields["Volatile_Purged"] // kib


@case("VA-4")
def resident_and_purged() -> None:
    """Both figures follow a range from marking to purging and back; others have none."""
    pin(0)
    some, other = Range(PAGES), Range(PAGES)
    expect_eq(_of(some), (0, 0), "not marked")
    require_eq(some.mark(0, 48), 0, "mark")
    expect_eq(_of(some), (48, 0), "marked")
    expect_eq(_of(other), (0, 0), "the other range")
    require_eq(some.pageout(), 0, "MADV_PAGEOUT")
    expect_eq(_of(some), (0, 48), "purged")
    expect_eq(some.unmark(0, 16), 1, "unmark some")
    expect_eq(_of(some), (0, 32), "some unmarked")
    expect_eq(_of(other), (0, 0), "the other range, at the end")


@case("VA-4")
def sums() -> None:
    """smaps_rollup has the sums over the address space."""
    pin(0)
    first, second = Range(PAGES), Range(PAGES)
    kib = PAGE // 1024
    require_eq(first.mark(), 0, "mark")
    require_eq(second.mark(), 0, "mark")
    require_eq(second.pageout(), 0, "MADV_PAGEOUT")
    rollup = "/proc/self/smaps_rollup"
    expect_eq(key(rollup, "Volatile"), PAGES * kib, "resident")
    expect_eq(key(rollup, "Volatile_Purged"), PAGES * kib, "purged")


@case("VA-4")
def marked_here_and_not_there() -> None:
    """A shared page counts where its mapping is marked, and nowhere else."""
    pin(0)
    some = Range(PAGES)
    require_eq(some.mark(), 0, "mark")
    ready, told = os.pipe()
    go, gate = os.pipe()

    def unmark() -> None:
        require_eq(some.unmark(), 0, "the child unmarks")
        expect_eq(_of(some), (0, 0), "the child's mapping")
        os.write(told, b"r")
        os.read(go, 1)

    process = child(unmark)
    os.read(ready, 1)
    expect_eq(_of(some), (PAGES, 0), "the parent's mapping")
    os.write(gate, b"g")
    expect_eq(wait(process), 0, "the child")


main()
