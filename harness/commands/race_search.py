# SPDX-License-Identifier: GPL-2.0-only
"""``make race-search``: the order in which a race strikes, found by trying orders."""

from __future__ import annotations

from collections.abc import Sequence

from harness.core.errors import InvocationError
from harness.run.session import Session
from harness.search.program_search import ProgramSearch
from harness.search.report import SCHEMA, document, table
from harness.search.run import search_orders


def race_search(session: Session) -> None:
    """``make race-search``: orders of the threads of PROGRAM=, or of ours, tried for BUDGET=."""
    searches: list[ProgramSearch] = []
    try:
        search_orders(session, searches)
    finally:  # of an interrupted run as well
        if searches:
            _tell(session, searches)
    if not any(one.tries for one in searches):
        raise InvocationError(
            "nothing was searched: no thread of a program comes to what was asked for",
            evidence=session.out / "race-search.json",
            next_step="PROGRAM=: another program; FUNCTION=: a function that its threads call",
        )


def _tell(session: Session, searches: Sequence[ProgramSearch]) -> None:
    console = session.console
    console.print()
    console.print(table(searches))
    for one in searches:
        if one.found is not None:
            console.print()
            for number, point in enumerate(one.found.points, 1):
                console.print(f"  {number} {point}", markup=False, soft_wrap=True)
            if one.written is not None:
                typed = {"RACE": str(one.written), "VARIANT": "", "PROGRAM": ""}
                again = session.settings.command("repro", **typed)
                console.print(f"again: {again}", markup=False, soft_wrap=True)
        for said, count in one.errors.most_common(3):
            console.print(f"{one.scenario.name}: {count} times: {said}", markup=False)
    console.print()
    session.write("race-search.json", SCHEMA, programs=list(map(document, searches)))
