# SPDX-License-Identifier: GPL-2.0-only
"""The order of a race with all that its points name turned into addresses of one kernel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from harness.debugger.code import Scope, Unit
from harness.debugger.symbols import Symbols
from harness.findings.finding import Schedule
from harness.races.breakpoints import find_breakpoint
from harness.races.landmarks import BEGIN, END, OUTCOME
from harness.races.scenario import Scenario


def _bare(scope: Scope) -> Scope:
    """Name and addresses: a replay has no source."""
    return Scope(scope.name, scope.ranges, "", 0, "", scope.call_line)


def resolve_schedule(
    scenario: Scenario, symbols: Symbols | None, program: Mapping[str, int]
) -> Schedule:
    """The schedule of a scenario on the kernel of ``symbols``; None: nobody is held.

    ``program``: the symbols of the guest program. Raises InvocationError: a point is nowhere.
    """
    empty = Unit("", (), ())
    if symbols is None:
        return Schedule(scenario, (), {}, empty, ())
    breakpoints = [find_breakpoint(point, symbols, program) for point in scenario.points]
    variables = (a.variable for point in scenario.points for a in point.arguments if a.variable)
    names = [name for name in (BEGIN, END, OUTCOME, *variables) if name in program]
    scopes = [
        _bare(scope)
        for name in sorted(scenario.looked_for)
        for unit in symbols.units_with(name)
        for scope in unit.scopes(name)
    ]
    scopes.sort(key=lambda scope: -sum(high - low for low, high in scope.ranges))  # outer first
    return Schedule(
        scenario,
        tuple(replace(at, text="", inlined_into=()) for at in breakpoints),
        {name: program[name] for name in names},
        replace(empty, functions=tuple(scopes)),
        tuple(start for start in symbols.functions() if not symbols.debug.covers(start)),
    )
