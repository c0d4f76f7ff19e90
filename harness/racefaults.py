# SPDX-License-Identifier: GPL-2.0-only
"""Why a run could not be conducted, in words: each reason is one of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.places import Spot
from harness.racetrace import Stage
from harness.scenario import Point, Scenario, Thread
from harness.stopped import Stack
from harness.symbols import Symbols
from harness.waits import Wait


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
class Blocked(Exception):  # noqa: N818 (no error: perhaps it is what should happen)
    """A thread whose turn it is waits for what will not come while others are held."""

    thread: Thread
    wait: Wait
    stack: Stack


def passed_by(point: Point, spot: Spot, came: int) -> RaceError:
    """The thread has come to its end without a stop at the point."""
    times = f"; it was there {came} times, not {point.nth}" if came else ""
    where = f" ({spot.file}:{spot.line}: {spot.text})" if spot.file else ""
    return RaceError(
        f"thread {point.thread} never reached '{point.place}'{where}: it came to the end of its"
        f" part without{times}",
        "has the code moved, or does it go another way on this kernel? This race was not tried",
    )


def late(
    point: Point, stack: Stack, wait: Wait | None, names: Sequence[str], seconds: float
) -> RaceError:
    """The thread has had its time, and does not wait for anybody who is held."""
    if stack.user:
        what = "runs in user space"
    elif wait is not None:
        what = f"waits for {wait.says}"
    else:
        what = f"{'sleeps' if stack.asleep else 'is'} in {names[0]}()" if names else "is nowhere"
    return RaceError(
        f"thread {point.thread} does not come to '{point.place}' within {seconds:.0f} s: it {what}",
        "the trace has the stacks",
    )


def asks_for(blocked: Blocked, symbols: Symbols) -> str:
    """The call that waits, as the source has it: that names a lock best."""
    for raw in blocked.stack.frames[blocked.wait.depth + 1 :]:
        for frame in symbols.frames(raw.address, call=raw.call):
            text = symbols.source.line(frame.file, frame.line) if frame.line else ""
            own = frame.file.endswith(".c") and not frame.file.startswith("kernel/locking")
            if text and own:
                return f"in {frame.function}(), {frame.file}:{frame.line}: {text.rstrip(';')}"
    return f"in {blocked.wait.function}()"


def deadlock(
    blocked: Blocked, scenario: Scenario, held: Mapping[str, str], symbols: Symbols
) -> RaceError:
    """A wait that the scenario does not expect.

    Args:
        held: where each held thread is.
    """
    thread, wait = blocked.thread, blocked.wait
    who = ", ".join(
        f"{t.name} on CPU {t.cpu} at {held[t.name]}" for t in scenario.threads if t.name in held
    )
    what = f"{thread.name} waits for {wait.says}, {asks_for(blocked, symbols)}; held: {who}"
    match wait.kind:
        case "lock":
            return RaceError(
                f"the order deadlocks: {what}",
                "if this lock is the protection, say so under 'outcome: excluded'; else let the"
                " thread that holds it go on first",
            )
        case "program":
            return RaceError(
                f"the order deadlocks: {what}",
                "the guest program waits for a thread that is held; do not synchronise the"
                " threads' parts with each other",
            )
    return RaceError(
        f"the order cannot be: {what}",
        "a CPU that is held in the kernel answers nobody: let it go on before, or hold its"
        " thread elsewhere",
    )
