# SPDX-License-Identifier: GPL-2.0-only
"""What cases sampled over time, as pictures for the pages. Pure functions.

A sample is a diagnostic line of a case (``sample()`` of guest-tests/lib/vtest.py)::

    @sample t=12.0310 line:MiB used=4.2 line:MiB memory.max=4.3 bar:purged=16

``t`` in seconds of any clock; a ``line`` is a level, all of a case in one unit; a
``bar`` is a count since the sample before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.results import CaseRecord

WIDTH = 560.0  # of the picture, in its own units
LEFT, TOP, BOTTOM = 44.0, 8.0, 130.0  # where its axes are
BARS = 0.45  # of the height, for the highest bar
MOST = 4  # plots of one page
FEWEST = 3  # samples that make one
_FIELD = re.compile(r"(line|bar):([^=]+)=(\S+)")


@dataclass(frozen=True)
class Sample:
    """One moment: ``t`` in seconds, levels and counts by their names."""

    t: float
    lines: dict[str, float]
    bars: dict[str, float]


@dataclass(frozen=True)
class Drawn:
    """A line's points, or a bar's rectangle, where they go in the picture."""

    name: str
    points: str = ""
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0
    height: float = 0.0
    count: float = 0.0


@dataclass(frozen=True)
class Plot:
    """The picture of a case: ``top`` of its axis, ``highest`` bar, ``seconds`` it spans."""

    case: str
    about: str
    lines: tuple[Drawn, ...]
    bars: tuple[Drawn, ...]
    top: float
    seconds: float
    highest: float
    total: float


def samples(diagnostics: Iterable[str]) -> list[Sample]:
    """The samples among a case's diagnostics; what is none is passed over."""
    found = []
    for text in diagnostics:
        match = re.match(r"@sample t=([0-9.]+) ", text)
        if match is None:
            continue
        fields = [(m[1], m[2].strip(), float(m[3])) for m in _FIELD.finditer(text)]
        lines = {name: value for kind, name, value in fields if kind == "line"}
        bars = {name: value for kind, name, value in fields if kind == "bar"}
        found.append(Sample(float(match[1]), lines, bars))
    return found


def plots(tests: Iterable[CaseRecord]) -> list[Plot]:
    """The pictures of a run's cases, in the run's order."""
    drawn: list[Plot] = []
    for test in tests:
        taken = samples(test["diagnostics"])
        if len(taken) >= FEWEST and len(drawn) < MOST:
            drawn.append(_plot(test["id"], test["about"], taken))
    return drawn


def _plot(case: str, about: str, taken: Sequence[Sample]) -> Plot:
    start = taken[0].t
    seconds = max(taken[-1].t - start, 1e-9)
    top = max((v for s in taken for v in s.lines.values()), default=1.0) * 1.05 or 1.0
    highest = max((v for s in taken for v in s.bars.values()), default=0.0)

    def x_of(t: float) -> float:
        return LEFT + (WIDTH - LEFT - 4) * (t - start) / seconds

    def y_of(value: float, of: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * value / of

    names = dict.fromkeys(name for s in taken for name in s.lines)
    lines = tuple(
        Drawn(name, " ".join(
            f"{x_of(s.t):.1f},{y_of(s.lines[name], top):.1f}" for s in taken if name in s.lines
        ))
        for name in names
    )  # fmt: skip
    bars = tuple(
        Drawn(
            name,
            x=x_of(s.t) - 2,
            y=y_of(count * BARS, highest),
            width=4.0,
            height=BOTTOM - y_of(count * BARS, highest),
            count=count,
        )
        for s in taken
        for name, count in s.bars.items()
        if count
    )
    return Plot(case, about, lines, bars, top, seconds, highest, sum(b.count for b in bars))
