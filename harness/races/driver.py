# SPDX-License-Identifier: GPL-2.0-only
"""Drives one run of a race: holds threads at their points and lets them go in order.

Only the thread whose turn it is runs, beside the CPUs that belong to no thread. Every
time the guest is let go there is a limit; then it is stopped and the stacks are looked
at. A run ends in an outcome or in a :class:`RaceError` with a reason, never in a hang.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from harness.debugger.gdb_remote import Registers, Remote
from harness.debugger.stopped_guest import Stack, StoppedGuest
from harness.debugger.symbols import Symbols
from harness.debugger.wait_kinds import TRANSIENT, blocked_on
from harness.races.breakpoints import Breakpoint
from harness.races.cpus import CpuControl
from harness.races.failures import Blocked, RaceError, deadlock, late, passed_by
from harness.races.limits import RaceLimits, StepWatchdog
from harness.races.scenario import Argument, Exclusion, Point, Scenario, Thread
from harness.races.trace import CpuSnapshot, Ending, RaceRun, RaceStep
from harness.races.words import BEGIN, END, MAGIC, OUTCOME


@dataclass
class InterleavingDriver:
    """Drives the runs of one scenario in one guest.

    Args:
        remote: connected; the guest stands still.
        breakpoints: of the scenario's points, in order.
        program: the symbols of the guest program.
        program_end: says, once the guest program has ended, how it did.
        pace: how much slower than the reference the guest is.
    """

    remote: Remote
    symbols: Symbols
    scenario: Scenario
    breakpoints: Sequence[Breakpoint]
    program: Mapping[str, int]
    program_end: Callable[[], str | None]
    pace: float = 1.0
    limits: RaceLimits = field(default_factory=RaceLimits)
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self.guest = StoppedGuest(self.remote, self.symbols)
        self.cpus = CpuControl(
            self.remote, self.guest, self.scenario.threads, self.program_end, self.clock
        )
        self._by_cpu = {thread.cpu: thread for thread in self.scenario.threads}
        self._tasks: dict[str, int] = {}
        self._steps: list[RaceStep] = []

    # ---- one run -------------------------------------------------------------------

    def run(self, number: int) -> RaceRun:
        """One run, from all threads at their beginning to the program's verdict.

        Args:
            number: of the run, from 1.

        Raises:
            RaceError: it could not be brought to an end.
            StubError: QEMU's stub does not do what it should.
        """
        self.cpus.begin_run()
        self._steps.clear()
        blocked = False
        try:
            self._gather()
            try:
                for point, breakpoint_ in zip(self.scenario.points, self.breakpoints, strict=True):
                    self._advance(point, breakpoint_)
            except Blocked as wait:
                self._require_expected(wait)
                blocked = True
            struck = self._finish(number)
            if blocked and struck:
                raise RaceError(
                    "a lock kept the threads apart, and the program reports the bad outcome all"
                    " the same: its verdict does not come from this race",
                    "look at struck() of the guest program",
                )
        except RaceError as error:
            raise RaceError(error.what, error.advice, self._steps) from error
        ending: Ending = "excluded" if blocked else "hit" if struck else "miss"
        return RaceRun(number, ending, steps=tuple(self._steps), holds=tuple(self.cpus.holds))

    def _gather(self) -> None:
        """All threads are held at the beginning of their parts."""
        self.cpus.insert(self.program[BEGIN])
        limit_s = self.cpus.ran_s + self.limits.between_runs_s * self.pace
        while missing := [t.name for t in self.scenario.threads if t.name not in self.cpus.held]:
            if self.cpus.ran_s > limit_s:
                raise self._failed(RaceError(f"thread {missing[0]} does not come to begin a run"))
            self.cpus.run(limit_s - self.cpus.ran_s)
            for cpu in self.cpus.at_breakpoints():
                if cpu in self._by_cpu and self._at_landmark(BEGIN, cpu):
                    thread = self._by_cpu[cpu]
                    self._tasks[thread.name] = self.guest.current(cpu)
                    self.cpus.hold(thread, "the beginning of its part")
                else:
                    self.cpus.step_over(cpu)
        self.cpus.clear()
        self._note("all threads are at the beginning of their parts")

    def _advance(self, point: Point, breakpoint_: Breakpoint) -> None:
        """The thread of ``point`` goes on until it is there, and is held.

        Raises:
            RaceError: it passes by, or does not come and does not wait either.
            Blocked: it waits.
        """
        thread = self.scenario.thread(point.thread)
        self.cpus.release(thread)
        for address in {*breakpoint_.addresses, self.program[END]}:
            self.cpus.insert(address)
        self.cpus.step_over(thread.cpu)
        times = 0
        returning: tuple[int, int] | None = None  # address, stack pointer
        watchdog = StepWatchdog(self.limits, self.pace, self.clock, lambda: self.cpus.ran_s)
        while True:
            self.cpus.run(watchdog.next_check_s())
            for cpu in self.cpus.at_breakpoints():
                if cpu == thread.cpu:
                    at = self.guest.registers(cpu)
                    if returning is not None and at.pc == returning[0]:
                        if self._own(thread) and at["rsp"] == returning[1]:
                            return self._reached(point, thread)
                    elif self._meets(point, thread):
                        times += 1
                        if times == point.nth and not breakpoint_.on_return:
                            return self._reached(point, thread)
                        if times == point.nth:
                            returning = (self.guest.word(at["rsp"]), at["rsp"] + 8)
                            self.cpus.insert(returning[0])
                    elif self._at_landmark(END, cpu):
                        raise self._failed(passed_by(point, breakpoint_, times))
                self.cpus.step_over(cpu)
            self._check(point, thread, watchdog)

    def _finish(self, number: int) -> bool:
        """All go on, the run comes to its end: whether the outcome is the bad one."""
        for thread in self.scenario.threads:
            self.cpus.release(thread)
        self.cpus.clear()
        self.cpus.insert(self.program[OUTCOME])
        limit_s = self.cpus.ran_s + self.limits.between_runs_s * self.pace
        while self.cpus.ran_s <= limit_s:
            self.cpus.run(limit_s - self.cpus.ran_s)
            for cpu in self.cpus.at_breakpoints():
                if cpu == 0 and self._at_landmark(OUTCOME, cpu):
                    registers = self.guest.registers(cpu)
                    if (at := registers.argument(1) + 1) != number:
                        raise self._failed(
                            RaceError(f"the program is at run {at} instead of {number}")
                        )
                    self.cpus.clear()
                    return bool(registers.argument(2))
                self.cpus.step_over(cpu)
        raise self._failed(RaceError("all threads were let go, and the run does not end"))

    # ---- is it there? ------------------------------------------------------------------

    def _at_landmark(self, name: str, cpu: int) -> bool:
        """Whether it is our program that stands there, and not another at the same address."""
        registers = self.guest.registers(cpu)
        magic = registers.argument(3 if name == OUTCOME else 2) & 0xFFFFFFFF
        return registers.user and registers.pc == self.program[name] and magic == MAGIC

    def _own(self, thread: Thread) -> bool:
        """Whether its CPU does the thread's own work: no other task, and no interrupt."""
        if self.guest.current(thread.cpu) != self._tasks[thread.name]:
            return False
        return not self.guest.stack(thread.cpu).interrupt

    def _meets(self, point: Point, thread: Thread) -> bool:
        """Whether the thread, on its CPU, stands at the point with all that it asks for."""
        registers = self.guest.registers(thread.cpu)
        if point.place.kind == "end":
            return self._at_landmark(END, thread.cpu)
        if registers.pc == self.program[END]:
            return False
        if point.place.kind == "program":
            return registers.user
        if registers.user or not self._own(thread):
            return False
        return all(
            self._fits(argument, registers, thread.cpu) for argument in point.arguments
        ) and self._within(point, self.guest.stack(thread.cpu))

    def _fits(self, argument: Argument, registers: Registers, cpu: int) -> bool:
        value = registers.argument(argument.number)
        if argument.variable is None:
            return bool(value & argument.mask)
        if argument.variable not in self.program:
            raise RaceError(f"the guest program has no variable {argument.variable}")
        return self.guest.user_word(cpu, self.program[argument.variable]) == value

    def _within(self, point: Point, stack: Stack) -> bool:
        wanted = set(point.within)
        return wanted <= set(stack.names(self.symbols)) or wanted <= self._functions(stack)

    # ---- what is going on? ---------------------------------------------------------------

    def _functions(self, stack: Stack) -> set[str]:
        return {frame.function for frame in stack.functions(self.symbols)}

    def _doing(self, thread: Thread) -> Stack:
        """What a thread does; what its CPU does, where that keeps the thread from running."""
        task = self._tasks.get(thread.name, 0)
        stack = self.guest.stack(thread.cpu)
        if not task or self.guest.current(thread.cpu) == task:
            return stack
        wait = blocked_on(stack.names(self.symbols))
        return stack if wait is not None and wait.kind == "stop" else self.guest.sleeper(task)

    def _snapshot(self, cpu: int) -> CpuSnapshot:
        if thread := self._by_cpu.get(cpu):
            held_at = self.cpus.held.get(thread.name)
            return CpuSnapshot(cpu, thread.name, held_at, self._doing(thread))
        stack = Stack(idle=True) if self.guest.idle(cpu) else self.guest.stack(cpu)
        return CpuSnapshot(cpu, None, None, stack)

    def _note(self, what: str) -> None:
        """Keeps what every CPU does at this moment."""
        snapshots = tuple(self._snapshot(cpu) for cpu in self.cpus.cpus)
        self._steps.append(RaceStep(self.cpus.ran_s, what, snapshots))

    def _reached(self, point: Point, thread: Thread) -> None:
        self.cpus.hold(thread, str(point.place))
        ends = point.place.kind == "end"
        self._note(f"{thread.name} {'has come to its end' if ends else f'is at {point.place}'}")
        self.cpus.clear()

    def _failed(self, error: RaceError) -> RaceError:
        """The error, with what every CPU does just now as the last thing that happened."""
        self._note(error.what)
        return error

    def _check(self, point: Point, thread: Thread, watchdog: StepWatchdog) -> None:
        """The thread has not come yet: does it wait, or is its time up?"""
        stack = self._doing(thread)
        names = stack.names(self.symbols)
        wait = blocked_on(names)
        lasting = wait if wait is not None and wait.kind not in TRANSIENT else None
        what = f"{lasting.function} {len(names)}" if lasting is not None else None
        if watchdog.stuck(what, self.guest.ticks()) and lasting is not None:
            raise Blocked(thread, lasting, stack)
        if watchdog.expired():
            limit_s = self.limits.of_step_s(self.pace)
            raise self._failed(late(point, stack, wait, names, limit_s))

    def _require_expected(self, blocked: Blocked) -> None:
        """Is it the exclusion that the scenario expects?

        Raises:
            RaceError: no.
        """
        expected = self.scenario.exclusion
        if expected is None or not self._excludes(expected, blocked):
            raise self._failed(
                deadlock(blocked, self.scenario.threads, self.cpus.held, self.symbols)
            )
        call = blocked.call(self.symbols)
        self._note(f"{blocked.thread.name} waits for {blocked.wait.says}: {expected.lock}, {call}")

    def _excludes(self, expected: Exclusion, blocked: Blocked) -> bool:
        if blocked.wait.kind != "lock" or blocked.thread.name != expected.thread:
            return False
        if expected.function not in self._functions(blocked.stack):
            return False
        if expected.holder is None or expected.holder_function is None:
            return True
        if expected.holder not in self.cpus.held:
            return False
        holder = self._doing(self.scenario.thread(expected.holder))
        return expected.holder_function in self._functions(holder)
