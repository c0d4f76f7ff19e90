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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.report.results import CaseRecord

BARS_PERCENT = 45  # of the height, for the highest bar
MAX_PLOTS = 4  # of one page
MIN_SAMPLES = 3  # that make a plot
_SAMPLE = re.compile(r"@sample t=([0-9.]+) (.*)")
_FIELD = re.compile(r"(line|bar):([^=]+)=(\S+)")


@dataclass(frozen=True)
class Sample:
    """One moment: ``t`` in seconds, levels and counts by their names."""

    t: float
    lines: dict[str, float]
    bars: dict[str, float]


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


def samples(diagnostics: Iterable[str]) -> list[Sample]:
    """The samples among a case's diagnostics; what is none is passed over."""
    found = []
    for match in filter(None, map(_SAMPLE.match, diagnostics)):
        sample = Sample(float(match[1]), {}, {})
        for kind, name, value in _FIELD.findall(match[2]):
            levels = sample.lines if kind == "line" else sample.bars
            levels[name.strip()] = float(value)
        found.append(sample)
    return found


def plots(tests: Iterable[CaseRecord]) -> list[Plot]:
    """The pictures of a run's first cases that sampled, in the run's order."""
    taken = ((test, samples(test["diagnostics"])) for test in tests)
    drawn = (_plot(test["id"], test["about"], s) for test, s in taken if len(s) >= MIN_SAMPLES)
    return list(itertools.islice(drawn, MAX_PLOTS))


def _plot(case: str, about: str, taken: Sequence[Sample]) -> Plot:
    top = max((v for s in taken for v in s.lines.values()), default=1.0) * 1.05 or 1.0
    highest = max((v for s in taken for v in s.bars.values()), default=0.0) or 1.0
    points: dict[str, list[str]] = {}
    bars = []
    for sample in taken:
        x = 1000 * (sample.t - taken[0].t)
        for name, level in sample.lines.items():
            points.setdefault(name, []).append(f"{x:.1f},{100 - 100 * level / top:.1f}")
        for name, count in sample.bars.items():
            if count:
                bars.append(PlotBar(name, x, 100 - BARS_PERCENT * count / highest, count))
    lines = {name: " ".join(places) for name, places in points.items()}
    return Plot(case, about, lines, tuple(bars), top, max(x, 1.0))
