# SPDX-License-Identifier: GPL-2.0-only
"""Rows of a claim in the kernel at hand, and the orders that are tried of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.debugger.symbols import Symbols
from harness.races.claimed_points import REVERSE, Order, Resolved, orders, resolve, with_threads
from harness.races.claims import parse_claim
from tests.races.toy_kernel import line_of

CLAIMS = Path(__file__).with_name("data") / "claims"


def resolved(toy: Symbols, *rows: str) -> Resolved:
    """Of rows below two columns, the second of which begins with a bar."""
    table = "".join(f"{'' if '|' not in row else ' ' * 40}{row.replace('|', '')}\n" for row in rows)
    return resolve(parse_claim(f"CPU0{' ' * 36}CPU1\n{table}"), toy)


def places(found: Resolved) -> list[str]:
    return [f"{at.row.thread}: {at.place}" for at in found.found]


def test_functions_lines_calls_and_words(toy: Symbols) -> None:
    number = line_of("data[2] = value")
    found = resolved(
        toy,
        "toy(3)",
        "  outer()",
        "    inner()",
        "    r += inner(x + 2)",
        f"|mm/toy.c:{number}",
        f"|sink() toy.c:{number}",
        "|  is gone",
    )
    assert places(found) == [
        "CPU0: __x64_sys_toy()", "CPU0: outer()", "CPU0: inner()",
        "CPU0: outer: r += inner(x + 2)", "CPU1: sink: data[2] = value;",
        "CPU1: sink: data[2] = value;",
    ]  # fmt: skip
    assert found.found[0].how == "the system call"
    assert found.found[2].within == ("outer",) and found.found[2].at.inlined_into == ("outer",)
    assert found.found[4].how == f"mm/toy.c:{number}"
    assert [row.text for row in found.words] == ["is gone"] and found.lost == ()


def test_a_statement_is_a_line_of_the_function_above(toy: Symbols) -> None:
    found = resolved(toy, "outer()", "  sink(r)", "|sink()", "|  data[2] = value")
    assert places(found)[-1] == "CPU1: sink: data[2] = value"
    # A call of a function that there is means that function.
    assert places(found)[1] == "CPU0: sink()"


def test_what_is_not_there_is_lost_and_the_rest_is_found(toy: Symbols) -> None:
    found = resolved(toy, "outer()", "  ouster()", "|sink()", "|  mm/toy.c:3", "|  mm/none.c:1")
    assert places(found) == ["CPU0: outer()", "CPU1: sink()"]
    why = {row.text: reason for row, reason in found.lost}
    assert why["ouster()"].startswith("it has no function ouster()")
    assert "there is: outer()" in why["ouster()"]
    assert "mm/toy.c:3 is empty" in why["mm/toy.c:3"]
    assert "is no file that was compiled" in why["mm/none.c:1"]


def test_an_offset_counts_where_the_function_is_the_same(toy: Symbols) -> None:
    (start,) = toy.addresses("sink")
    unit = toy.debug.unit_at(start)
    assert unit is not None
    written = next(r for r in unit.rows if r.line == line_of("data[2] = value") and r.statement)
    size, offset = toy.size(start), written.address - start
    found = resolved(toy, f"sink+{offset + 1:#x}/{size:#x}", f"|sink+0x1/{size + 1:#x}")
    assert places(found) == ["CPU0: sink: data[2] = value;", "CPU1: sink()"]
    assert "another size" in str(found.found[1].how)


def test_a_report_of_kcsan_goes_by_its_lines(toy: Symbols) -> None:
    text = (CLAIMS / "kcsan.txt").read_text()
    for number, line in ((32, "data[2] = value"), (7, "data[0] += x")):
        text = text.replace(f"mm/toy.c:{number}", f"mm/toy.c:{line_of(line)}")
    found = resolve(parse_claim(text), toy)
    assert places(found) == ["T1: sink: data[2] = value;", "T2: inner: data[0] += x;"]
    assert found.lost == ()


def test_a_line_of_which_nothing_is_left_is_its_function(toy: Symbols) -> None:
    number = line_of("nothing is done here")
    found = resolved(toy, f"outer mm/toy.c:{number}", f"|mm/toy.c:{number}", "|sink()")
    assert places(found) == ["CPU0: outer()", "CPU1: sink()"]
    assert "no instruction is left" in str(found.found[0].how)
    assert "no instruction is left" in found.lost[0][1]
    empty = resolved(toy, "outer+0x1/0x2 mm/toy.c:3", "|sink()").found[0]
    assert (str(empty.place), empty.how) == ("outer()", "mm/toy.c:3 is empty; held on entry to it")


def test_a_report_of_kasan_goes_by_its_functions(toy: Symbols) -> None:
    found = resolve(parse_claim((CLAIMS / "kasan.txt").read_text()), toy)
    assert places(found)[1] == "freeing: sink()" and places(found)[0].startswith("user: outer")


def points(order: Order) -> str:
    """An order in letters: which thread where."""
    return ", ".join(f"{p.thread[-1]} {p.place}" for p in order.points)


def test_one_thread_in_the_middle_of_another(toy: Symbols) -> None:
    found = resolved(toy, "outer()", "|sink()", "  inner()").found
    assert {order.name: points(order) for order in orders(found)} == {
        "as claimed": "0 outer(), 0 inner(), 1 sink(), 1 ends",
        "as claimed, held early": "0 outer(), 1 sink(), 1 ends",
        "as claimed, before the last row": "0 outer(), 1 sink(), 0 ends",
        REVERSE: "1 sink(), 0 outer(), 0 inner(), 0 ends",
    }


def test_two_rows_are_two_readings_and_the_reverse(toy: Symbols) -> None:
    found = resolved(toy, "outer()", "|sink()").found
    assert [(order.name, points(order)) for order in orders(found)] == [
        ("as claimed", "0 outer(), 1 sink(), 1 ends"),
        ("as claimed, before the last row", "0 outer(), 1 sink(), 0 ends"),
        (REVERSE, "1 sink(), 0 outer(), 0 ends"),
    ]


def test_nobody_is_held_at_a_point_twice(toy: Symbols) -> None:
    found = resolved(toy, "outer()", "|sink()", "inner()", "|__x64_sys_toy()").found
    late = orders(found)[0]
    assert points(late) == "0 outer(), 0 inner(), 1 sink(), 1 __x64_sys_toy(), 0 ends"


@pytest.mark.parametrize("name", ["A", "B"])
def test_the_program_names_its_threads_otherwise(toy: Symbols, name: str) -> None:
    order = orders(resolved(toy, "outer()", "|sink()").found)[0]
    other = "B" if name == "A" else "A"
    renamed = with_threads(order, {"CPU0": name, "CPU1": other})
    assert [p.thread for p in renamed.points] == [name, other, other]
