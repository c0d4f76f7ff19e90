# SPDX-License-Identifier: GPL-2.0-only
"""Volatile ranges from Python: the calls, memory to try them on, what the kernel counts.

Touching a purged page ends the process by SIGBUS, and Python cannot go on after
that: look at contents only after ``unmark``.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct

from vtest import call, diag, expect_eq, require_eq
from vtsys import PAGE, key

MADV_DONTNEED = 4
MADV_PAGEOUT = 21
MADV_VOLATILE = 26
MADV_NONVOLATILE = 27

PRESENT = 1 << 63
SWAPPED = 1 << 62


class Range:
    """``pages`` pages of fresh anonymous memory with unlike neighbours.

    Each page is filled with its tag, 8 random bytes and its index, so that a page
    that is half old and half zero shows, and the host finds it on the swap disk.
    """

    def __init__(self, pages: int, fill: bool = True) -> None:
        self.pages = pages
        self.map = mmap.mmap(-1, (pages + 2) * PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.map)) + PAGE
        self.magic = os.urandom(8)
        for fence in (self.address - PAGE, self.address + pages * PAGE):
            require_eq(call("mprotect", fence, PAGE, 0), 0, "fence off the neighbours")
        if fill:
            for index in range(pages):
                self.fill(index)

    def page(self, index: int) -> bytes:
        """What page ``index`` was filled with."""
        return (self.magic + struct.pack("<Q", index)) * (PAGE // 16)

    def fill(self, index: int) -> None:
        """Writes the whole of one page."""
        start = (index + 1) * PAGE
        self.map[start : start + PAGE] = self.page(index)

    def contents(self, index: int) -> bytes:
        """Reads the whole of one page."""
        start = (index + 1) * PAGE
        return self.map[start : start + PAGE]

    def advise(self, advice: int, first: int = 0, pages: int | None = None) -> int:
        """madvise on part of the range: 0, 1 or -errno."""
        count = self.pages - first if pages is None else pages
        return call("madvise", self.address + first * PAGE, count * PAGE, advice)

    def mark(self, first: int = 0, pages: int | None = None) -> int:
        """MADV_VOLATILE."""
        return self.advise(MADV_VOLATILE, first, pages)

    def unmark(self, first: int = 0, pages: int | None = None) -> int:
        """MADV_NONVOLATILE: 1 if anything was purged."""
        return self.advise(MADV_NONVOLATILE, first, pages)

    def pageout(self) -> int:
        """MADV_PAGEOUT."""
        return self.advise(MADV_PAGEOUT)

    def count(self) -> tuple[int, int]:
        """How many pages are all old, and how many all zero; any other is a failure."""
        old = zero = 0
        nothing = bytes(PAGE)
        for index in range(self.pages):
            page = self.contents(index)
            old += page == self.page(index)
            zero += page == nothing
        expect_eq(self.pages - old - zero, 0, "pages neither all old nor all zero")
        return old, zero

    def pagemap(self, bits: int) -> int:
        """How many pages have any of ``bits`` in their pagemap entry."""
        fd = os.open("/proc/self/pagemap", os.O_RDONLY)
        raw = os.pread(fd, self.pages * 8, self.address // PAGE * 8)
        os.close(fd)
        return sum(1 for (entry,) in struct.iter_unpack("<Q", raw) if _settled(entry) & bits)

    def want_in_swap(self, present: bool) -> None:
        """Has the host look for the tags on the swap disk after the case."""
        diag(f"@swap {'present' if present else 'absent'} {self.magic.hex()} {self.pages}")


def _settled(entry: int) -> int:
    """pagemap's entry of a page; one that is being moved is present (vr_pages.h)."""
    return entry ^ (SWAPPED | PRESENT) if entry & SWAPPED and 16 <= entry & 31 < 31 else entry


def vmstat(name: str) -> int:
    """A counter of /proc/vmstat; 0 on a kernel that does not have it."""
    return max(0, key("/proc/vmstat", name))


def purges() -> int:
    """Base pages purged since boot."""
    return vmstat("pgvolpurged")
