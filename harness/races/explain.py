# SPDX-License-Identifier: GPL-2.0-only
"""A scenario as a maintainer would draw it: a column a thread, the points in order."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from harness.debugger.symbols import KernelSource
from harness.races.breakpoints import Breakpoint
from harness.races.scenario import Point, Scenario

LINES_AROUND = 1  # of the kernel's source before the one of a point, and after it


def explanation(
    scenario: Scenario, breakpoints: Sequence[Breakpoint], source: KernelSource
) -> RenderableType:
    """What is about to be run, with the kernel's source lines at hand.

    Args:
        breakpoints: of the scenario's points, in order; none where nobody is held.
        source: of the kernel in which they are.
    """
    columns = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    columns.add_column("")
    for thread in scenario.threads:
        columns.add_column(f"{thread.name}, CPU {thread.cpu}: {escape(thread.does)}", ratio=1)
    sources: list[Text] = []
    for number, (point, at) in enumerate(zip(scenario.points, breakpoints, strict=True), 1):
        cell = _cell(point, at)
        columns.add_row(str(number), *(cell * (point.thread == t.name) for t in scenario.threads))
        if at.file is not None:
            sources += [Text(f"{number} {point.thread}  {at.file}"), *_lines(at.file, at, source)]
    clauses = f" ({', '.join(scenario.clauses)})" if scenario.clauses else ""
    order = "sequential: nobody is held, the order is the program's own"
    expected = scenario.exclusion
    excluded = expected and f"{expected.thread} waits in {expected.function}() for {expected.lock}"
    return Group(
        Text.from_markup(f"[bold]{scenario.name}[/]{escape(clauses)}"),
        Text(scenario.about),
        Text(f"without the protection: {scenario.variant}.patch\n"),
        *(() if scenario.controlled else (Text(order),)),
        columns,
        Text(""),
        *sources,
        Text(f"hit:      {scenario.hit}"),
        Text(f"miss:     {scenario.miss}"),
        *((Text(f"excluded: {excluded}"),) if excluded else ()),
        Text(""),
    )


def _cell(point: Point, at: Breakpoint) -> str:
    lines = [f"[bold]{escape(str(point.place))}[/]"]
    if at.file is not None:
        into = f", inlined into {', '.join(f'{name}()' for name in at.inlined_into)}"
        lines.append(f"[dim]{at.file}:{at.line}{into if at.inlined_into else ''}[/]")
    conditions = [f"within {name}()" for name in point.within]
    conditions += [f"time {point.nth}"] if point.nth > 1 else []
    for argument in point.arguments:
        wanted = argument.variable or f"& {argument.mask:#x}"
        conditions.append(f"argument {argument.number}: {wanted}")
    if conditions:
        lines.append(f"[dim]{escape(', '.join(conditions))}[/]")
    if point.says is not None:
        lines.append(escape(point.says))
    return "\n".join(lines)


def _lines(file: str, at: Breakpoint, source: KernelSource) -> list[Text]:
    """The lines of the kernel around a point, and an empty one."""
    lines = source.lines(file)
    first, last = max(1, at.line - LINES_AROUND), min(len(lines), at.line + LINES_AROUND)
    return [
        *(
            Text(f"  {'>' if n == at.line else ' '} {n:5}  {lines[n - 1].expandtabs(8)}")
            for n in range(first, last + 1)
        ),
        Text(""),
    ]
