# SPDX-License-Identifier: GPL-2.0-only
"""What a race's guest program and the harness say to each other, as guest-tests/lib/race.h has it.

A program calls the landmarks, whose arguments end with ``MAGIC``; it is told by its
command how often to run and on which CPU each thread is, and prints a line a run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

MAGIC = 0x52414345
BEGIN, END, OUTCOME = "race_begin", "race_end", "race_outcome"
CASE = "race"  # in every program's result line
ROUNDS, SECONDS = "--rounds", "--seconds"
_RUN = re.compile(r"^run (?P<number>\d+): (?P<verdict>hit|not)(?:: (?P<remark>.*))?$")
_TOTAL = re.compile(r"^(?P<runs>\d+) runs, (?P<hits>\d+) hits, (?P<ms>\d+) ms$")


@dataclass(frozen=True)
class RunLine:
    """What a program says of one run; ``number``: from 1."""

    number: int
    hit: bool
    remark: str | None


def program_argv(program: str, option: str, value: int, cpus: Mapping[str, int]) -> list[str]:
    """The command of a guest program: ``option`` is ROUNDS or SECONDS, ``cpus`` by thread."""
    return [program, option, str(value), *(f"{name}={cpu}" for name, cpu in cpus.items())]


def run_lines(diagnostics: Iterable[str]) -> list[RunLine]:
    """The lines of single runs among a program's diagnostics."""
    matches = [_RUN.match(line) for line in diagnostics]
    return [RunLine(int(m["number"]), m["verdict"] == "hit", m["remark"]) for m in matches if m]


def total_line(diagnostics: Iterable[str]) -> tuple[int, int, float] | None:
    """Runs, hits and seconds of all of them; None where the program did not come so far."""
    for line in diagnostics:
        if match := _TOTAL.match(line):
            return int(match["runs"]), int(match["hits"]), int(match["ms"]) / 1000
    return None
