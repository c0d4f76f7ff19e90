# SPDX-License-Identifier: GPL-2.0-only
"""Whether a run in which nothing broke says anything of the series: has its change run?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

MAX_SHOWN = 12  # places of the change that did not run


class CoverageRecord(TypedDict):
    """How much of the change has run, as ``events.ChangeCoverage`` says."""

    functions_entered: int
    functions: int
    lines_run: int
    lines: int
    not_reached: list[str]
    lines_not_run: list[str]
    excused: list[str]
    whole: bool
    least: int | None


def figures(coverage: CoverageRecord | None) -> str | None:
    """How much of the change has run, in words; None where it was not measured."""
    if coverage is None:
        return None
    lines = f"{coverage['lines_run']} of {coverage['lines']} lines run"
    return f"{lines}, {coverage['functions_entered']} of {coverage['functions']} functions"


def not_run(coverage: CoverageRecord | None) -> list[str]:
    """What of the change did not run and has to, in lines; empty where a pass is earned.

    Args:
        coverage: None where it was not measured.
    """
    if coverage is None or not coverage["whole"]:
        return []
    lines = []
    entered = coverage["functions_entered"] + len(coverage["excused"])
    if missed := coverage["functions"] - entered:
        lines += [
            f"{missed} of {coverage['functions']} functions"
            " that the series adds or changes were never entered",
            *_shown("not reached", coverage["not_reached"]),
        ]
    run, count, least = coverage["lines_run"], coverage["lines"], coverage["least"]
    if least is not None and run * 100 < least * count:
        lines += [
            f"{run / count * 100:.1f} % of the changed lines have run: COVER={least} asks for more",
            *_shown("not run", coverage["lines_not_run"]),
        ]
    return lines


def _shown(what: str, places: Sequence[str]) -> list[str]:
    more = [f"and {len(places) - MAX_SHOWN} places more"] if len(places) > MAX_SHOWN else []
    return [*(f"{what}: {place}" for place in places[:MAX_SHOWN]), *more]
