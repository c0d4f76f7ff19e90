# SPDX-License-Identifier: GPL-2.0-only
"""What claims ask of the driver: runs without an order, and any lock in the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from harness.races.scenario import Scenario
from harness.races.trace import RaceError, RaceRun
from harness.races.watch import WatchingDriver
from tests.debugger.fake_stub import Cpu
from tests.races.fake_machine import (
    Machine,
    Make,
    PlayedRace,
    address,
    begin,
    end,
    outcome,
    scenario,
)
from tests.races.test_driver import IN_ORDER, blocked, three

UNHELD = ["A: ends", "B: ends"]


def watching(made: PlayedRace, *functions: str) -> WatchingDriver:
    of, watched = made.driver, frozenset(address(name) for name in functions)
    given = of.remote, of.symbols, of.scenario, of.breakpoints, of.program, of.program_end
    return WatchingDriver(*given, clock=of.clock, watched=watched)


def ends_last(main: Cpu, thread: int) -> Callable[[], dict[str, int]]:
    """The end of the last thread's part: the run's outcome is known after it."""

    def end_of_run() -> dict[str, int]:
        main.path.append(outcome(0, 0))
        return end(thread)

    return end_of_run


def test_without_an_order_it_is_seen_who_comes_where(make: Make, machine: Machine) -> None:
    main = Cpu([machine.kernel("fault")])
    a = Cpu([begin(0), machine.kernel("fault", "caller"), end(0)])
    b = Cpu([begin(1), machine.kernel("deep", "caller"), machine.kernel("fault")])
    b.path.append(ends_last(main, 1))
    made = make(scenario(UNHELD), [main, a, b])
    driver = watching(made, "fault", "deep", "down_write")
    driver.run(1)
    assert driver.seen == {"A": [address("fault")], "B": [address("deep"), address("fault")]}
    assert made.stub.breakpoints == set()


def test_without_an_order_nobody_waits_for_a_held_thread(make: Make, machine: Machine) -> None:
    """A waits for what B has to do first: B follows after a while, and both come to their end."""
    main = Cpu([])
    a = Cpu([begin(0), machine.kernel("futex_wait_queue")])

    def wake() -> dict[str, int]:
        a.path += [machine.kernel("fault"), ends_last(main, 0)]
        return machine.kernel("deep")

    b = Cpu([begin(1), wake, end(1)])
    driver = watching(make(scenario(UNHELD), [main, a, b]), "fault", "deep")
    driver.run(1)
    assert driver.seen == {"A": [address("fault")], "B": [address("deep")]}


def test_who_begins_first_has_done_its_part_before_the_others_begin(
    make: Make, machine: Machine
) -> None:
    """However slow the guest is: a pin that came too early kept a purge from being seen."""
    main, a = Cpu([]), Cpu([begin(0), machine.kernel("fault", "caller")])
    left = [machine.kernel("deep", "caller"), end(0)]
    early: list[bool] = []

    def begins() -> dict[str, int]:
        early.append(bool(left))
        return machine.kernel("fault", "caller")

    def clock() -> float:
        """A comes on when its guest has run for two seconds."""
        if made.stub.clock() > 2.0:
            a.path += left
            left.clear()
        return made.stub.clock()

    made = make(scenario(UNHELD), [main, a, Cpu([begin(1), begins, ends_last(main, 1)])])
    of = made.driver
    given = of.remote, of.symbols, of.scenario, of.breakpoints, of.program, of.program_end
    watched = frozenset({address("fault"), address("deep")})
    driver = WatchingDriver(*given, clock=clock, watched=watched)
    driver.run(1)
    assert early == [False]
    assert driver.seen == {"A": [address("fault"), address("deep")], "B": [address("fault")]}


def any_lock(*points: str) -> Scenario:
    return replace(scenario(list(points)), any_lock=True)


def test_any_lock_excludes_where_a_claim_is_tried(make: Make, machine: Machine) -> None:
    a = Cpu([begin(0), machine.kernel("fault", "caller"), end(0)])
    b = blocked(machine, "rwsem_down_write_slowpath", "down_write", "deep")
    made = make(any_lock(*IN_ORDER), three(a, b, hit=0))
    run = made.driver.run(1)
    assert run.ending == "excluded"
    assert (
        run.steps[-1].what == "B waits for a semaphore for writing, in rwsem_down_write_slowpath()"
    )


def test_a_lock_of_nobody_who_is_held_in_the_kernel_excludes_nothing(
    make: Make, machine: Machine
) -> None:
    b = blocked(machine, "rwsem_down_write_slowpath", "down_write", "deep")
    made = make(any_lock("B: ends", "A: ends"), three(Cpu([begin(0), end(0)]), b))
    with pytest.raises(RaceError, match="the order deadlocks: B waits for a semaphore"):
        made.driver.run(1)


def test_another_wait_than_for_a_lock_excludes_nothing(make: Make, machine: Machine) -> None:
    a = Cpu([begin(0), machine.kernel("fault", "caller"), end(0)])
    b = blocked(machine, "smp_call_function_many_cond", "deep")
    with pytest.raises(RaceError, match="the order cannot be: B waits for an inter-processor"):
        make(any_lock(*IN_ORDER), three(a, b)).driver.run(1)


def test_a_thread_alone_stops_once_at_a_place(make: Make, machine: Machine) -> None:
    """Who has been there is not stopped there again, unless another one is to come yet."""
    main, b = Cpu([]), Cpu([begin(1), end(1)])
    again = [machine.kernel("fault", "caller"), machine.kernel("fault", "caller")]
    a = Cpu([begin(0), *again, ends_last(main, 0)])
    made = make(scenario(UNHELD), [main, a, b])
    driver = watching(made, "fault")
    driver.run(1)
    steps = [line for line in made.stub.log if line.startswith("vCont;s")]
    assert driver.seen == {"A": [address("fault")], "B": []}
    assert driver._stops == {address("fault"): 1} and steps


# ---- orders that are searched ----------------------------------------------------------------


def explored(make: Make, points: list[str], cpus: list[Cpu]) -> RaceRun:
    """A run in which these points are explored, of a program that has none of its own."""
    wanted = make(scenario(points), cpus)
    return wanted.driver.explore(1, wanted.driver.scenario.points, wanted.driver.breakpoints)


@pytest.mark.parametrize(("hit", "ending"), [(1, "hit"), (0, "miss")])
def test_an_order_that_can_be_is_judged_by_the_program(
    make: Make, machine: Machine, hit: int, ending: str
) -> None:
    a = Cpu([begin(0), machine.kernel("fault", "caller"), end(0)])
    assert explored(make, IN_ORDER, three(a, Cpu([begin(1), end(1)]), hit)).ending == ending


@pytest.mark.parametrize(
    ("function", "ending"),
    [("rwsem_down_write_slowpath", "excluded"), ("smp_call_function_many_cond", "waits")],
)
def test_what_keeps_a_thread_from_its_point_ends_the_order_and_not_the_run(
    make: Make, machine: Machine, function: str, ending: str
) -> None:
    a = Cpu([begin(0), machine.kernel("fault", "caller"), end(0)])
    run = explored(make, IN_ORDER, three(a, blocked(machine, function, "deep"), hit=0))
    assert run.ending == ending
    assert run.remark is not None and run.remark.startswith("B waits for ")
    assert run.steps[-1].what == run.remark


def test_a_point_that_is_passed_by_ends_the_order_and_not_the_run(
    make: Make, machine: Machine
) -> None:
    run = explored(make, IN_ORDER, three(Cpu([begin(0), end(0)]), Cpu([begin(1), end(1)])))
    assert run.ending == "unreached", "not a hit: it was not in this order"
    assert run.remark is not None and "A never reached 'fault()'" in run.remark
