# SPDX-License-Identifier: GPL-2.0-only
"""A scenario as a maintainer would draw it: a column a thread, the points in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from harness.places import Spot
from harness.scenario import Point, Scenario
from harness.symbols import Source

AROUND = 1  # lines of the kernel's source before and after the one


def explanation(scenario: Scenario, spots: Sequence[Spot], source: Source) -> RenderableType:
    """What is about to be run, with the kernel's source lines at hand.

    Args:
        spots: of the scenario's points, in order.
        source: of the kernel in which they are.
    """
    clauses = f" ({', '.join(scenario.clauses)})" if scenario.clauses else ""
    parts: list[RenderableType] = [
        Text.from_markup(f"[bold]{scenario.name}[/]{escape(clauses)}"),
        Text(scenario.about),
        Text(f"without the protection: {scenario.variant}.patch"),
        Text(""),
        _columns(scenario, spots),
        Text(""),
    ]
    if not scenario.controlled:
        parts.insert(4, Text("sequential: nobody is held, the order is the program's own"))
    for number, (point, spot) in enumerate(zip(scenario.points, spots, strict=True), 1):
        if spot.file:
            parts += [Text(line) for line in _source(number, point, spot, source)]
    parts += [Text(f"hit:      {scenario.hit}"), Text(f"miss:     {scenario.miss}")]
    if scenario.exclusion is not None:
        expected = scenario.exclusion
        parts.append(
            Text(f"excluded: {expected.thread} waits in {expected.function}() for {expected.lock}")
        )
    return Group(*parts, Text(""))


def _columns(scenario: Scenario, spots: Sequence[Spot]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("")
    for thread in scenario.threads:
        table.add_column(f"{thread.name}, CPU {thread.cpu}: {escape(thread.does)}", ratio=1)
    for number, (point, spot) in enumerate(zip(scenario.points, spots, strict=True), 1):
        cells = [_cell(point, spot) if point.thread == t.name else "" for t in scenario.threads]
        table.add_row(str(number), *cells)
    return table


def _cell(point: Point, spot: Spot) -> str:
    lines = [f"[bold]{escape(str(point.place))}[/]"]
    if spot.file:
        into = f", inlined into {', '.join(f'{name}()' for name in spot.inside)}"
        lines.append(f"[dim]{spot.file}:{spot.line}{into if spot.inside else ''}[/]")
    conditions = [f"within {name}()" for name in point.within]
    conditions += [f"time {point.nth}"] if point.nth > 1 else []
    for argument in point.arguments:
        wanted = argument.variable or f"& {argument.mask:#x}"
        conditions.append(f"argument {argument.number}: {wanted}")
    if conditions:
        lines.append(f"[dim]{escape(', '.join(conditions))}[/]")
    if point.says:
        lines.append(escape(point.says))
    return "\n".join(lines)


def _source(number: int, point: Point, spot: Spot, source: Source) -> Iterator[str]:
    """The lines of the kernel around a point."""
    yield f"{number} {point.thread}  {spot.file}"
    lines = source.lines(spot.file)
    first, last = max(1, spot.line - AROUND), min(len(lines), spot.line + AROUND)
    for at in range(first, last + 1):
        mark = ">" if at == spot.line else " "
        yield f"  {mark} {at:5}  {lines[at - 1].expandtabs(8)}"
    yield ""
