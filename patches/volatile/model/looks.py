# SPDX-License-Identifier: GPL-2.0-only
"""What a process is seen to be, by smaps, pagemap and mincore(), against what it must be."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from .state import Frame, Page, Process, State, new_anon
from .steps import PAGES, Op, Record, Rights, Seen, Step, Where

Settle = Callable[[Frame, bool], None]


class Kind(Enum):
    """What of a step was not as it should be."""

    RESULT = "the result"
    READ = "reading"
    WRITE = "writing"
    CONTENTS = "the contents"
    FLAGS = "the flags in smaps"
    BORDER = "a border of VMAs below"
    PAGEMAP = "the entry in pagemap"
    MINCORE = "mincore"


class DivergedError(Exception):
    """The kernel did not do what the contract says: ``got``, not ``wanted``.

    ``page``: of which page; -1 where it is the call's result.
    """

    def __init__(self, kind: Kind, page: int, wanted: object, got: object) -> None:
        self.kind, self.page, self.wanted, self.got = kind, page, wanted, got
        of = f" of page {page}" if page >= 0 else ""
        super().__init__(f"{kind.value}{of} is {got}, not {wanted}")


def flags(page: Page | None) -> Seen:
    """How smaps shows a page's VMA; borders left out."""
    if page is None:
        return Seen(0)
    seen = Seen.MAPPED
    if page.rights >= Rights.READ:
        seen |= Seen.READ
    if page.rights is Rights.WRITE:
        seen |= Seen.WRITE
    return seen | Seen.VOLATILE if page.volatile else seen


def in_words(seen: Seen) -> str:
    """'rw volatile', 'r', 'not mapped'."""
    if not seen & Seen.MAPPED:
        return "not mapped"
    rights = ("r" if seen & Seen.READ else "-") + ("w" if seen & Seen.WRITE else "-")
    return rights + (" volatile" if seen & Seen.VOLATILE else "")


def placed(where: Where) -> str:
    """What pagemap says of a page."""
    if where & Where.PRESENT:
        return "present"
    return "in swap" if where & Where.SWAP else "empty"


def look_at_vmas(process: Process, record: Record) -> None:
    """Flags of every page; borders only where a call may have left one.

    Raises:
        DivergedError: it is not so.
    """
    for place, (page, seen) in enumerate(zip(process.pages, record.seen, strict=True)):
        if seen & ~Seen.BORDER != flags(page):
            wanted, got = in_words(flags(page)), in_words(seen & ~Seen.BORDER)
            raise DivergedError(Kind.FLAGS, place, wanted, got)
    borders = {place for place, seen in enumerate(record.seen) if seen & Seen.BORDER}
    for place in sorted(borders - process.may_border - {0}):
        below, above = process.pages[place - 1], process.pages[place]
        if below is not None and above is not None and below.like(above):
            raise DivergedError(Kind.BORDER, place, "none", "one")
    process.borders = borders
    process.may_border &= borders
    for vma in process.runs():
        pages = [page for place in vma if (page := process.pages[place]) is not None]
        known = {page.anon for page in pages} - {0}
        anon = new_anon() if len(known) > 1 else max(known, default=0)
        for page in pages:
            page.anon = anon


def look_at_pages(process: Process, record: Record, settle: Settle) -> None:
    """Where the pages are: what is purged is nowhere, what is intact is somewhere.

    Raises:
        DivergedError: it is not so.
    """
    for place, (page, where) in enumerate(zip(process.pages, record.where, strict=True)):
        frame = page.frame if page is not None else None
        if frame is not None and frame.state is State.MAYBE:
            resolve_by_sight(frame, where, settle)
        if where & Where.NO_MINCORE:
            raise DivergedError(Kind.MINCORE, place, "0 or 1", "an error")
        got = placed(where)
        if frame is not None and frame.state is State.INTACT:
            if not where & (Where.PRESENT | Where.SWAP):
                raise DivergedError(Kind.PAGEMAP, place, "present or in swap", got)
        elif where & Where.SWAP or (where & Where.PRESENT and not (page and page.read)):
            raise DivergedError(Kind.PAGEMAP, place, "empty", got)
        if record.seen and where & Where.IN_CORE and frame and frame.state is State.PURGED:
            raise DivergedError(Kind.MINCORE, place, "0", "1")


def resolve_by_sight(frame: Frame, where: Where, settle: Settle) -> None:
    """A frame of which nobody knew whether it was purged: pagemap shows it."""
    settle(frame, not where & (Where.PRESENT | Where.SWAP))


def wanted_borders(process: Process, step: Step) -> set[int]:
    """Pages of a marked or unmarked range, its end included, below which no border may be left.

    Those between pages that are alike and share an anon_vma, or lack one (V-MK-2); in a
    process that never forked, where nothing was moved. A piece without an anon_vma
    between two that have different ones can join one of them only: nothing is said then.
    A moved piece joins if its offset happens to fit, so its anon_vma may be the other one.
    """
    if step.op not in (Op.MARK, Op.UNMARK) or not step.count or process.forked:
        return set()
    found = set()
    for place in range(max(step.page, 1), min(step.page + step.count, PAGES - 1) + 1):
        below, above = process.pages[place - 1], process.pages[place]
        if below is None or above is None or not below.like(above):
            continue
        if not (below.home and above.home):
            continue
        if below.anon == above.anon or len(_anons_around(process, place)) <= 1:
            found.add(place)
    return found


def _anons_around(process: Process, place: int) -> set[int]:
    """The anon_vmas of all the pieces that could become one VMA around a border."""
    first = end = place
    pages = process.pages
    while first > 0 and (below := pages[first - 1]) and (above := pages[first]):
        if not below.like(above):
            break
        first -= 1
    while end < PAGES - 1 and (below := pages[end]) and (above := pages[end + 1]):
        if not below.like(above):
            break
        end += 1
    return {page.anon for page in pages[first : end + 1] if page} - {0}
