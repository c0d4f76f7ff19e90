# SPDX-License-Identifier: GPL-2.0-only
"""Why a run could not be brought to its end, in words: each reason is one of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.debugger.stopped_guest import Stack
from harness.debugger.symbols import Symbols
from harness.debugger.wait_kinds import Wait, WaitKind
from harness.races.breakpoints import Breakpoint
from harness.races.scenario import Point, Thread
from harness.races.trace import RaceStep

_ADVICE: dict[WaitKind, str] = {
    "lock": "if this lock is the protection, say so under 'outcome: excluded'; else let the"
    " thread that holds it go on first",
    "program": "the guest program waits for a thread that is held; do not synchronise the"
    " threads' parts with each other",
}


class RaceError(Exception):
    """A run could not be brought to its end: the scenario is wrong about this kernel.

    ``steps``: what had happened by then, the moment of the failure included.
    """

    def __init__(self, what: str, advice: str = "", steps: Sequence[RaceStep] = ()) -> None:
        super().__init__(what)
        self.what = what
        self.advice = advice
        self.steps = tuple(steps)


@dataclass
class Blocked(Exception):  # noqa: N818 (no error: perhaps it is what should happen)
    """A thread whose turn it is waits for what will not come while others are held."""

    thread: Thread
    wait: Wait
    stack: Stack

    def call(self, symbols: Symbols) -> str:
        """The call that waits, as the source has it: that names a lock best."""
        for raw in self.stack.frames[self.wait.depth + 1 :]:
            for frame in symbols.frames(raw.at):
                text = symbols.source.line(frame.file, frame.line)
                own = frame.file.endswith(".c") and not frame.file.startswith("kernel/locking")
                if text and own:
                    return f"in {frame.function}(), {frame.file}:{frame.line}: {text.rstrip(';')}"
        return f"in {self.wait.function}()"


def passed_by(point: Point, breakpoint_: Breakpoint, times: int) -> RaceError:
    """The thread has come to its end without a stop at the point, where it was ``times`` times."""
    at = breakpoint_
    where = f" ({at.file}:{at.line}: {at.text})" if at.file else ""
    counted = f"; it was there {times} times, not {point.nth}" if times else ""
    return RaceError(
        f"thread {point.thread} never reached '{point.place}'{where}: it came to the end of its"
        f" part without{counted}",
        "has the code moved, or does it go another way on this kernel? This race was not tried",
    )


def late(
    point: Point, stack: Stack, wait: Wait | None, names: Sequence[str], seconds: float
) -> RaceError:
    """The thread has had its time, and does not wait for anybody who is held."""
    what = "is nowhere"
    if stack.user:
        what = "runs in user space"
    elif wait is not None:
        what = f"waits for {wait.says}"
    elif names:
        what = f"{'sleeps' if stack.asleep else 'is'} in {names[0]}()"
    return RaceError(
        f"thread {point.thread} does not come to '{point.place}' within {seconds:.0f} s: it {what}",
        "the trace has the stacks",
    )


def deadlock(
    blocked: Blocked, threads: Sequence[Thread], held: Mapping[str, str], symbols: Symbols
) -> RaceError:
    """A wait that the scenario does not expect.

    Args:
        held: where each held thread is.
    """
    who = ", ".join(f"{t.name} on CPU {t.cpu} at {held[t.name]}" for t in threads if t.name in held)
    advice = _ADVICE.get(blocked.wait.kind)
    return RaceError(
        f"the order {'deadlocks' if advice else 'cannot be'}: {blocked.thread.name} waits for"
        f" {blocked.wait.says}, {blocked.call(symbols)}; held: {who}",
        advice
        or "a CPU that is held in the kernel answers nobody: let it go on before, or hold its"
        " thread elsewhere",
    )
