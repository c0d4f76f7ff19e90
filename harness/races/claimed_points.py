# SPDX-License-Identifier: GPL-2.0-only
"""From the rows of a claim to points in the kernel at hand, and to the orders that are tried.

A row says that something happens, and not where a thread is to be held while another one goes
on. So a claim is read in up to three ways, and each is tried; the reverse is tried as well.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harness.core.errors import InvocationError
from harness.debugger.symbols import Symbols
from harness.races.breakpoints import Breakpoint, find_breakpoint
from harness.races.claims import Claim, Row
from harness.races.scenario import Place, Point, parse_place

MAX_PLACES = 40  # of one point: a function that is inlined everywhere is no place
ENDS = parse_place("ends")
REVERSE = "in reverse"  # the name of that order


@dataclass(frozen=True)
class ClaimedPoint:
    """A row with the place that it has in this kernel; ``how`` it was found, in words."""

    row: Row
    place: Place
    at: Breakpoint
    within: tuple[str, ...] = ()
    how: str | None = None

    def point(self, thread: str) -> Point:
        """The point of a scenario in which ``thread`` is of the program."""
        return Point(thread, self.place, self.row.text, self.within)


@dataclass(frozen=True)
class Order:
    """One way to hold the threads: points by the titles of the claim's columns."""

    name: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Resolved:
    """``found``: the claim's rows that have a place, in order. ``lost``: those that name one that
    this kernel has not, and why. ``words``: what is no place, such as a statement not found."""

    found: tuple[ClaimedPoint, ...]
    lost: tuple[tuple[Row, str], ...]
    words: tuple[Row, ...]


def resolve(claim: Claim, symbols: Symbols) -> Resolved:
    """Looks for each row of a claim in a kernel."""
    found: list[ClaimedPoint] = []
    lost: list[tuple[Row, str]] = []
    words: list[Row] = []
    for number, row in enumerate(claim.rows):
        above = [at for at in found if at.row.thread == row.thread]
        before = (r for r in reversed(claim.rows[:number]) if r.thread == row.thread)
        caller = next((r for r in before if r.indent < row.indent), None)
        callers = [at.place.function for at in above if at.row is caller]
        around = callers[0] if callers else above[-1].place.function if above else None
        try:
            if row.file is not None:
                found.append(_line(row, row.file, row.line, row.function, symbols))
            elif row.function is not None:
                found.append(_function(row, row.function, around, tuple(callers), symbols))
            elif around is not None and not row.ends:
                found.append(_made(row, f"{around}: {row.text}", symbols))
            else:
                words.append(row)
        except InvocationError as error:
            if row.named:
                lost.append((row, "; ".join(filter(None, (_reason(error), error.next_step)))))
            else:
                words.append(row)
    return Resolved(tuple(found), tuple(lost), tuple(words))


def _reason(error: InvocationError) -> str:
    """Why a point is nowhere, without the point itself, which is told beside it."""
    return error.what.partition("is nowhere in this kernel: ")[2] or error.what


def _made(
    row: Row, place: str, symbols: Symbols, within: tuple[str, ...] = (), how: str | None = None
) -> ClaimedPoint:
    point = Point(row.thread, parse_place(place), within=within)
    at = find_breakpoint(point, symbols, {})
    if len(at.addresses) > MAX_PLACES:
        raise InvocationError(
            f"{place} is in {len(at.addresses)} places of this kernel",
            next_step="indent it below the function that calls it",
        )
    return ClaimedPoint(row, point.place, at, within, how)


def _function(
    row: Row, name: str, around: str | None, within: tuple[str, ...], symbols: Symbols
) -> ClaimedPoint:
    starts, entry = symbols.addresses(name), f"__x64_sys_{name}"
    if row.offset is not None:
        if len(starts) == 1 and symbols.size(starts[0]) == row.size:
            # A report has where its call of the checker, or of the next function, comes back to.
            frame = symbols.frames(starts[0] + max(0, row.offset - 1))[0]
            if frame.line:
                return _line(row, frame.file, frame.line, frame.function, symbols)
        how = f"{name}() has another size here than in the report: held on entry to it"
        return _made(row, f"{name}()", symbols, how=how)
    if starts:
        return _made(row, f"{name}()", symbols)
    if symbols.addresses(entry):
        return _made(row, f"{entry}()", symbols, how="the system call")
    if around is not None:
        with contextlib.suppress(InvocationError):  # a macro, or inlined: the line that has it
            return _made(row, f"{around}: {row.text}", symbols, how=f"a line of {around}()")
    return _made(row, f"{name}()", symbols, within)


