# SPDX-License-Identifier: GPL-2.0-only
"""What cases sampled over time, as pictures for the pages. Pure functions.

A sample is a diagnostic line of a case (``sample()`` of guest-tests/lib/vtest.py)::

    @sample t=12.0310 line:MiB used=4.2 line:MiB memory.max=4.3 bar:purged=16

``t`` in seconds of any clock; a ``line`` is a level, all of a case in one unit; a
``bar`` is a count since the sample before.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass

from harness.report.records import CaseRecord

BARS_PERCENT = 45  # of the height, for the highest bar
MAX_PLOTS = 4  # of one page
MIN_SAMPLES = 3  # that make a plot
_SAMPLE = re.compile(r"@sample t=([0-9.]+) (.*)")
_FIELD = re.compile(r"(line|bar):([^=]+)=(\S+)")


@dataclass(frozen=True)
class PlotBar:
    """A count at ``x`` ms, its top ``y`` percent below the upper edge."""

    name: str
    x: float
    y: float
    count: float


@dataclass(frozen=True)
class Plot:
    """The picture of a case, ``ms`` wide and 100 high; the browser stretches it.

    ``lines``: points by name; ``top``: the level at the upper edge.
    """

    case: str
    about: str
    lines: dict[str, str]
    bars: tuple[PlotBar, ...]
    top: float
    ms: float


def plots(tests: Iterable[CaseRecord]) -> list[Plot]:
    """The pictures of a run's first cases that sampled, in the run's order."""
    return list(itertools.islice(filter(None, map(_plot, tests)), MAX_PLOTS))


def _plot(test: CaseRecord) -> Plot | None:
    matches = list(filter(None, map(_SAMPLE.match, test["diagnostics"])))
    if len(matches) < MIN_SAMPLES:
        return None
    start = float(matches[0][1])
    taken = [
        (1000 * (float(match[1]) - start), kind, name.strip(), float(value))
        for match in matches
        for kind, name, value in _FIELD.findall(match[2])
    ]
    top = max((value for _, kind, _, value in taken if kind == "line"), default=1.0) * 1.05 or 1.0
    highest = max((value for _, kind, _, value in taken if kind == "bar"), default=0.0) or 1.0
    points: dict[str, list[str]] = {}
    bars = []
    for x, kind, name, value in taken:
        if kind == "line":
            points.setdefault(name, []).append(f"{x:.1f},{100 - 100 * value / top:.1f}")
        elif value:
            bars.append(PlotBar(name, x, 100 - BARS_PERCENT * value / highest, value))
    lines = {name: " ".join(places) for name, places in points.items()}
    ms = 1000 * (float(matches[-1][1]) - start)
    return Plot(test["id"], test["about"], lines, tuple(bars), top, max(ms, 1.0))
