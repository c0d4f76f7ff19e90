# SPDX-License-Identifier: GPL-2.0-only
"""How a run is driven and judged, on a machine that is played (tests/races/fake_machine.py)."""

from __future__ import annotations

import pytest

from harness.races.cpus import StepWatchdog
from harness.races.trace import RaceError, RaceRun, trace
from tests.debugger.fake_stub import Cpu
from tests.races.fake_machine import (
    DIRECT,
    PROGRAM,
    Machine,
    Make,
    address,
    begin,
    end,
    outcome,
    scenario,
    symbols,
    user,
)

IN_ORDER = ["A: fault()", "B: ends", "A: ends"]
EXPECTED = " *   excluded: {B: down_write, lock: the lock, from A: caller}\n"


def three(a: Cpu, b: Cpu, hit: int = 1) -> list[Cpu]:
    """CPU 0, whose program says the outcome, and the two threads'."""
    return [Cpu([outcome(0, hit)]), a, b]


@pytest.mark.parametrize(("hit", "ending"), [(1, "hit"), (0, "miss")])
def test_every_point_in_order_and_the_programs_verdict(
    make: Make, machine: Machine, hit: int, ending: str
) -> None:
    a = Cpu([begin(0), machine.kernel("fault", "caller"), end(0)])
    b = Cpu([begin(1), end(1)])
    run = make(scenario(IN_ORDER), three(a, b, hit)).driver.run(1)
    assert run.ending == ending
    assert [step.what for step in run.steps] == [
        "all threads are at the beginning of their parts",
        "A is at fault()",
        "B has come to its end",
        "A has come to its end",
    ]


def test_a_held_cpu_is_never_let_go_before_its_turn(make: Make, machine: Machine) -> None:
    a = Cpu([begin(0), machine.kernel("fault", "caller"), end(0)])
    b = Cpu([begin(1), end(1)])
    made = make(scenario(IN_ORDER), three(a, b))
    made.driver.run(1)
    resumes = [line for line in made.stub.log if line.startswith("vCont;c")]
    turn_of_a, turn_of_b = "vCont;c:p01.01;c:p01.02", "vCont;c:p01.01;c:p01.03"
    everyone = "vCont;c:p01.01;c:p01.02;c:p01.03"
    assert resumes == [everyone, turn_of_b, turn_of_a, turn_of_b, turn_of_a, everyone]


def test_a_thread_at_its_beginning_is_not_stepped(make: Make, machine: Machine) -> None:
    a = Cpu([begin(0), machine.kernel("fault", "caller"), end(0)])
    made = make(scenario(IN_ORDER), three(a, Cpu([user("elsewhere"), begin(1), end(1)])))
    made.driver.run(1)
    assert not [line for line in made.stub.log if line.startswith("vCont;s")]


def test_no_breakpoint_is_left_when_a_held_cpu_goes_on(make: Make, machine: Machine) -> None:
    a = Cpu([begin(0), machine.kernel("fault", "caller"), end(0)])
    made = make(scenario(IN_ORDER), three(a, Cpu([begin(1), end(1)])))
    made.driver.run(1)
    assert made.stub.breakpoints == set()


def test_the_trace_says_who_was_held_where(make: Make, machine: Machine) -> None:
    a = Cpu([begin(0), machine.kernel("fault", "caller"), end(0)])
    run = make(scenario(IN_ORDER), three(a, Cpu([begin(1), end(1)]))).driver.run(1)
    assert {(h.thread, h.where) for h in run.holds} >= {("A", "fault()"), ("B", "ends")}
    text = trace([run], symbols())
    assert "CPU 1, thread A, held at fault():" in text
    assert "fault()\n        caller()" in text
    assert "thread A (CPU 1) was held at fault() for" in text


def test_a_point_that_is_passed_by_is_an_error_and_no_miss(make: Make) -> None:
    a = Cpu([begin(0), end(0)])  # the code has moved: it never comes to fault()
    made = make(scenario(IN_ORDER), three(a, Cpu([begin(1), end(1)]), hit=0))
    with pytest.raises(RaceError, match=r"thread A never reached 'fault\(\)'") as caught:
        made.driver.run(1)
    assert "not tried" in str(caught.value.next_step)


def blocked(machine: Machine, *stack: str) -> Cpu:
    """Thread B, which comes to wait and stays there until its path goes on."""
    return Cpu([begin(1), machine.kernel(*stack)])


