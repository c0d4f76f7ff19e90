# SPDX-License-Identifier: GPL-2.0-only
"""``mutants.json``: the mutants of a run and what noticed them, for programs and for the page."""

from __future__ import annotations

from typing import TypedDict

FILE = "mutants.json"
SCHEMA = 1


class MutantRecord(TypedDict):
    """One mutant, as ``mutants/mutant.py:Mutant`` and ``mutants/verdict.py:MutantVerdict`` say.

    ``patch``: from 1. ``outcome``: None where the run ended before. ``ran``: the cases that were
    run on it; ``reached_by``: all that reach its line.
    """

    number: int
    key: str
    operator: str
    path: str
    line: int
    function: str
    patch: int
    text: str
    instead: str
    outcome: str | None
    by: str | None
    case: str | None
    reason: str
    seconds: float
    kept: bool
    ran: list[str]
    reached_by: list[str]


class MutantsDocument(TypedDict):
    """``mutants.json``.

    ``found``: how many mutants there are, of which ``mutants`` were chosen. ``killed`` of
    ``judged`` is the score, with its 95 % ``interval``. ``median_seconds``: of a mutant in its
    guest, None where no guest ran. ``unused_cases``: id → why. ``outlived_arguments``: of
    mutants.yaml.
    """

    schema: int
    found: int
    outcomes: dict[str, int]
    killed: int
    judged: int
    interval: list[float]
    median_seconds: float | None
    seconds: float
    unused_cases: dict[str, str]
    outlived_arguments: list[str]
    mutants: list[MutantRecord]
