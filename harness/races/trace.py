# SPDX-License-Identifier: GPL-2.0-only
"""What happened in a run, for a reader: who was held where, for how long, and all stacks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.core.errors import InvocationError
from harness.debugger.stopped_guest import Stack
from harness.debugger.symbols import Symbols

# error: it did not come to its end. Of an order that is explored: a thread waited for something
# other than a lock that another has, or never came to its point.
Ending = Literal["hit", "miss", "excluded", "error", "waits", "unreached"]


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


class NotReachedError(RaceError):
    """A thread did not come to its point."""


def trace(runs: Iterable[RaceRun], symbols: Symbols | None) -> str:
    """The text of several runs, a paragraph each; ``symbols``: None where nobody was held."""
    from harness.report.files import page_environment  # a finding has no template engine

    template = page_environment(Path(__file__).parent).get_template("trace.txt.j2")
    return template.render(runs=runs, symbols=symbols)
