# SPDX-License-Identifier: GPL-2.0-only
"""Random use of a range, compared with a model of what the kernel promises.

There is no swap: MADV_PAGEOUT purges each volatile page that was written, and leaves
all others. So the model knows the contents, the flag and every return value.
"""

from __future__ import annotations

import random

from vr import MADV_DONTNEED, MADV_PAGEOUT, Range
from vtest import case, diag, expect_eq, main, require_eq
from vtsys import PAGE, pin

PAGES = 24
STEPS = 160

# What a page of the model holds.
NOTHING, FILLED, PURGED = range(3)
FLOOR = 5  # calls that report a purge


class Model:
    """A range of the kernel's and what should be in it."""

    def __init__(self) -> None:
        self.range = Range(PAGES, fill=False)
        self.volatile = [False] * PAGES
        self.holds = [NOTHING] * PAGES
        self.purges_seen = 0

    def mark(self, first: int, count: int) -> None:
        """MADV_VOLATILE."""
        require_eq(self.range.mark(first, count), 0, "mark")
        self.volatile[first : first + count] = [True] * count

    def unmark(self, first: int, count: int) -> None:
        """MADV_NONVOLATILE: 1 exactly if one of these pages was purged."""
        lost = PURGED in self.holds[first : first + count]
        require_eq(self.range.unmark(first, count), int(lost), "unmark")
        self.purges_seen += lost
        for index in range(first, first + count):
            self.volatile[index] = False
            if self.holds[index] == PURGED:
                self.holds[index] = NOTHING

    def fill(self, first: int, count: int) -> None:
        """Writes pages that can be written without a signal."""
        for index in range(first, first + count):
            if self.holds[index] != PURGED:
                self.range.fill(index)
                self.holds[index] = FILLED

    def pageout(self, first: int, count: int) -> None:
        """MADV_PAGEOUT: what is filled and volatile goes."""
        require_eq(self.range.advise(MADV_PAGEOUT, first, count), 0, "pageout")
        for index in range(first, first + count):
            if self.volatile[index] and self.holds[index] == FILLED:
                self.holds[index] = PURGED

    def dontneed(self, first: int, count: int) -> None:
        """MADV_DONTNEED: contents and purges are forgotten."""
        require_eq(self.range.advise(MADV_DONTNEED, first, count), 0, "dontneed")
        self.holds[first : first + count] = [NOTHING] * count

    def check(self) -> None:
        """Flags by smaps, contents of all pages that can be read."""
        wanted = "".join("V" if flag else "-" for flag in self.volatile)
        require_eq(self.range.picture(), wanted, "volatile pages")
        wrong = []
        for index, holds in enumerate(self.holds):
            if holds == PURGED:
                continue
            page = self.range.page(index) if holds == FILLED else bytes(PAGE)
            if self.range.contents(index) != page:
                wrong.append(index)
        require_eq(wrong, [], "pages with wrong contents")


@case("V-MK-2", "V-MK-5", "V-SB-5", "V-SB-6", "V-SB-9", "V-PG-2", timeout=20)
def random_use_follows_the_model() -> None:
    """Random marking, writing, purging and dropping of pages follows a simple model."""
    seed = random.randrange(1 << 32)
    diag(f"seed {seed}")
    chance = random.Random(seed)
    pin(0)
    model = Model()
    # One page before the first split: only pieces of one anon_vma merge again.
    model.fill(0, 1)
    actions = (model.mark, model.unmark, model.fill, model.fill, model.pageout, model.dontneed)
    weights = (4, 3, 4, 2, 3, 1)
    step = 0
    # A program that reported too few purges has shown too little and goes on; one
    # that never reports any runs out of time.
    while step < STEPS or model.purges_seen <= FLOOR:
        step += 1
        action = chance.choices(actions, weights)[0]
        first = chance.randrange(PAGES)
        action(first, chance.randint(1, min(6, PAGES - first)))
        if step % 16 == 0:
            model.check()
    model.check()
    model.unmark(0, PAGES)
    model.check()
    diag(f"{step} steps, {model.purges_seen} calls reported a purge")
    model.dontneed(0, PAGES)
    expect_eq(model.range.vma_count(), 1, "VMAs in the end")


main()
