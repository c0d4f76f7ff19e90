# SPDX-License-Identifier: GPL-2.0-only
"""From a place as a scenario names it to addresses for breakpoints.

What the compiler has inlined, copied or moved is found through the debug information.
What cannot be found is an error that says what there is instead: a point that nobody
ever reaches would make a race look fixed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.dwarf import Scope, Unit
from harness.errors import InvocationError
from harness.scenario import Point
from harness.symbols import Symbols


@dataclass(frozen=True)
class Spot:
    """Where a point is in the kernel under test.

    Args:
        addresses: whichever of them is reached first.
        file: of the source, '' for a place in the guest program.
        text: the source line.
        inside: the functions whose code it was inlined into.
        on_return: the addresses are of the entry; the thread is held when the call is over.
    """

    addresses: tuple[int, ...]
    file: str = ""
    line: int = 0
    text: str = ""
    inside: tuple[str, ...] = ()
    on_return: bool = False


def find(
    point: Point, symbols: Symbols, program: dict[str, int], landmark: str = "race_end"
) -> Spot:
    """The spot of a point.

    Args:
        program: the symbols of the guest program.
        landmark: its function that a thread calls at its end.

    Raises:
        InvocationError: there is no such place; names what there is instead.
    """
    place = point.place
    if place.kind in ("end", "program"):
        name = landmark if place.kind == "end" else place.function
        if name not in program:
            raise _lost(point, f"the guest program has no function {name}()")
        return Spot((program[name],))
    for name in point.within:
        if not symbols.units_with(name) and not symbols.addresses(name):
            raise _gone(point, name, symbols)
    units = symbols.units_with(place.function, point.within)
    if place.kind == "line":
        return _line(point, units, symbols)
    return _entry(point, units, symbols)


def _lost(point: Point, why: str, more: str = "") -> InvocationError:
    return InvocationError(
        f"point '{point.thread}: {point.place}' is nowhere in this kernel: {why}",
        next_step=more or "correct the scenario; see docs/races.md",
    )


def _gone(point: Point, name: str, symbols: Symbols) -> InvocationError:
    similar = ", ".join(f"{other}()" for other in symbols.similar(name))
    return _lost(
        point,
        f"it has no function {name}()",
        f"there is: {similar}" if similar else "was it renamed? see the tree",
    )


def _outer(unit: Unit, scope: Scope) -> str:
    """The function that an inlined scope is part of."""
    return next((f.name for f in unit.functions if scope in f.all()), "")


def _entry(point: Point, units: Iterable[Unit], symbols: Symbols) -> Spot:
    name = point.place.function
    found = [(unit, scope) for unit in units for scope in unit.scopes(name)]
    if not found:
        if at := symbols.addresses(name):  # assembly: a symbol and no debug information
            return Spot(at, on_return=point.place.kind == "return")
        if owners := [unit.name for unit in units]:
            raise _lost(point, f"{name}() is in {owners[0]}, and no code of it is left")
        raise _gone(point, name, symbols)
    inlined = [(unit, scope) for unit, scope in found if scope.call_line]
    if point.place.kind == "return" and inlined:
        into = ", ".join(sorted({f"{_outer(u, s)}()" for u, s in inlined}))
        raise _lost(
            point,
            f"{name}() is inlined into {into}, and returns to nobody",
            f"name a line behind the call instead, as in '{_outer(*inlined[0])}: text'",
        )
    scope = found[0][1]
    return Spot(
        tuple(sorted({scope.entry for _, scope in found})),
        scope.file,
        scope.line,
        symbols.source.line(scope.file, scope.line),
        tuple(sorted({_outer(unit, s) for unit, s in inlined})),
        on_return=point.place.kind == "return",
    )


def _body(scope: Scope, symbols: Symbols) -> range:
    """The lines of a function: from its name to the brace in the first column."""
    lines = symbols.source.lines(scope.file)
    for number in range(scope.line, len(lines) + 1):
        if lines[number - 1].startswith("}"):
            return range(scope.line, number + 1)
    return range(scope.line, scope.line + 1)


def _line(point: Point, units: tuple[Unit, ...], symbols: Symbols) -> Spot:
    name, wanted = point.place.function, point.place.text
    found = [(unit, scope) for unit in units for scope in unit.scopes(name)]
    if not found:
        if units:
            raise _lost(point, f"{name}() is in {units[0].name}, and no code of it is left")
        raise _gone(point, name, symbols)
    scope = found[0][1]
    body = _body(scope, symbols)
    matches = [
        number
        for number in body
        if wanted in " ".join(symbols.source.line(scope.file, number).split())
    ]
    if not matches:
        raise _lost(
            point,
            f"no line of {name}() ({scope.file}:{body.start} to {body.stop - 1}) has that text",
            "the code has moved: look at it there, and correct the scenario",
        )
    number = matches[0]
    addresses = _starts(found, scope.file, number)
    if not addresses:
        raise _lost(
            point,
            f"no instruction is left of {scope.file}:{number}",
            _lines_with_code(found, scope, body, number, symbols),
        )
    inside = {_outer(unit, s) for unit, s in found if s.call_line}
    return Spot(
        addresses,
        scope.file,
        number,
        symbols.source.line(scope.file, number),
        tuple(sorted(inside)),
    )


def _starts(found: Iterable[tuple[Unit, Scope]], file: str, line: int) -> tuple[int, ...]:
    """Where code of a line begins, in each copy of the function."""
    addresses = set()
    for unit, scope in found:
        before = (0, "", 0)
        for row in unit.rows:
            here = (row.address, row.file, row.line)
            new = before[1:] != here[1:]
            before = here
            wanted = row.file == file and row.line == line and row.statement and not row.end
            if wanted and new and scope.covers(row.address):
                addresses.add(row.address)
    return tuple(sorted(addresses))


def _lines_with_code(
    found: Iterable[tuple[Unit, Scope]], scope: Scope, body: range, near: int, symbols: Symbols
) -> str:
    """The lines of a function next to one that was optimised away, as advice."""
    lines = {
        row.line
        for unit, s in found
        for row in unit.rows
        if row.file == scope.file and row.line in body and row.statement and s.covers(row.address)
    }
    best = sorted(sorted(lines, key=lambda number: abs(number - near))[:4])
    shown = [f"{scope.file}:{n}: {symbols.source.line(scope.file, n)}" for n in best]
    return "\n".join(["lines near it that have code:", *shown])
