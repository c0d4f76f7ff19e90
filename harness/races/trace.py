# SPDX-License-Identifier: GPL-2.0-only
"""What happened in a run, for a reader: who was held where, for how long, and all stacks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from harness.core.errors import InvocationError
from harness.debugger.stopped_guest import Stack
from harness.debugger.symbols import Symbols

Ending = Literal["hit", "miss", "excluded", "error"]  # error: it did not come to its end


@dataclass(frozen=True)
class CpuSnapshot:
    """What one CPU did; ``thread``: pinned to it, and ``held_at``: where that is held."""

    cpu: int
    thread: str | None
    held_at: str | None
    stack: Stack


@dataclass(frozen=True)
class RaceStep:
    """A moment at which the guest stood still; ``at_s``: seconds for which it had run."""

    at_s: float
    what: str
    cpus: tuple[CpuSnapshot, ...]


@dataclass(frozen=True)
class Hold:
    """A thread was held at ``where`` while the rest of the guest ran for ``seconds``."""

    thread: str
    cpu: int
    where: str
    seconds: float


@dataclass(frozen=True)
class RaceRun:
    """One run; ``remark``: the guest program's. Without control: no ``steps``, no ``holds``."""

    number: int
    ending: Ending
    remark: str | None = None
    steps: tuple[RaceStep, ...] = ()
    holds: tuple[Hold, ...] = ()


class RaceError(InvocationError):
    """A run did not come to its end: the scenario is wrong. ``steps``: up to the failure."""

    steps: tuple[RaceStep, ...] = ()


def _snapshot_lines(snapshot: CpuSnapshot, symbols: Symbols) -> Iterator[str]:
    """A CPU and its stack, a line a function."""
    stack, who = snapshot.stack, f"    CPU {snapshot.cpu}"
    who += f", thread {snapshot.thread}" if snapshot.thread else ""
    who += f", held at {snapshot.held_at}" if snapshot.held_at else ""
    who += ", asleep:" if stack.asleep else ":"
    if stack.user or stack.idle:
        yield f"{who} {'in user space' if stack.user else 'idle'}"
        return
    yield who
    if stack.interrupt:
        yield "        in an interrupt"
    for frame in stack.functions(symbols):
        text = symbols.source.line(frame.file, frame.line)
        yield f"        {frame}{f'  {text}' if text else ''}"


def _run_lines(run: RaceRun, symbols: Symbols | None) -> Iterator[str]:
    yield f"run {run.number}: {run.ending}{f': {run.remark}' if run.remark else ''}"
    if symbols is not None:
        for step in run.steps:
            yield f"{step.at_s * 1000:9.1f} ms  {step.what}"
            for snapshot in step.cpus:
                yield from _snapshot_lines(snapshot, symbols)
    for hold in run.holds:
        held = f"thread {hold.thread} (CPU {hold.cpu}) was held at {hold.where}"
        yield f"    {held} for {hold.seconds * 1000:.1f} ms"


def trace(runs: Iterable[RaceRun], symbols: Symbols | None) -> str:
    """The text of several runs, a paragraph each; ``symbols``: None where nobody was held."""
    return "\n".join("\n".join((*_run_lines(run, symbols), "")) for run in runs)
