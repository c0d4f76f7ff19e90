# SPDX-License-Identifier: GPL-2.0-only
"""What happened in a run, for a reader: who was held where, for how long, and all stacks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from harness.stopped import Stack
from harness.symbols import Symbols

Ending = Literal["hit", "miss", "excluded"]


@dataclass(frozen=True)
class Look:
    """What one CPU did at a moment. ``thread`` is pinned to it; ``held``: where, '' if not."""

    cpu: int
    thread: str
    held: str
    stack: Stack


@dataclass(frozen=True)
class Stage:
    """A moment at which the guest stood still; ``at``: seconds for which it had run."""

    at: float
    what: str
    looks: tuple[Look, ...]


@dataclass(frozen=True)
class Hold:
    """A thread was held at ``where`` while the rest of the guest ran for ``seconds``."""

    thread: str
    cpu: int
    where: str
    seconds: float


@dataclass(frozen=True)
class RaceRun:
    """One run to its end. ``remark``: the guest program's own."""

    number: int
    ending: Ending
    stages: tuple[Stage, ...]
    holds: tuple[Hold, ...]
    remark: str = ""


def lines_of_stack(stack: Stack, symbols: Symbols) -> Iterator[str]:
    """A stack, a line a function, with the source line behind it."""
    if stack.interrupt:
        yield "in an interrupt"
    for raw in stack.frames:
        for frame in symbols.frames(raw.address, call=raw.call):
            text = symbols.source.line(frame.file, frame.line) if frame.line else ""
            yield f"{frame}{f'  {text}' if text else ''}"


def lines_of_stage(stage: Stage, symbols: Symbols) -> Iterator[str]:
    """A moment: what it is, then every CPU."""
    yield f"{stage.at * 1000:9.1f} ms  {stage.what}"
    for look in stage.looks:
        who = f"CPU {look.cpu}"
        if look.thread:
            who += f", thread {look.thread}"
        if look.held:
            who += f", held at {look.held}"
        if look.stack.asleep:
            who += ", asleep"
        if look.stack.user:
            yield f"    {who}: in user space"
            continue
        if look.stack.idle:
            yield f"    {who}: idle"
            continue
        yield f"    {who}:"
        for line in lines_of_stack(look.stack, symbols):
            yield f"        {line}"


def lines_of_run(run: RaceRun, symbols: Symbols) -> Iterator[str]:
    """A whole run."""
    yield f"run {run.number}: {run.ending}{f': {run.remark}' if run.remark else ''}"
    for stage in run.stages:
        yield from lines_of_stage(stage, symbols)
    for hold in run.holds:
        yield (
            f"    thread {hold.thread} (CPU {hold.cpu}) was held at {hold.where}"
            f" for {hold.seconds * 1000:.1f} ms"
        )


def text_of(runs: Iterable[RaceRun], symbols: Symbols) -> str:
    """The trace of several runs, a paragraph each."""
    return "\n".join("\n".join((*lines_of_run(run, symbols), "")) for run in runs)