def test_a_lock_that_the_scenario_expects_excludes(make: Make, machine: Machine) -> None:
    a = Cpu([begin(0), machine.kernel("fault", "caller"), end(0)])
    b = blocked(machine, "rwsem_down_write_slowpath", "down_write", "deep")
    made = make(scenario(IN_ORDER, EXPECTED), three(a, b, hit=0))
    run = made.driver.run(1)
    assert run.ending == "excluded"
    assert run.steps[-1].what.startswith("B waits for a semaphore for writing: the lock, in ")
    held, waiting = run.steps[-1].cpus[1], run.steps[-1].cpus[2]
    assert held.held_at == "fault()" and waiting.held_at is None
    assert len(held.stack.frames) == 2 and len(waiting.stack.frames) == 3


def test_a_lock_that_nobody_expects_is_a_deadlock(make: Make, machine: Machine) -> None:
    a = Cpu([begin(0), machine.kernel("fault", "caller"), end(0)])
    b = blocked(machine, "rwsem_down_write_slowpath", "down_write", "deep")
    with pytest.raises(RaceError, match=r"the order deadlocks: B waits for a semaphore") as caught:
        make(scenario(IN_ORDER), three(a, b)).driver.run(1)
    assert "held: A on CPU 1 at fault()" in caught.value.what
    assert caught.value.steps[-1].cpus[2].thread == "B"


def test_another_lock_than_the_expected_one_is_a_deadlock(make: Make, machine: Machine) -> None:
    a = Cpu([begin(0), machine.kernel("fault", "deep"), end(0)])  # not within caller()
    b = blocked(machine, "rwsem_down_write_slowpath", "down_write", "deep")
    with pytest.raises(RaceError, match="the order deadlocks"):
        make(scenario(IN_ORDER, EXPECTED), three(a, b)).driver.run(1)


def test_excluded_and_yet_bad_is_an_error(make: Make, machine: Machine) -> None:
    a = Cpu([begin(0), machine.kernel("fault", "caller"), end(0)])
    b = blocked(machine, "rwsem_down_write_slowpath", "down_write", "deep")
    with pytest.raises(RaceError, match="bad outcome all the same"):
        make(scenario(IN_ORDER, EXPECTED), three(a, b, hit=1)).driver.run(1)


def test_an_interrupt_that_a_held_cpu_does_not_answer(make: Make, machine: Machine) -> None:
    a = Cpu([begin(0), machine.kernel("fault", "caller"), end(0)])
    b = blocked(machine, "smp_call_function_many_cond", "deep")
    with pytest.raises(RaceError, match=r"cannot be: B waits for an inter-processor interrupt"):
        make(scenario(IN_ORDER, EXPECTED), three(a, b)).driver.run(1)


def test_a_program_that_waits_for_a_held_thread_deadlocks(make: Make, machine: Machine) -> None:
    a = Cpu([begin(0), machine.kernel("fault", "caller"), end(0)])
    idle = DIRECT + 0x90000

    def asleep() -> dict[str, int]:
        machine.runs(2, idle)
        return machine.kernel("deep")

    machine.sleeps(machine.task(2), "futex_wait_queue", "deep")
    b = Cpu([begin(1), asleep])
    with pytest.raises(RaceError, match="another thread of the program") as caught:
        make(scenario(IN_ORDER), three(a, b)).driver.run(1)
    assert caught.value.steps[-1].cpus[2].stack.asleep


def test_a_cpu_that_is_stopped_with_all_others_is_named(make: Make, machine: Machine) -> None:
    a = Cpu([begin(0), machine.kernel("fault", "caller"), end(0)])
    stopper = DIRECT + 0x90000

    def stopped() -> dict[str, int]:
        machine.runs(2, stopper)
        return machine.kernel("deep", "multi_cpu_stop", "caller")

    machine.sleeps(machine.task(2), "deep", "caller")
    b = Cpu([begin(1), stopped])
    with pytest.raises(RaceError, match="B waits for every CPU to stop, and a held one does not"):
        make(scenario(IN_ORDER), three(a, b)).driver.run(1)


def test_a_wait_that_ends_by_itself_is_waited_for(make: Make, machine: Machine) -> None:
    a = Cpu([begin(0), machine.kernel("fault", "caller"), end(0)])
    b = blocked(machine, "io_schedule", "deep")
    with pytest.raises(RaceError, match=r"thread B does not come to 'ends' within"):
        make(scenario(IN_ORDER), three(a, b)).driver.run(1)


