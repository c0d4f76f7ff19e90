# SPDX-License-Identifier: GPL-2.0-only
"""Which orders a search tries, and which it need not try."""

from __future__ import annotations

from harness.races.breakpoints import Breakpoint
from harness.races.scenario import parse_place
from harness.races.trace import Ending, RaceRun
from harness.search.orders_to_try import OrderQueue, OrderStep, SearchOrder, depth, held
from harness.search.points import Origin, SearchPoint

LOCKED = "B waits for a spinlock, in g(), mm/x.c:7: spin_lock(&l)"


def point(text: str, kind: str = "page table", origin: Origin = "changed") -> SearchPoint:
    return SearchPoint(parse_place(f"f: {text}"), Breakpoint((1,), "mm/x.c", 1), kind, origin)


def queue(a: int = 2, b: int = 2, seed: int = 1) -> OrderQueue:
    threads = {"A": a, "B": b}
    return OrderQueue(
        {name: [point(f"{name}{n}();") for n in range(count)] for name, count in threads.items()},
        seed,
    )


def rest(of: OrderQueue) -> list[SearchOrder]:
    found = []
    while (order := of.next()) is not None:
        found.append(order)
    return found


def ended(ending: Ending, remark: str | None = None) -> RaceRun:
    return RaceRun(1, ending, remark)


def test_the_program_alone_then_one_thread_held_then_more() -> None:
    every = rest(queue())
    assert every[0] == ()
    assert set(every[1:5]) == {held("A", 0, "B"), held("A", 1, "B"), held("B", 0, "A"),
                               held("B", 1, "A")}  # fmt: skip
    assert [depth(order) for order in every] == sorted(depth(order) for order in every)
    assert {depth(order) for order in every} == {0, 1, 2, 3}
    assert len(set(every)) == len(every)


def test_the_turn_is_the_seeds_and_what_was_asked_for_comes_first() -> None:
    assert rest(queue(5, 5)) == rest(queue(5, 5)) != rest(queue(5, 5, seed=2))
    points = [point("x();"), point("y();", origin="asked"), point("z();", origin="called")]
    of = OrderQueue({"A": points, "B": [point("b();", origin="called")]}, 1)
    once = [of.next() for _ in range(5)][1:]
    assert once[0] == held("A", 1, "B") and once[1] == held("A", 0, "B")


def test_an_order_is_written_as_points_of_a_scenario() -> None:
    points = queue().points((OrderStep("A", 1), OrderStep("B", None)))
    assert [f"{p.thread}: {p.place}" for p in points] == ["A: f: A1();", "B: ends"]
    assert points[0].says == "before: page table"


def test_who_waits_for_the_held_cpu_is_held_before_it_comes_to_that() -> None:
    of = queue()
    of.next()
    of.told(held("A", 0, "B"), ended("waits", "B waits for an interrupt"), 1)
    assert of.next() == (OrderStep("A", 0), OrderStep("B", 1), OrderStep("A", None))


def test_a_point_that_is_not_reached_is_not_tried_again() -> None:
    of = queue()
    of.told(held("A", 0, "B"), ended("unreached"), None)
    assert not [order for order in rest(of) if order[:1] == (OrderStep("A", 0),)]
    assert of.skipped


def test_where_the_first_thread_waits_itself_no_order_of_the_other_is_made_of_it() -> None:
    of = queue(a=4, b=1)
    of.told(held("A", 3, "B"), ended("waits", "A waits for an interrupt, in f()"), 2)
    left = rest(of)
    assert held("A", 3, "B") not in left and held("A", 2, "B") in left
    # 2 was a candidate of A, and B has one only.
    assert all(of.points(order) is not None for order in left)


def test_what_is_behind_a_lock_is_not_tried_while_the_lock_is_held() -> None:
    of = queue(1, 3)
    of.told(held("A", 0, "B"), ended("excluded", LOCKED), 1)
    left = {order[1] for order in rest(of) if depth(order) == 2 and order[0].thread == "A"}
    assert left == {OrderStep("B", 0), OrderStep("B", 1)}


def test_between_two_points_that_a_lock_excludes_it_is_held() -> None:
    of = OrderQueue({"A": [point(f"a{n}();") for n in range(4)], "B": [point("b();")]}, 1)
    for at in (0, 3):
        of.told(held("A", at, "B"), ended("excluded", LOCKED), 0)
    tried = rest(of)
    assert held("A", 1, "B") not in tried and held("A", 2, "B") not in tried


def test_not_where_a_lock_is_given_back_in_between() -> None:
    points = [point("a0();"), point("spin_unlock(&l);", "lock"), point("a2();"), point("a3();")]
    of = OrderQueue({"A": points, "B": [point("b();")]}, 1)
    for at in (0, 3):
        of.told(held("A", at, "B"), ended("excluded", LOCKED), 0)
    assert {held("A", 1, "B"), held("A", 2, "B")} <= set(rest(of))
