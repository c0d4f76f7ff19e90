# SPDX-License-Identifier: GPL-2.0-only
"""Places in optimised code, on a program that is compiled here: inlined, copied, gone."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from harness.core.errors import InvocationError
from harness.debugger.symbols import Symbols
from harness.races.breakpoints import Breakpoint, find_breakpoint
from harness.races.scenario import Point, parse, parse_place
from harness.races.verdict import explanation
from tests.races.test_scenario import BODY, written
from tests.races.toy_kernel import line_of


def find(toy: Symbols, place: str, *within: str) -> Breakpoint:
    point = Point("A", parse_place(place), within=within)
    return find_breakpoint(point, toy, {"race_end": 0x1000})


def test_a_function_is_where_its_symbol_is(toy: Symbols) -> None:
    found = find(toy, "outer()")
    assert found.addresses == toy.addresses("outer")
    assert (found.file, found.line) == ("mm/toy.c", line_of("int outer("))
    assert "outer(int x)" in found.text and found.inlined_into == ()


def test_an_inlined_function_is_wherever_it_is(toy: Symbols) -> None:
    found = find(toy, "inner()")
    assert found.inlined_into == ("outer",)
    for address in found.addresses:
        assert [f.function for f in toy.frames(address)] == ["inner", "outer"]


def test_an_inlined_function_begins_with_whichever_part_is_reached(toy: Symbols) -> None:
    """gcc lists the parts of what is inlined by address, and the last may be the first to run."""
    units = toy.units_with("inner")
    copies = [scope for unit in units for scope in unit.scopes("inner")]
    parts = {start for scope in copies for start, _ in scope.ranges}
    assert set(find(toy, "inner()").addresses) == parts and len(parts) > len(copies)
    twice = Point("A", parse_place("inner()"), nth=2)
    assert len(find_breakpoint(twice, toy, {}).addresses) == len(copies) == 2


def test_a_line_is_found_by_its_text(toy: Symbols) -> None:
    found = find(toy, "outer: sink( r )".replace("( r )", "(r)"))
    assert (found.line, found.text) == (line_of("sink(r);"), "sink(r);")
    assert all(toy.frames(a)[0].function == "outer" for a in found.addresses)


def test_white_space_in_a_line_does_not_matter(toy: Symbols) -> None:
    assert find(toy, "outer: int r   =  inner(x)").line == line_of("int r = inner")


def test_a_line_of_an_inlined_function(toy: Symbols) -> None:
    found = find(toy, "inner: data[0] += x;")
    assert len(found.addresses) >= 2 and found.inlined_into == ("outer",)


def test_a_return_is_looked_for_from_the_entry(toy: Symbols) -> None:
    found = find(toy, "outer() returns")
    assert found.on_return and found.addresses == toy.addresses("outer")


def test_the_end_is_a_landmark_of_the_program(toy: Symbols) -> None:
    assert find(toy, "ends").addresses == (0x1000,)


@pytest.mark.parametrize(
    ("place", "within", "what", "advice"),
    [
        ("ouster()", (), "it has no function ouster()", "there is: outer()"),
        ("outer()", ("innner",), "it has no function innner()", "there is: inner()"),
        ("folded()", (), "no code of it is left", ""),
        ("outer: r -= 1;", (), "no line of outer() (mm/toy.c:", "the code has moved"),
        ("outer: nothing is done here", (), "no instruction is left of mm/toy.c:", "have code"),
        ("inner() returns", (), "inlined into outer(), and returns to nobody", "'outer: text'"),
        ("program go()", (), "the guest program has no function go()", ""),
    ],
)
def test_what_is_not_there_says_what_is(
    toy: Symbols, place: str, within: tuple[str, ...], what: str, advice: str
) -> None:
    with pytest.raises(InvocationError) as caught:
        find(toy, place, *within)
    assert what in caught.value.what and advice in str(caught.value.next_step)
    assert caught.value.exit_code == 2


def test_frames_have_lines_and_callers_of_what_is_inlined(toy: Symbols) -> None:
    address = find(toy, "inner()").addresses[-1]
    inner, outer = toy.frames(address)
    assert inner.inlined and not outer.inlined
    assert (outer.file, outer.line) == ("mm/toy.c", line_of("r += inner(x + 2)"))


def test_a_return_address_belongs_to_the_call_before_it(toy: Symbols) -> None:
    start = toy.addresses("sink")[0]
    assert start is not None
    assert toy.frames(start)[0].function == "sink"
    assert toy.frames(start - 1)[0].function != "sink"


def test_an_address_of_nothing_has_no_name(toy: Symbols) -> None:
    assert toy.symbol_at(0x10) == ("", 0)


def test_a_scenario_is_drawn_with_the_source_around_its_points(toy: Symbols) -> None:
    body = BODY[: BODY.index("points:")] + (
        "points:\n  - A: inner()\n    says: is about to add\n    within: outer\n  - B: ends\n"
        "outcome: {hit: a, miss: b, excluded: {B: take, lock: the lock}}\n"
    )
    scenario = parse(written(body), Path("toy.c"), "6.1")
    assert scenario is not None
    breakpoints = [find_breakpoint(p, toy, {"race_end": 0x1000}) for p in scenario.points]
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(explanation(scenario, breakpoints, toy.source))
    text = console.export_text()
    number = line_of("int inner(int x)")
    assert f"mm/toy.c:{number}, inlined into outer()" in text and "within outer()" in text
    assert f"  > {number:5}  static inline" in text and f"    {number + 1:5}  {{" in text
    assert "is about to add" in text and "excluded: B waits in take() for the lock" in text
    assert "sequential" not in text
    narrow = Console(width=16, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    narrow.print(explanation(scenario, breakpoints, toy.source))
    assert "\N{HORIZONTAL ELLIPSIS}" not in narrow.export_text()
