# SPDX-License-Identifier: GPL-2.0-only
"""A race's schedule: points as addresses, and of the code only what is looked for on stacks."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from harness.core.errors import InvocationError
from harness.core.jsondata import from_json
from harness.debugger.symbols import Symbols
from harness.findings.finding import Schedule
from harness.findings.pyz_file import as_plain
from harness.findings.race_replay import ResolvedCode
from harness.findings.schedule import resolve_schedule
from harness.races.landmarks import BEGIN, END, OUTCOME
from harness.races.scenario import Point, Scenario, parse_place
from tests.races.conftest import toy as toy  # a fixture
from tests.races.fake_machine import scenario

PROGRAM = {BEGIN: 0x1000, END: 0x1010, OUTCOME: 0x1020, "page": 0x2000, "unused": 0x3000}


def at(place: str, *within: str) -> Scenario:
    """A scenario of one point."""
    return replace(scenario(["A: ends"]), points=(Point("A", parse_place(place), within=within),))


def test_points_are_addresses_and_the_program_is_what_is_needed_of_it(toy: Symbols) -> None:
    made = resolve_schedule(at("outer()"), toy, PROGRAM)
    assert made.breakpoints[0].addresses == toy.addresses("outer")
    assert made.program == {BEGIN: 0x1000, END: 0x1010, OUTCOME: 0x1020}
    assert made.code.functions == ()


def test_what_is_looked_for_on_stacks_is_found_without_debug_information(toy: Symbols) -> None:
    """Inlined code too; of all else there is its symbol, and whether it is assembly."""
    made = resolve_schedule(at("sink()", "inner", "outer"), toy, PROGRAM)
    made = from_json(Schedule, json.loads(json.dumps(asdict(made), default=as_plain)))
    (unit,) = toy.units_with("inner")
    inlined = unit.scopes("inner")[0].entry
    rows = (
        f"{toy_at:x} T {name}"
        for name in ("outer", "sink", "_start")
        for toy_at in toy.addresses(name)
    )
    bare = ResolvedCode(made, "\n".join(rows)).symbols
    names = [frame.function for frame in bare.frames(inlined)]
    assert names == [frame.function for frame in toy.frames(inlined)] == ["inner", "outer"]
    assert [frame.function for frame in bare.frames(*toy.addresses("sink"))] == ["sink"]
    assert bare.debug.unit_at(*toy.addresses("_start")) is None
    assert bare.debug.unit_at(*toy.addresses("sink")) is not None


def test_without_control_nothing_is_resolved() -> None:
    made = resolve_schedule(at("outer()"), None, {})
    assert (made.breakpoints, made.program, made.assembly) == ((), {}, ())


def test_a_point_that_is_nowhere_is_an_error(toy: Symbols) -> None:
    with pytest.raises(InvocationError, match="it has no function nowhere"):
        resolve_schedule(at("nowhere()"), toy, PROGRAM)