def test_a_thread_that_runs_for_ever_has_its_time(make: Make, machine: Machine) -> None:
    a = Cpu([begin(0), user("loop")])
    b = Cpu([begin(1), end(1)])
    with pytest.raises(RaceError, match="it runs in user space"):
        make(scenario(IN_ORDER), three(a, b)).driver.run(1)


def test_another_task_at_the_point_is_passed_over(make: Make, machine: Machine) -> None:
    def other() -> dict[str, int]:
        machine.runs(1, DIRECT + 0x90000)
        return machine.kernel("fault", "caller")

    def own() -> dict[str, int]:
        machine.runs(1, machine.task(1))
        return machine.kernel("fault", "deep")

    machine.sleeps(machine.task(1), "deep")
    a = Cpu([begin(0), other, own, end(0)])
    run = make(scenario(IN_ORDER), three(a, Cpu([begin(1), end(1)]))).driver.run(1)
    assert run.ending == "hit"
    assert names(run, 1, 1) == ["fault", "deep"]


def test_an_interrupt_at_the_point_is_passed_over(make: Make, machine: Machine) -> None:
    interrupted = machine.kernel("fault", "deep", "asm_sysvec_apic_timer_interrupt", "caller")
    a = Cpu([begin(0), interrupted, machine.kernel("fault", "caller"), end(0)])
    run = make(scenario(IN_ORDER), three(a, Cpu([begin(1), end(1)]))).driver.run(1)
    assert names(run, 1, 1) == ["fault", "caller"]


def test_another_cpu_at_the_point_goes_on(make: Make, machine: Machine) -> None:
    cpus = three(
        Cpu([begin(0), machine.kernel("fault", "caller"), end(0)]), Cpu([begin(1), end(1)])
    )
    cpus[0].path[:0] = [user("idle"), user("idle"), machine.kernel("fault", "deep")]
    made = make(scenario(IN_ORDER), cpus)
    assert made.driver.run(1).ending == "hit"
    assert "vCont;s:p01.01" in made.stub.log  # alone, past a breakpoint that nobody misses


def test_the_second_time_counts_if_asked_for(make: Make, machine: Machine) -> None:
    first, second = machine.kernel("fault", "deep"), machine.kernel("fault", "caller")
    points = ["{A: fault(), nth: 2}", "B: ends"]
    a = Cpu([begin(0), first, second, end(0)])
    run = make(scenario(points), three(a, Cpu([begin(1), end(1)]))).driver.run(1)
    assert names(run, 1, 1) == ["fault", "caller"]


def test_callers_are_a_condition(make: Make, machine: Machine) -> None:
    first, second = machine.kernel("fault", "deep"), machine.kernel("fault", "caller")
    points = ["{A: fault(), within: caller}", "B: ends"]
    a = Cpu([begin(0), first, second, end(0)])
    run = make(scenario(points), three(a, Cpu([begin(1), end(1)]))).driver.run(1)
    assert names(run, 1, 1) == ["fault", "caller"]


def test_arguments_are_a_condition(make: Make, machine: Machine) -> None:
    # The program's variable, through a page table of its own: one huge page at 0.
    machine.memory[0x1B00000] = 0x1B01000 | 1
    machine.memory[0x1B01000] = 0 | 1 | 0x80
    machine.memory[PROGRAM["page"]] = 0x7000
    other = machine.kernel("fault", "deep", rdx=0x8000, cr3=0x1B00000)
    right = machine.kernel("fault", "caller", rdx=0x7000, cr3=0x1B00000)
    points = ["{A: fault(), args: {3: page}}", "B: ends"]
    a = Cpu([begin(0), other, right, end(0)])
    run = make(scenario(points), three(a, Cpu([begin(1), end(1)]))).driver.run(1)
    assert names(run, 1, 1) == ["fault", "caller"]


def test_bits_of_an_argument_are_a_condition(make: Make, machine: Machine) -> None:
    other, right = machine.kernel("fault", "deep", rsi=2), machine.kernel("fault", "caller", rsi=5)
    points = ['{A: fault(), args: {2: "& 0x4"}}', "B: ends"]
    a = Cpu([begin(0), other, right, end(0)])
    run = make(scenario(points), three(a, Cpu([begin(1), end(1)]))).driver.run(1)
    assert names(run, 1, 1) == ["fault", "caller"]


