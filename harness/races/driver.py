# SPDX-License-Identifier: GPL-2.0-only
"""Drives one run of a race: holds threads at their points and lets them go in order.

Only the thread whose turn it is runs, beside the CPUs that belong to no thread. Every
time the guest is let go there is a limit; then it is stopped and the stacks are looked
at. A run ends in an outcome or in a :class:`RaceError` with a reason, never in a hang.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.debugger.blocked_on import TRANSIENT, Wait, WaitKind, blocked_on
from harness.debugger.gdb_remote import Registers, Remote
from harness.debugger.stopped_guest import Stack, StoppedGuest
from harness.debugger.symbols import Symbols
from harness.races.breakpoints import Breakpoint
from harness.races.cpus import BETWEEN_RUNS_S, CpuControl, StepWatchdog
from harness.races.landmarks import BEGIN, END, MAGIC, OUTCOME
from harness.races.scenario import Argument, Exclusion, Point, Scenario, Thread
from harness.races.trace import (
    CpuSnapshot,
    Ending,
    NotReachedError,
    RaceError,
    RaceRun,
    RaceStep,
)

AT_BEGINNING = "the beginning of its part"

_ADVICE: dict[WaitKind, str] = {
    "lock": "if this lock is the protection, say so under 'outcome: excluded'; else let the"
    " thread that holds it go on first",
    "program": "the guest program waits for a thread that is held; do not synchronise the"
    " threads' parts with each other",
}


@dataclass
class Blocked(Exception):  # noqa: N818 (no error: perhaps it is what should happen)
    """A thread whose turn it is waits for what will not come while others are held."""

    thread: Thread
    wait: Wait
    stack: Stack


@dataclass
class InterleavingDriver:
    """Drives the runs of one scenario in one guest, which stands still.

    ``breakpoints``: of the points, in order. ``program``: the symbols of the guest program;
    ``program_end``: see CpuControl. ``pace``: how much slower than the reference the guest is.
    """

    remote: Remote
    symbols: Symbols
    scenario: Scenario
    breakpoints: Sequence[Breakpoint]
    program: Mapping[str, int]
    program_end: Callable[[], str | None]
    pace: float = 1.0
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
        """Run ``number``, from 1: from all threads at their beginning to the program's verdict.

        A RaceError: it could not be brought to an end. A StubError: QEMU's stub is wrong.
        """
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
                    next_step="look at struck() of the guest program",
                )
        except RaceError as error:
            error.steps = tuple(self._steps)
            raise
        ending: Ending = "excluded" if blocked else "hit" if struck else "miss"
        return RaceRun(number, ending, steps=tuple(self._steps), holds=tuple(self.cpus.holds))

    def explore(
        self, number: int, points: Sequence[Point], breakpoints: Sequence[Breakpoint]
    ) -> RaceRun:
        """Run ``number`` in an order of which nobody knows whether it can be.

        What keeps a thread from its point ends the order, and all are let go; the last step
        shows it, and ``remark`` says it. Errors as of ``run``: the run did not end.
        """
        kept: Ending | None = None
        why = None
        self._gather()
        try:
            for point, breakpoint_ in zip(points, breakpoints, strict=True):
                self._advance(point, breakpoint_)
        except Blocked as wait:
            kept = "excluded" if self._excludes_somehow(wait) else "waits"
            call = self._waiting_call(wait)
            self._note(why := f"{wait.thread.name} waits for {wait.wait.says}, {call}")
        except NotReachedError as error:
            kept, why = "unreached", str(error)
        ending: Ending = "hit" if self._finish(number) else "miss"
        return RaceRun(number, kept or ending, why, tuple(self._steps))

    def _see(self, cpu: int) -> None:
        """A CPU stands at a breakpoint while all threads run."""

    def _arrivals(self, landmark: str, overdue: Callable[[], str]) -> Iterator[int]:
        """The CPUs that come to a landmark of our program, for as long as they are waited for."""
        self.cpus.insert(self.program[landmark])
        limit_s = self.cpus.ran_s + BETWEEN_RUNS_S * self.pace
        while self.cpus.ran_s <= limit_s:
            self.cpus.run(limit_s - self.cpus.ran_s)
            for cpu in self.cpus.at_breakpoints():
                self._see(cpu)
                if self._at_landmark(landmark, cpu):
                    yield cpu
                if not self.cpus.is_held(cpu):
                    self.cpus.step_over(cpu)
        raise self._failed(overdue())

    def _gather(self) -> None:
        """A run begins: all threads are held at the beginning of their parts."""
        self.cpus.holds.clear()
        self.cpus.ran_s = 0.0
        self._steps.clear()
        missing = [thread.name for thread in self.scenario.threads]
        overdue = "thread {} does not come to begin a run"
        for cpu in self._arrivals(BEGIN, lambda: overdue.format(missing[0])):
            if thread := self._by_cpu.get(cpu):
                self._tasks[thread.name] = self.guest.current(cpu)
                self.cpus.hold(thread, AT_BEGINNING)
                missing.remove(thread.name)
            if not missing:
                break
        self.cpus.clear()
        self._note("all threads are at the beginning of their parts")

    def _advance(self, point: Point, breakpoint_: Breakpoint) -> None:
        """The thread of ``point`` goes on until it is there, and is held; or it is Blocked."""
        thread = self.scenario.thread(point.thread)
        self.cpus.release(thread)
        for address in {*breakpoint_.addresses, self.program[END]}:
            self.cpus.insert(address)
        self.cpus.step_over(thread.cpu)
        times = 0
        returning: tuple[int, int] | None = None  # address, stack pointer
        watchdog = StepWatchdog(self.pace, self.clock, lambda: self.cpus.ran_s)
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
                        raise self._passed_by(point, breakpoint_, times)
                self.cpus.step_over(cpu)
            self._check(point, thread, watchdog)

    def _clear(self) -> None:
        """Breakpoints are taken away, for all are let go."""
        self.cpus.clear()

    def _finish(self, number: int) -> bool:
        """All go on, the run comes to its end: whether the outcome is the bad one."""
        for thread in self.scenario.threads:
            self.cpus.release(thread)
        self._clear()
        overdue = "all threads were let go, and the run does not end"
        for cpu in self._arrivals(OUTCOME, lambda: overdue):
            if cpu == 0:
                registers = self.guest.registers(cpu)
                if (at := registers.argument(1) + 1) != number:
                    raise self._failed(f"the program is at run {at} instead of {number}")
                break
        self.cpus.clear()
        return bool(registers.argument(2))

    # ---- is it there? ------------------------------------------------------------------

    def _at_landmark(self, name: str, cpu: int) -> bool:
        """Whether it is our program that stands there, and not another at the same address."""
        registers = self.guest.registers(cpu)
        magic = registers.argument(3 if name == OUTCOME else 2) & 0xFFFFFFFF
        return registers.user and registers.pc == self.program[name] and magic == MAGIC

    def _own(self, thread: Thread) -> bool:
        """Whether its CPU does the thread's own work: no other task, and no interrupt."""
        ours = self.guest.current(thread.cpu) == self._tasks[thread.name]
        return ours and not self.guest.stack(thread.cpu).interrupt

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
        if not all(self._fits(argument, registers, thread.cpu) for argument in point.arguments):
            return False
        stack, wanted = self.guest.stack(thread.cpu), set(point.within)
        return wanted <= set(stack.names(self.symbols)) or wanted <= self._functions(stack)

    def _fits(self, argument: Argument, registers: Registers, cpu: int) -> bool:
        value = registers.argument(argument.number)
        if argument.variable is None:
            return bool(value & argument.mask)
        if argument.variable not in self.program:
            raise RaceError(f"the guest program has no variable {argument.variable}")
        return self.guest.word(self.program[argument.variable], cpu) == value

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

    def _failed(
        self, what: str, next_step: str | None = None, kind: type[RaceError] = RaceError
    ) -> RaceError:
        """The error, with what every CPU does just now as the last thing that happened."""
        self._note(what)
        return kind(what, next_step=next_step)

    def _passed_by(self, point: Point, at: Breakpoint, times: int) -> RaceError:
        """The thread has come to its end without a stop at the point; it was there ``times``."""
        where = f" ({at.file}:{at.line}: {at.text})" if at.file else ""
        counted = f"; it was there {times} times, not {point.nth}" if times else ""
        return self._failed(
            f"thread {point.thread} never reached '{point.place}'{where}: it came to the end of"
            f" its part without{counted}",
            "has the code moved, or does it go another way on this kernel? This race was not tried",
            NotReachedError,
        )

    def _stuck(self, thread: Thread, watchdog: StepWatchdog) -> Blocked | None:
        """What the thread waits for that will not come; None: it goes on, as far as is known."""
        stack = self._doing(thread)
        names = stack.names(self.symbols)
        wait = blocked_on(names)
        lasting = wait is not None and wait.kind not in TRANSIENT
        what = f"{wait.function} {len(names)}" if wait is not None and lasting else None
        stuck = watchdog.stuck(what, self.guest.ticks())
        return Blocked(thread, wait, stack) if stuck and wait is not None else None

    def _check(self, point: Point, thread: Thread, watchdog: StepWatchdog) -> None:
        """The thread has not come yet: does it wait, or is its time up?"""
        if (blocked := self._stuck(thread, watchdog)) is not None:
            raise blocked
        if not watchdog.expired():
            return
        stack = self._doing(thread)
        names = stack.names(self.symbols)
        wait = blocked_on(names)
        doing = "is nowhere"
        if stack.user:
            doing = "runs in user space"
        elif wait is not None:
            doing = f"waits for {wait.says}"
        elif names:
            doing = f"{'sleeps' if stack.asleep else 'is'} in {names[0]}()"
        raise self._failed(
            f"thread {point.thread} does not come to '{point.place}' within"
            f" {watchdog.limit_s:.0f} s: it {doing}",
            "the trace has the stacks",
            NotReachedError,
        )

    def _waiting_call(self, blocked: Blocked) -> str:
        """The call that waits, as the source has it: that names a lock best."""
        for raw in blocked.stack.frames[blocked.wait.depth + 1 :]:
            for frame in self.symbols.frames(raw.at):
                text = self.symbols.source.line(frame.file, frame.line)
                own = frame.file.endswith(".c") and not frame.file.startswith("kernel/locking")
                if text and own:
                    return f"in {frame.function}(), {frame.file}:{frame.line}: {text.rstrip(';')}"
        return f"in {blocked.wait.function}()"

    def _require_expected(self, blocked: Blocked) -> None:
        """Raises a RaceError unless this is the exclusion that the scenario expects."""
        expected, held = self.scenario.exclusion, self.cpus.held
        waits = f"{blocked.thread.name} waits for {blocked.wait.says}"
        call = self._waiting_call(blocked)
        if expected is not None and self._excludes(expected, blocked):
            self._note(f"{waits}: {expected.lock}, {call}")
            return
        if self.scenario.any_lock and self._excludes_somehow(blocked):
            self._note(f"{waits}, {call}")
            return
        threads = [thread for thread in self.scenario.threads if thread.name in held]
        who = ", ".join(f"{t.name} on CPU {t.cpu} at {held[t.name]}" for t in threads)
        advice = _ADVICE.get(blocked.wait.kind)
        raise self._failed(
            f"the order {'deadlocks' if advice else 'cannot be'}: {waits}, {call}; held: {who}",
            advice
            or "a CPU that is held in the kernel answers nobody: let it go on before, or hold its"
            " thread elsewhere",
        )

    def _excludes_somehow(self, blocked: Blocked) -> bool:
        """Whether it waits for a lock while another is held where it can have one."""
        others = [t for t in self.scenario.threads if t.name in self.cpus.held]
        return blocked.wait.kind == "lock" and not all(self._doing(t).user for t in others)

    def _excludes(self, expected: Exclusion, blocked: Blocked) -> bool:
        waits = blocked.wait.kind == "lock" and blocked.thread.name == expected.thread
        if not waits or expected.function not in self._functions(blocked.stack):
            return False
        if expected.holder is None or expected.holder not in self.cpus.held:
            return expected.holder is None
        holder = self._doing(self.scenario.thread(expected.holder))
        return expected.holder_function in self._functions(holder)
