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

from harness.gdbremote import Exited, Registers, Remote, StubError
from harness.places import Spot
from harness.racetrace import Ending, Hold, Look, RaceRun, Stage
from harness.scenario import Exclusion, Point, Scenario, Thread
from harness.stopped import Stack, StoppedGuest
from harness.symbols import Frame, Symbols
from harness.waits import PASSING, Wait, classify, plain

MAGIC = 0x52414345  # race.h
LANDMARKS = ("race_begin", "race_end", "race_outcome")
ALL_THE_TIME = "runs all the time"


@dataclass(frozen=True)
class Limits:
    """Seconds of a guest of reference speed.

    A wait counts as one that will not end when the kernel's clock has moved by ``ticks``
    with the task in the same place, or, should the clock stand still, after ``stuck``.
    """

    between_runs: float = 20.0
    step: float = 6.0
    longest_step: float = 15.0  # a kernel complains of a CPU that stands still for 20 s
    first_look: float = 0.03
    longest_look: float = 0.5
    ticks: int = 20
    stuck: float = 1.5

    def of_step(self, pace: float) -> float:
        """Seconds in which a thread has to come to its next point."""
        return min(self.step * pace, self.longest_step)


class RaceError(Exception):
    """A run could not be conducted: the scenario is wrong about this kernel.

    ``stages``: what had happened by then, the moment of the failure included.
    """

    def __init__(self, what: str, advice: str = "", stages: Sequence[Stage] = ()) -> None:
        super().__init__(what)
        self.what = what
        self.advice = advice
        self.stages = tuple(stages)


