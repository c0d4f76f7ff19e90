# SPDX-License-Identifier: GPL-2.0-only
"""From a place as a scenario names it to addresses for breakpoints.

What the compiler has inlined, copied or moved is found through the debug information.
What cannot be found is an error that says what there is instead: a point that nobody
ever reaches would make a race look fixed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.core.errors import InvocationError
from harness.debugger.code import Scope, Unit
from harness.debugger.symbols import Symbols
from harness.races.landmarks import END
from harness.races.scenario import Point

MAX_LINES_NEAR = 4  # that are named where a line has no code
Code = Sequence[tuple[Unit, Scope]]  # all copies of one function


@dataclass(frozen=True)
class Breakpoint:
    """Where a point is in the kernel under test: the first that is reached of ``addresses``.

    ``file``: None in the guest program or in assembly. ``inlined_into``: functions that hold
    copies. ``on_return``: addresses of the entry; the thread is held when the call is over.
    """

    addresses: tuple[int, ...]
    file: str | None = None
    line: int = 0
    text: str = ""
    inlined_into: tuple[str, ...] = ()
    on_return: bool = False


def find_breakpoint(point: Point, symbols: Symbols, program: Mapping[str, int]) -> Breakpoint:
    """The breakpoint of a point; ``program``: the symbols of the guest program.

    An InvocationError: there is no such place; it names what there is instead.
    """
    place = point.place
    if place.kind in ("end", "program"):
        name = END if place.kind == "end" else place.function
        if name not in program:
            raise _nowhere(point, f"the guest program has no function {name}()")
        return Breakpoint((program[name],))
    for name in point.within:
        if not symbols.units_with(name) and not symbols.addresses(name):
            raise _unknown(point, name, symbols)
    units = symbols.units_with(place.function, point.within)
    code = [(unit, scope) for unit in units for scope in unit.scopes(place.function)]
    if code:
        return (_line if place.kind == "line" else _entry)(point, code, symbols)
    at = symbols.addresses(place.function)
    if at and place.kind != "line":  # assembly: a symbol and no debug information
        return Breakpoint(at, on_return=place.kind == "return")
    if units:
        why = f"{place.function}() is in {units[0].name}, and no code of it is left"
        raise _nowhere(point, why)
    raise _unknown(point, place.function, symbols)


def _nowhere(point: Point, why: str, advice: str | None = None) -> InvocationError:
    return InvocationError(
        f"point '{point}' is nowhere in this kernel: {why}",
        next_step=advice or "correct the scenario; see docs/races.md",
    )


def _unknown(point: Point, name: str, symbols: Symbols) -> InvocationError:
    similar = ", ".join(f"{other}()" for other in symbols.similar(name))
    advice = f"there is: {similar}" if similar else "was it renamed? see the tree"
    return _nowhere(point, f"it has no function {name}()", advice)


def _inlined_into(code: Code) -> tuple[str, ...]:
    """The functions that hold inlined copies."""
    inlined = [(unit, scope) for unit, scope in code if scope.call_line]
    return tuple(sorted({f.name for u, scope in inlined for f in u.functions if scope in f.all()}))


def beginnings(code: Code) -> tuple[int, ...]:
    """Where a function begins: of what is inlined each part, of which the first reached is it.

    That has no entry: gcc lists its parts by address, and begins with any of them
    (do_anonymous_page() of 6.1 with its last).
    """
    ranges = (part for _, at in code for part in (at.ranges if at.call_line else at.ranges[:1]))
    return tuple(sorted({start for start, _ in ranges}))


def _entry(point: Point, code: Code, symbols: Symbols) -> Breakpoint:
    scope, inlined_into, place = code[0][1], _inlined_into(code), point.place
    on_return = place.kind == "return"
    if on_return and inlined_into:
        into = ", ".join(f"{name}()" for name in inlined_into)
        why = f"{place.function}() is inlined into {into}, and returns to nobody"
        advice = f"name a line behind the call instead, as in '{inlined_into[0]}: text'"
        raise _nowhere(point, why, advice)
    addresses = beginnings(code)
    if point.nth > 1:  # to count several times, one place is needed
        addresses = tuple(sorted({at.entry for _, at in code}))
    text = symbols.source.line(scope.file, scope.line)
    return Breakpoint(addresses, scope.file, scope.line, text, inlined_into, on_return)


def lines_with_code(code: Code, symbols: Symbols) -> dict[str, Breakpoint]:
    """The lines of a function that a point can name, by their text, in order.

    A point means the first line that has its text; a later one cannot be named by it.
    """
    if not code:
        return {}
    scope = code[0][1]
    body, written = _body(scope, symbols)
    inlined_into, named = _inlined_into(code), {}
    for at, addresses in sorted(_starts(code, scope.file, body).items()):
        text = written[at]
        if text and next(n for n, other in written.items() if text in other) == at:
            where = tuple(sorted(addresses))
            named[text] = Breakpoint(where, scope.file, at, text, inlined_into)
    return named


def _body(scope: Scope, symbols: Symbols) -> tuple[range, dict[int, str]]:
    """The lines of a function, and the text of each with single spaces."""
    lines = symbols.source.lines(scope.file)
    # A function goes from its name to the brace in the first column.
    ends = (n for n in range(scope.line, len(lines) + 1) if lines[n - 1].startswith("}"))
    body = range(scope.line, next(ends, scope.line) + 1)
    return body, {n: " ".join(lines[n - 1].split()) for n in body if n <= len(lines)}


def _line(point: Point, code: Code, symbols: Symbols) -> Breakpoint:
    scope, place = code[0][1], point.place
    body, written = _body(scope, symbols)
    matches = [n for n, text in written.items() if place.text in text]
    if not matches:
        where = f"{place.function}() ({scope.file}:{body.start} to {body.stop - 1})"
        advice = "the code has moved: look at it there, and correct the scenario"
        raise _nowhere(point, f"no line of {where} has that text", advice)
    at, starts = matches[0], _starts(code, scope.file, body)
    if at not in starts:
        near = sorted(sorted(starts, key=lambda n: abs(n - at))[:MAX_LINES_NEAR])
        shown = [f"{scope.file}:{n}: {symbols.source.line(scope.file, n)}" for n in near]
        advice = "\n".join(["lines near it that have code:", *shown])
        raise _nowhere(point, f"no instruction is left of {scope.file}:{at}", advice)
    addresses, text = tuple(sorted(starts[at])), symbols.source.line(scope.file, at)
    return Breakpoint(addresses, scope.file, at, text, _inlined_into(code))


def _starts(code: Code, file: str, body: range) -> dict[int, set[int]]:
    """Where the code of each line of a function begins, in all its copies."""
    starts: dict[int, set[int]] = {}
    for unit, scope in code:
        before = None
        for row in unit.rows:
            goes_on, before = before == (row.file, row.line), (row.file, row.line)
            ours = row.file == file and row.line in body and row.statement and not row.end
            if ours and not goes_on and scope.covers(row.address):
                starts.setdefault(row.line, set()).add(row.address)
    return starts
