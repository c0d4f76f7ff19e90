# SPDX-License-Identifier: GPL-2.0-only
"""Conducts one run of a race: holds threads at their points and lets them go in order.

Only the thread whose turn it is runs, beside the CPUs that belong to no thread. Every
time the guest is let go there is a limit; then it is stopped and the stacks are looked
at. A run ends in an outcome or in a :class:`RaceError` with a reason, never in a hang.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from harness.gdbremote import Registers, Remote
from harness.places import Spot
from harness.racefaults import Blocked, RaceError, asks_for, deadlock, late, passed_by
from harness.racetrace import Ending, Look, RaceRun, Stage
from harness.racewatch import Limits, Watch
from harness.reins import Reins
from harness.scenario import Exclusion, Point, Scenario, Thread
from harness.stopped import Stack, StoppedGuest
from harness.symbols import Frame, Symbols
from harness.waits import PASSING, classify, plain

MAGIC = 0x52414345  # race.h
LANDMARKS = ("race_begin", "race_end", "race_outcome")


@dataclass
class Conductor:
    """Conducts the runs of one scenario in one guest.

    Args:
        remote: connected; the guest stands still.
        spots: of the scenario's points, in order.
        program: the symbols of the guest program.
        over: says, once the guest program has ended, how it did ('' while it runs).
        pace: how much slower than the reference the guest is.
    """

    remote: Remote
    symbols: Symbols
    scenario: Scenario
    spots: Sequence[Spot]
    program: dict[str, int]
    over: Callable[[], str]
    pace: float = 1.0
    limits: Limits = field(default_factory=Limits)
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self.guest = StoppedGuest(self.remote, self.symbols)
        self.reins = Reins(
            self.remote, self.guest, self.scenario.threads, self.over, clock=self.clock
        )
        self._tasks: dict[str, int] = {}
        self._stages: list[Stage] = []
        self._landmarks = {name: self.program[name] for name in LANDMARKS}

    # ---- one run -------------------------------------------------------------------

    def run(self, number: int) -> RaceRun:
        """One run, from all threads at their beginning to the program's verdict.

        Args:
            number: of the run, from 1.

        Raises:
            RaceError: it could not be conducted to an end.
            StubError: QEMU's stub does not do what it should.
        """
        self.reins.begin_run()
        self._stages.clear()
        blocked: Blocked | None = None
        try:
            self._gather()
            try:
                for point, spot in zip(self.scenario.points, self.spots, strict=True):
                    self._advance(point, spot)
            except Blocked as wait:
                self._judge(wait)
                blocked = wait
            struck = self._finish(number)
        except RaceError as error:
            raise RaceError(error.what, error.advice, self._stages) from error
        if blocked is not None and struck:
            raise RaceError(
                "a lock kept the threads apart, and the program reports the bad outcome all the"
                " same: its verdict does not come from this race",
                "look at struck() of the guest program",
                self._stages,
            )
        ending: Ending = "excluded" if blocked else "hit" if struck else "miss"
        return RaceRun(number, ending, tuple(self._stages), tuple(self.reins.holds))

    def _gather(self) -> None:
        """All threads are held at the beginning of their parts."""
        begin = self._landmarks["race_begin"]
        self.reins.insert(begin)
        limit = self.reins.ran + self.limits.between_runs * self.pace
        while len(self.reins.held) < len(self.scenario.threads):
            self.reins.go(limit - self.reins.ran)
            for cpu in self.reins.arrived():
                thread = self._thread_on(cpu)
                if thread is not None and self._at_landmark(cpu, argument=2):
                    self._tasks[thread.name] = self.guest.current(cpu)
                    self.reins.hold(thread, "the beginning of its part")
                else:
                    self.reins.step_over(cpu)
            if self.reins.ran > limit:
                missing = [t.name for t in self.scenario.threads if t.name not in self.reins.held]
                raise self._wrong(f"thread {missing[0]} does not come to begin a run")
        self.reins.clear()
        self._note("all threads are at the beginning of their parts")

    def _advance(self, point: Point, spot: Spot) -> None:
        """The thread of ``point`` goes on until it is there.

        Raises:
            RaceError: it passes by, or does not come and does not wait either.
            Blocked: it waits.
        """
        thread = self.scenario.thread(point.thread)
        self.reins.let_go(thread)
        for address in {*spot.addresses, self._landmarks["race_end"]}:
            self.reins.insert(address)
        self.reins.step_over_if_there(thread.cpu)
        came = 0
        returning: tuple[int, int] | None = None  # address, stack pointer
        watch = Watch(self.limits, self.pace, self.clock, lambda: self.reins.ran)
        while True:
            self.reins.go(watch.next_look())
            for cpu in self.reins.arrived():
                registers = self.guest.registers(cpu)
                if returning is not None and cpu == thread.cpu and registers.pc == returning[0]:
                    if self._own(thread, cpu) and registers["rsp"] == returning[1]:
                        return self._reached(point, thread)
                elif cpu == thread.cpu and self._meets(point, thread, cpu):
                    came += 1
                    if came == point.nth and not spot.on_return:
                        return self._reached(point, thread)
                    if came == point.nth:
                        back = self.guest.word(registers["rsp"])
                        returning = (back, registers["rsp"] + 8)
                        self.reins.insert(back)
                elif cpu == thread.cpu and self._at_end(cpu):
                    raise self._failed(passed_by(point, spot, came))
                self.reins.step_over(cpu)
            self._look(point, thread, watch)

    def _finish(self, number: int) -> bool:
        """All go on, the run comes to its end: whether the outcome is the bad one."""
        for thread in self.scenario.threads:
            self.reins.let_go(thread)
        self.reins.clear()
        self.reins.insert(self._landmarks["race_outcome"])
        limit = self.reins.ran + self.limits.between_runs * self.pace
        while True:
            self.reins.go(limit - self.reins.ran)
            for cpu in self.reins.arrived():
                if cpu == 0 and self._at_landmark(cpu, argument=3):
                    registers = self.guest.registers(cpu)
                    said = registers.argument(1) + 1
                    if said != number:
                        raise self._wrong(f"the program is at run {said} instead of {number}")
                    self.reins.clear()
                    return bool(registers.argument(2))
                self.reins.step_over(cpu)
            if self.reins.ran > limit:
                raise self._wrong("all threads were let go, and the run does not end")

    # ---- is it there? ------------------------------------------------------------------

    def _thread_on(self, cpu: int) -> Thread | None:
        return next((t for t in self.scenario.threads if t.cpu == cpu), None)

    def _at_landmark(self, cpu: int, *, argument: int) -> bool:
        """Whether it is our program that stands there, and not another at the same address."""
        registers = self.guest.registers(cpu)
        return registers.user and registers.argument(argument) & 0xFFFFFFFF == MAGIC

    def _at_end(self, cpu: int) -> bool:
        at = self.guest.registers(cpu).pc == self._landmarks["race_end"]
        return at and self._at_landmark(cpu, argument=2)

    def _own(self, thread: Thread, cpu: int) -> bool:
        """Whether a CPU does the thread's own work: no other task, and no interrupt."""
        if self.guest.current(cpu) != self._tasks[thread.name]:
            return False
        return not self.guest.stack(cpu).interrupt

    def _meets(self, point: Point, thread: Thread, cpu: int) -> bool:
        """Whether the thread, on its CPU, stands at the point with all that it asks for."""
        registers = self.guest.registers(cpu)
        if point.place.kind == "end":
            return self._at_end(cpu)
        if registers.pc == self._landmarks["race_end"]:
            return False
        if point.place.kind == "program":
            return registers.user
        if registers.user or not self._own(thread, cpu):
            return False
        return self._arguments_fit(point, registers, cpu) and self._within(point, cpu)

    def _arguments_fit(self, point: Point, registers: Registers, cpu: int) -> bool:
        for argument in point.arguments:
            value = registers.argument(argument.number)
            if argument.mask and not value & argument.mask:
                return False
            if argument.variable:
                if argument.variable not in self.program:
                    raise RaceError(f"the guest program has no variable {argument.variable}")
                if self.guest.user_word(cpu, self.program[argument.variable]) != value:
                    return False
        return True

    def _within(self, point: Point, cpu: int) -> bool:
        if not point.within:
            return True
        stack = self.guest.stack(cpu)
        wanted = set(point.within)
        if wanted <= set(self._names(stack)):
            return True
        return wanted <= {frame.function for frame in self._frames(stack)}

    # ---- stacks ------------------------------------------------------------------------

    def _names(self, stack: Stack) -> list[str]:
        """The symbols on a stack: quick, and blind to what is inlined."""
        return [plain(self.symbols.symbol_at(f.address - f.call)[0]) for f in stack.frames]

    def _frames(self, stack: Stack) -> list[Frame]:
        return [
            frame
            for raw in stack.frames
            for frame in self.symbols.frames(raw.address, call=raw.call)
        ]

    def _doing(self, thread: Thread) -> Stack:
        """What a thread does; what its CPU does, where that keeps the thread from running."""
        task = self._tasks.get(thread.name, 0)
        if not task or self.guest.current(thread.cpu) == task:
            return self.guest.stack(thread.cpu)
        instead = self.guest.stack(thread.cpu)
        wait = classify(self._names(instead))
        if wait is not None and wait.kind == "stop":
            return instead
        return self.guest.sleeper(task)

    def _note(self, what: str) -> None:
        """Keeps what every CPU does at this moment."""
        looks = []
        for cpu in self.reins.cpus:
            thread = self._thread_on(cpu)
            name = thread.name if thread is not None else ""
            if thread is not None:
                stack = self._doing(thread)
            elif self.guest.idle(cpu):
                stack = Stack(idle=True)
            else:
                stack = self.guest.stack(cpu)
            looks.append(Look(cpu, name, self.reins.held.get(name, ""), stack))
        self._stages.append(Stage(self.reins.ran, what, tuple(looks)))

    def _reached(self, point: Point, thread: Thread) -> None:
        self.reins.hold(thread, str(point.place))
        self._note(
            f"{thread.name} is at {point.place}"
            if point.place.kind != "end"
            else f"{thread.name} has come to its end"
        )
        self.reins.clear()

    # ---- what if it does not come? -------------------------------------------------------

    def _wrong(self, what: str) -> RaceError:
        return self._failed(RaceError(what))

    def _failed(self, error: RaceError) -> RaceError:
        """The error, with what every CPU does just now as the last thing that happened."""
        self._note(error.what)
        return error

    def _look(self, point: Point, thread: Thread, watch: Watch) -> None:
        """The thread has not come yet: does it wait, or is its time up?"""
        stack = self._doing(thread)
        wait = classify(self._names(stack))
        if wait is not None and wait.kind not in PASSING:
            if watch.same(f"{wait.function} {len(stack.frames)}", self.guest.ticks()):
                raise Blocked(thread, wait, stack)
        else:
            watch.other()
        if not watch.over():
            return
        names = self._names(stack)
        raise self._failed(late(point, stack, wait, names, self.limits.of_step(self.pace)))

    def _judge(self, blocked: Blocked) -> None:
        """Is it the exclusion that the scenario expects?

        Raises:
            RaceError: no.
        """
        thread, wait = blocked.thread, blocked.wait
        expected = self.scenario.exclusion
        if wait.kind == "lock" and expected is not None and self._fits(expected, blocked):
            asks = asks_for(blocked, self.symbols)
            self._note(f"{thread.name} waits for {wait.says}: {expected.lock}, {asks}")
            return
        raise self._failed(deadlock(blocked, self.scenario, self.reins.held, self.symbols))

    def _fits(self, expected: Exclusion, blocked: Blocked) -> bool:
        if blocked.thread.name != expected.thread:
            return False
        names = {frame.function for frame in self._frames(blocked.stack)}
        if expected.function not in names:
            return False
        if not expected.holder:
            return True
        if expected.holder not in self.reins.held:
            return False
        holder = self._doing(self.scenario.thread(expected.holder))
        return not expected.holder_function or expected.holder_function in {
            frame.function for frame in self._frames(holder)
        }