def test_a_return_is_where_the_call_is_over(make: Make, machine: Machine) -> None:
    inside = machine.kernel("fault", "caller")
    back = {**inside, "rip": address("caller", 5), "rsp": inside["rsp"] + 8}
    deeper = {**back, "rsp": inside["rsp"] - 64}  # the same place in another call
    a = Cpu([begin(0), inside, deeper, back, end(0)])
    run = make(
        scenario(["A: fault() returns", "B: ends"]), three(a, Cpu([begin(1), end(1)]))
    ).driver.run(1)
    assert names(run, 1, 1)[0] == "caller" and run.steps[1].what == "A is at fault() returns"


def test_another_program_at_the_same_address_is_none_of_ours(make: Make, machine: Machine) -> None:
    a = Cpu([user("race_begin"), begin(0), machine.kernel("fault", "caller"), end(0)])
    run = make(scenario(IN_ORDER), three(a, Cpu([begin(1), end(1)]))).driver.run(1)
    assert run.ending == "hit"


def test_a_program_that_ends_too_early_is_reported(make: Make, machine: Machine) -> None:
    made = make(scenario(IN_ORDER), three(Cpu([begin(0)]), Cpu([])))
    made.ended.append("the guest program failed: setup")
    with pytest.raises(RaceError, match="ended in the middle of a run: the guest program failed"):
        made.driver.run(1)


def test_a_thread_that_does_not_begin_is_reported(make: Make, machine: Machine) -> None:
    made = make(scenario(IN_ORDER), three(Cpu([begin(0)]), Cpu([user("elsewhere")])))
    with pytest.raises(RaceError, match="thread B does not come to begin a run"):
        made.driver.run(1)


def test_breakpoints_that_are_refused_are_reported(make: Make, machine: Machine) -> None:
    a = Cpu([begin(0), machine.kernel("fault", "caller"), end(0)])
    made = make(scenario(IN_ORDER), three(a, Cpu([begin(1), end(1)])))
    made.stub.refuse.add(f"Z1,{address('fault'):x}")
    with pytest.raises(RaceError, match="was refused"):
        made.driver.run(1)


def names(run: RaceRun, step: int, cpu: int) -> list[str]:
    """The functions of a CPU at a step of a run."""
    return run.steps[step].cpus[cpu].stack.names(symbols())


class TestStepWatchdog:
    """Time is what the guest had: a busy host must not make a thread late."""

    def watch(self, wall: list[float], ran: list[float]) -> StepWatchdog:
        return StepWatchdog(1.0, lambda: wall[0], lambda: ran[0])

    def test_time_that_the_guest_did_not_have_does_not_count(self) -> None:
        wall, ran = [0.0], [0.0]
        watch = self.watch(wall, ran)
        wall[0], ran[0] = 100.0, 1.0
        assert not watch.expired()
        ran[0] = 6.5
        assert watch.expired()

    def test_a_step_ends_by_the_wall_clock_at_last(self) -> None:
        wall, ran = [0.0], [0.0]
        watch = self.watch(wall, ran)
        wall[0] = 301.0
        assert watch.expired()

    def test_looks_become_rare_and_give_the_guest_most_of_the_time(self) -> None:
        wall, ran = [0.0], [0.0]
        watch = self.watch(wall, ran)
        assert watch.next_check_s() == pytest.approx(0.03)
        wall[0], ran[0] = 0.23, 0.03  # the look took 0.2 s
        assert watch.next_check_s() == pytest.approx(0.4)
        for _ in range(20):
            pause = watch.next_check_s()
        assert pause == pytest.approx(0.5)

    def test_a_wait_ends_when_it_changes(self) -> None:
        wall, ran = [0.0], [0.0]
        watch = self.watch(wall, ran)
        assert not watch.stuck("down_write", 100)
        assert not watch.stuck("down_write", 119)
        assert watch.stuck("down_write", 120)
        assert not watch.stuck("mutex", 200)
        assert not watch.stuck(None, 200)
        assert not watch.stuck("mutex", 300)

    def test_a_clock_that_stands_still_is_no_way_out(self) -> None:
        wall, ran = [0.0], [0.0]
        watch = self.watch(wall, ran)
        watch.stuck("down_write", 100)
        ran[0] = 1.5
        assert watch.stuck("down_write", 100)