def _line(row: Row, file: str, number: int, function: str | None, symbols: Symbols) -> ClaimedPoint:
    """A line by its number, as scenarios have it: by its text in the function that has it.

    ``function``: which that is, where it is known; if nothing of the line is left, its entry.
    """
    path = _path(file, symbols)
    text = " ".join(symbols.source.line(path, number).split())
    names = [function] if function else _functions_at(path, number, symbols)
    why = (
        f"no instruction is left of {path}:{number}: {text}"
        if text
        else f"{path}:{number} is empty"
    )
    for name in names if text else ():
        try:
            made = _made(row, f"{name}: {text}", symbols)
        except InvocationError as error:
            why = _reason(error)
            continue
        if made.at.line == number:
            return replace(made, how=f"{path}:{number}")
        why = f"{path}:{number} has the text of line {made.at.line}: {text}"
    if function is None:
        raise InvocationError(why, next_step="name the function, or what the line calls")
    return _made(row, f"{function}()", symbols, how=f"{why}; held on entry to it")


def _functions_at(path: str, number: int, symbols: Symbols) -> list[str]:
    """The functions of a file whose code, wherever it is, is of that line."""
    unit = symbols.debug.unit_of(path)
    found: dict[str, None] = {}
    for at in unit.rows if unit is not None else ():
        if (at.file, at.line) == (path, number) and not at.end and unit is not None:
            inside = [scope for scope in unit.chain(at.address) if scope.file == path]
            found.update({scope.name: None for scope in inside[-1:]})
    return list(found)


def _path(file: str, symbols: Symbols) -> str:
    """A file of the tree by what a claim calls it: from somewhere on, or its last part."""
    if symbols.source.lines(file):
        return file
    names = [n for n in symbols.debug.names() if n.endswith(f"/{file}") or file.endswith(f"/{n}")]
    if len(names) != 1:
        known = f"is one of {', '.join(names)}" if names else "is no file that was compiled"
        raise InvocationError(f"{file} {known}")
    return names[0]


# ---- the orders ----------------------------------------------------------------------------


def orders(found: Sequence[ClaimedPoint]) -> tuple[Order, ...]:
    """The orders to try: the readings of what is claimed, then the reverse.

    A thread that is interrupted in the claim is held where its last row before that begins
    (*early*) or where its next one does (*late*); one that does not come again runs to its end,
    or is held where its last row begins (*before the last row*). What follows the last change of
    threads is what the claim says will happen, and nobody is held there.
    """
    blocks = [list(rows) for _, rows in itertools.groupby(found, key=lambda at: at.row.thread)]
    who = [rows[0].row.thread for rows in blocks]
    # The last block is a consequence, where its thread was there before.
    consequence = len(blocks) > 1 and who[-1] in who[:-1]
    parts = blocks[:-1] if consequence else blocks

    def reading(name: str, *, late: bool, to_the_end: bool) -> Order:
        points: list[Point] = []
        for number, rows in enumerate(parts):
            thread = who[number]
            again = next((b for b in range(number + 1, len(blocks)) if who[b] == thread), None)
            points += [at.point(thread) for at in rows]
            if late and again is not None:
                points.append(blocks[again][0].point(thread))
            if again is None and number and to_the_end:
                points.append(Point(thread, ENDS))
        if not to_the_end:  # while the others are held, and not when all are let go
            points.append(Point(who[0], ENDS))
        return Order(name, tuple(dict.fromkeys(points)))

    first = who[0]
    others = [at for at in found if at.row.thread != first]
    reverse = [others[0].point(others[0].row.thread)]
    reverse += [at.point(first) for at in found if at.row.thread == first]
    reverse.append(Point(first, ENDS))
    made = (
        reading("as claimed", late=True, to_the_end=True),
        reading("as claimed, held early", late=False, to_the_end=True),
        reading("as claimed, before the last row", late=False, to_the_end=False),
        Order(REVERSE, tuple(reverse)),
    )
    distinct: dict[tuple[Point, ...], Order] = {}
    for order in made:
        distinct.setdefault(order.points, order)
    return tuple(distinct.values())


def with_threads(order: Order, mapping: Mapping[str, str]) -> Order:
    """The order with the names that the program's threads have."""
    points = tuple(replace(p, thread=mapping[p.thread]) for p in order.points)
    return replace(order, points=points)
