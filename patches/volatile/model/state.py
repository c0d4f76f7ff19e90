# SPDX-License-Identifier: GPL-2.0-only
"""What there is in a program's world: processes, their pages, and what the pages hold."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from enum import Enum

from .steps import PAGES, Rights


class State(Enum):
    """What became of contents that were written once."""

    INTACT = "intact"
    MAYBE = "perhaps purged"  # reclaim may have purged it, and nobody has looked yet
    PURGED = "purged"


@dataclass(eq=False)
class Frame:
    """The contents of a page that was written, shared after fork() until one side writes.

    Purging is all or nothing (V-PG-4): the state is one for all who have the page.
    ``pristine``: no reclaim has come by since it was written, so that it cannot be in
    swap, or on its way there.
    """

    tag: int
    state: State = State.INTACT
    pristine: bool = True


@dataclass
class Page:
    """One mapped page of one process.

    ``frame``: None where nothing was written. ``read``: the page of zeros was mapped
    by reading. ``home``: it lies where its mapping was made, which mremap() changes.
    ``anon``: which anon_vma its VMA has (0: none).
    """

    rights: Rights
    volatile: bool = False
    frame: Frame | None = None
    read: bool = False
    home: bool = True
    anon: int = 0

    def like(self, other: Page) -> bool:
        """Whether one VMA can hold both."""
        return self.rights is other.rights and self.volatile == other.volatile


Pages = list["Page | None"]


@dataclass
class Process:
    """One process. ``borders`` are those that it was last seen with.

    ``may_border``: pages below which a call has made a border that may still be there.
    ``forked``: it was once in a fork(), as a parent or as a child.
    """

    parent: int
    pages: Pages = field(default_factory=lambda: [None] * PAGES)
    borders: set[int] = field(default_factory=set)
    may_border: set[int] = field(default_factory=set)
    forked: bool = False

    def child(self, parent: int) -> Process:
        """What fork() makes of it: frames are shared, all else is copied."""
        pages: Pages = [replace(page) if page else None for page in self.pages]
        return Process(parent, pages, set(self.borders), set(self.may_border), True)

    def run(self, page: int) -> range:
        """The VMA of a mapped page, by the borders that were last seen."""
        first = page
        while first not in self.borders and first > 0 and self.pages[first - 1]:
            first -= 1
        end = page + 1
        while end < PAGES and end not in self.borders and self.pages[end]:
            end += 1
        return range(first, end)

    def runs(self) -> list[range]:
        """All its VMAs, by the borders that were last seen."""
        found: list[range] = []
        for page in range(PAGES):
            if self.pages[page] and not (found and page in found[-1]):
                found.append(self.run(page))
        return found


_anon_vmas = itertools.count(1)


def new_anon() -> int:
    """An anon_vma that no other VMA has."""
    return next(_anon_vmas)