@dataclass
class _Blocked(Exception):  # noqa: N818 (no error: perhaps it is what should happen)
    """A thread whose turn it is waits for what will not come while others are held."""

    thread: Thread
    wait: Wait
    stack: Stack


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
        self.cpus = self.remote.cpus()
        self._tasks: dict[str, int] = {}
        self._held: dict[str, str] = {}  # thread: where
        self._since: dict[str, float] = {}
        self._holds: list[Hold] = []
        self._stages: list[Stage] = []
        self._inserted: set[int] = set()
        self._ran = 0.0  # seconds for which the guest has run since the run began
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
        self._holds.clear()
        self._stages.clear()
        self._ran = 0.0
        blocked: _Blocked | None = None
        try:
            self._gather()
            try:
                for point, spot in zip(self.scenario.points, self.spots, strict=True):
                    self._advance(point, spot)
            except _Blocked as wait:
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
        return RaceRun(number, ending, tuple(self._stages), tuple(self._holds))

    def _gather(self) -> None:
        """All threads are held at the beginning of their parts."""
        begin = self._landmarks["race_begin"]
        self._insert(begin)
        limit = self.clock() + self.limits.between_runs * self.pace
        while len(self._held) < len(self.scenario.threads):
            self._go(limit - self.clock())
            for cpu in self._arrived():
                thread = self._thread_on(cpu)
                if thread is not None and self._at_landmark(cpu, argument=2):
                    self._tasks[thread.name] = self.guest.current(cpu)
                    self._hold(thread, "the beginning of its part")
                else:
                    self._step_over(cpu)
            if self.clock() > limit:
                missing = [t.name for t in self.scenario.threads if t.name not in self._held]
                raise self._failure(f"thread {missing[0]} does not come to begin a run")
        self._clear()
        self._note("all threads are at the beginning of their parts")

    def _advance(self, point: Point, spot: Spot) -> None:
        """The thread of ``point`` goes on until it is there.

        Raises:
            RaceError: it passes by, or does not come and does not wait either.
            _Blocked: it waits.
        """
        thread = self.scenario.thread(point.thread)
        self._let_go(thread)
        for address in {*spot.addresses, self._landmarks["race_end"]}:
            self._insert(address)
        self._step_over_if_there(thread.cpu)
        came = 0
        returning: tuple[int, int] | None = None  # address, stack pointer
        watch = _Watch(self.limits, self.pace, self.clock)
        while True:
            self._go(watch.next_look())
            for cpu in self._arrived():
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
                        self._insert(back)
                elif cpu == thread.cpu and self._at_end(cpu):
                    raise self._passed_by(point, spot, came)
                self._step_over(cpu)
            self._look(point, thread, watch)

    def _finish(self, number: int) -> bool:
        """All go on, the run comes to its end: whether the outcome is the bad one."""
        for thread in self.scenario.threads:
            self._let_go(thread)
        self._clear()
        self._insert(self._landmarks["race_outcome"])
        limit = self.clock() + self.limits.between_runs * self.pace
        while True:
            self._go(limit - self.clock())
            for cpu in self._arrived():
                if cpu == 0 and self._at_landmark(cpu, argument=3):
                    registers = self.guest.registers(cpu)
                    said = registers.argument(1) + 1
                    if said != number:
                        raise self._failure(f"the program is at run {said} instead of {number}")
                    self._clear()
                    return bool(registers.argument(2))
                self._step_over(cpu)
            if self.clock() > limit:
                raise self._failure("all threads were let go, and the run does not end")

    # ---- letting go and stopping -----------------------------------------------------

    def _go(self, seconds: float) -> None:
        """The guest runs, without those that are held, until it stops or is stopped."""
        held = {t.cpu for t in self.scenario.threads if t.name in self._held}
        self.guest.forget()
        start = self.clock()
        self.remote.resume(cpu for cpu in self.cpus if cpu not in held)
        stop, deadline = None, start + max(0.01, seconds)
        while stop is None and self.clock() < deadline and not self.over():
            stop = self.remote.wait(min(0.1, max(0.001, deadline - self.clock())))
        if stop is None:
            stop = self.remote.interrupt()
        self._ran += self.clock() - start
        if isinstance(stop, Exited):
            raise RaceError("QEMU has ended in the middle of a run")
        if how := self.over():
            raise RaceError(f"the guest program has ended in the middle of a run: {how}")

    def _arrived(self) -> list[int]:
        """The running CPUs that stand at a breakpoint: each may, whichever was reported."""
        held = {t.cpu for t in self.scenario.threads if t.name in self._held}
        return [
            cpu
            for cpu in self.cpus
            if cpu not in held and self.guest.registers(cpu).pc in self._inserted
        ]

    def _insert(self, address: int) -> None:
        if address in self._inserted:
            return
        try:
            self.remote.insert(address)
        except StubError as error:
            raise RaceError(
                f"breakpoint number {len(self._inserted) + 1} was refused ({error})",
                "the point is in several places of the code: narrow it down, or use ACCEL=tcg",
            ) from error
        self._inserted.add(address)

    def _clear(self) -> None:
        """No breakpoint is left: a held CPU that goes on would only meet it again."""
        for address in sorted(self._inserted):
            self.remote.remove(address)
        self._inserted.clear()

    def _step_over(self, cpu: int) -> None:
        """A CPU whose stop means nothing here goes past the breakpoint; no other misses it."""
        address = self.guest.registers(cpu).pc
        self.remote.remove(address)
        stop = self.remote.step(cpu)
        if isinstance(stop, Exited):
            raise RaceError("QEMU has ended in the middle of a run")
        self.remote.insert(address)
        self.guest.forget()

    def _step_over_if_there(self, cpu: int) -> None:
        if self.guest.registers(cpu).pc in self._inserted:
            self._step_over(cpu)

    def _hold(self, thread: Thread, where: str) -> None:
        self._held[thread.name] = where
        self._since[thread.name] = self._ran

    def _let_go(self, thread: Thread) -> None:
        where = self._held.pop(thread.name, None)
        if where is not None:
            lasted = self._ran - self._since.pop(thread.name)
            self._holds.append(Hold(thread.name, thread.cpu, where, lasted))

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
        """What a thread does, whether its CPU runs it or not."""
        task = self._tasks.get(thread.name, 0)
        if not task or self.guest.current(thread.cpu) == task:
            return self.guest.stack(thread.cpu)
        return self.guest.sleeper(task)

    def _note(self, what: str) -> None:
        """Keeps what every CPU does at this moment."""
        looks = []
        for cpu in self.cpus:
            thread = self._thread_on(cpu)
            name = thread.name if thread is not None else ""
            stack = self.guest.stack(cpu) if thread is None else self._doing(thread)
            looks.append(Look(cpu, name, self._held.get(name, ""), stack))
        self._stages.append(Stage(self._ran, what, tuple(looks)))

    def _reached(self, point: Point, thread: Thread) -> None:
        self._hold(thread, str(point.place))
        self._note(
            f"{thread.name} is at {point.place}"
            if point.place.kind != "end"
            else f"{thread.name} has come to its end"
        )
        self._clear()

    # ---- what if it does not come? -------------------------------------------------------

    def _failure(self, what: str, advice: str = "") -> RaceError:
        self._note(what)
        return RaceError(what, advice)

    def _passed_by(self, point: Point, spot: Spot, came: int) -> RaceError:
        times = f"; it was there {came} times, not {point.nth}" if came else ""
        where = f" ({spot.file}:{spot.line}: {spot.text})" if spot.file else ""
        return self._failure(
            f"thread {point.thread} never reached '{point.place}'{where}: it came to the end of its"
            f" part without{times}",
            "has the code moved, or does it go another way on this kernel? This race was not tried",
        )

    def _look(self, point: Point, thread: Thread, watch: _Watch) -> None:
        """The thread has not come yet: does it wait, or is its time up?"""
        stack = self._doing(thread)
        wait = classify(self._names(stack))
        place = stack.frames[0].address if stack.frames else 0
        if wait is not None and wait.kind not in PASSING:
            if watch.same(f"{wait.function} {len(stack.frames)}", self.guest.ticks()):
                raise _Blocked(thread, wait, stack)
        else:
            watch.other()
        if not watch.over():
            return
        if stack.user:
            what = "runs in user space"
        elif stack.asleep and wait is not None:
            what = f"waits for {wait.says}"
        else:
            what = f"is in {self._names(stack)[0]}()" if place else "does nothing"
        raise self._failure(
            f"thread {thread.name} does not come to '{point.place}' within"
            f" {self.limits.of_step(self.pace):.0f} s: it {what}",
            "the trace has the stacks",
        )

    def _judge(self, blocked: _Blocked) -> None:
        """Is it the exclusion that the scenario expects?

        Raises:
            RaceError: no.
        """
        thread, wait = blocked.thread, blocked.wait
        expected = self.scenario.exclusion
        if wait.kind == "lock" and expected is not None and self._fits(expected, blocked):
            asks = self._asks_for(blocked)
            self._note(f"{thread.name} waits for {wait.says}: {expected.lock}, {asks}")
            return
        raise self._deadlock(blocked)

    def _fits(self, expected: Exclusion, blocked: _Blocked) -> bool:
        if blocked.thread.name != expected.thread:
            return False
        names = {frame.function for frame in self._frames(blocked.stack)}
        if expected.function not in names:
            return False
        if not expected.holder:
            return True
        if expected.holder not in self._held:
            return False
        holder = self._doing(self.scenario.thread(expected.holder))
        return not expected.holder_function or expected.holder_function in {
            frame.function for frame in self._frames(holder)
        }

    def _deadlock(self, blocked: _Blocked) -> RaceError:
        thread, wait = blocked.thread, blocked.wait
        held = ", ".join(
            f"{t.name} on CPU {t.cpu} at {self._held[t.name]}"
            for t in self.scenario.threads
            if t.name in self._held
        )
        asks = self._asks_for(blocked)
        what = f"{thread.name} waits for {wait.says}, {asks}; held: {held}"
        match wait.kind:
            case "lock":
                return self._failure(
                    f"the order deadlocks: {what}",
                    "if this lock is the protection, say so under outcome, excluded:; else let the"
                    " thread that holds it go on first",
                )
            case "program":
                return self._failure(
                    f"the order deadlocks: {what}",
                    "the guest program waits for a thread that is held; do not synchronise the"
                    " threads' parts with each other",
                )
        return self._failure(
            f"the order cannot be: {what}",
            "a CPU that is held in the kernel answers nobody: let it go on before, or hold its"
            " thread elsewhere",
        )

    def _asks_for(self, blocked: _Blocked) -> str:
        """The call that waits, as the source has it: that names the lock best."""
        below = blocked.stack.frames[blocked.wait.depth + 1 :]
        for raw in below:
            for frame in self.symbols.frames(raw.address, call=raw.call):
                text = self.symbols.source.line(frame.file, frame.line) if frame.line else ""
                if (
                    text
                    and frame.file.endswith(".c")
                    and not frame.file.startswith("kernel/locking")
                ):
                    return f"in {frame.function}(), {frame.file}:{frame.line}: {text}"
        return f"in {blocked.wait.function}()"


@dataclass
class _Watch:
    """When to look at a thread that does not come, and what was seen the last time."""

    limits: Limits
    pace: float
    clock: Callable[[], float]

    def __post_init__(self) -> None:
        self._start = self.clock()
        self._pause = self.limits.first_look
        self._seen = ""
        self._since = (0, 0.0)

    def next_look(self) -> float:
        """Seconds until the next look: soon at first, then less often."""
        pause = self._pause
        self._pause = min(self._pause * 1.5, self.limits.longest_look)
        return pause

    def same(self, what: str, ticks: int) -> bool:
        """It waits as ``what`` says: has it done so for so long that it will not end?"""
        now = self.clock()
        if what != self._seen:
            self._seen, self._since = what, (ticks, now)
            return False
        by_clock = ticks - self._since[0] >= self.limits.ticks
        return by_clock or now - self._since[1] >= self.limits.stuck * self.pace

    def other(self) -> None:
        """It does not wait."""
        self._seen = ""

    def over(self) -> bool:
        """Whether its time is up."""
        return self.clock() - self._start > self.limits.of_step(self.pace)
