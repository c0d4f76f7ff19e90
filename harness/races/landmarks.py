# SPDX-License-Identifier: GPL-2.0-only
"""What is agreed on with the guest program of a race, and what it says.

A program calls the landmarks of guest-tests/lib/race.h, whose arguments end with ``MAGIC``; it is
told by its command how often to run and on which CPU each thread is, and prints a line a run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from harness.races.trace import Ending, RaceRun

MAGIC = 0x52414345
BEGIN, END, OUTCOME = "race_begin", "race_end", "race_outcome"
CASE = "race"  # in every program's result line
ROUNDS, SECONDS = "--rounds", "--seconds"
_RUN = re.compile(r"^run (?P<number>\d+): (?P<verdict>hit|not)(?:: (?P<remark>.*))?$")
_TOTAL = re.compile(r"^(?P<runs>\d+) runs, (?P<hits>\d+) hits, (?P<ms>\d+) ms$")


def reported_runs(diagnostics: Iterable[str]) -> list[RaceRun]:
    """What a program says of its single runs, among its diagnostics."""
    matches = filter(None, map(_RUN.match, diagnostics))
    endings: dict[str, Ending] = {"hit": "hit", "not": "miss"}
    return [RaceRun(int(m["number"]), endings[m["verdict"]], m["remark"]) for m in matches]


def total_line(diagnostics: Iterable[str]) -> tuple[int, int, float] | None:
    """Runs, hits and seconds of all of them; None where the program did not come so far."""
    match = next(filter(None, map(_TOTAL.match, diagnostics)), None)
    return match and (int(match["runs"]), int(match["hits"]), int(match["ms"]) / 1000)
