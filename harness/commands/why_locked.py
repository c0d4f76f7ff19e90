# SPDX-License-Identifier: GPL-2.0-only
"""``make why-locked``: what each lock, barrier, flush and re-test of the series is for."""

from __future__ import annotations

from dataclasses import replace

from harness.core.settings import Settings
from harness.run.session import Session, run_session
from harness.search.protections import SCHEMA, Protection, document, summary, table
from harness.search.run import SEED
from harness.search.why_locked import judge_protections


def why_locked(settings: Settings) -> int:
    """``make why-locked``: each protection is taken away; a case or an order shows the need."""
    settings.refuse_bare_base("why-locked")
    seed = SEED if settings.seed is None else settings.seed
    settings = replace(settings, sample="all", seed=seed)
    return run_session(settings, "why-locked", _why_locked).code


def _why_locked(session: Session) -> None:
    protections: list[Protection] = []
    try:
        judge_protections(session, protections)
    finally:  # of an interrupted run as well
        if protections:
            _tell(session, protections)


def _tell(session: Session, protections: list[Protection]) -> None:
    console = session.console
    console.print()
    console.print(table(protections))
    console.print()
    console.print(summary(protections), markup=False, soft_wrap=True)
    for one in protections:
        if one.scenario is not None:
            again = session.settings.command("repro", RACE=str(one.scenario))
            console.print(f"again: {again}", markup=False, soft_wrap=True)
    session.write("why-locked.json", SCHEMA, protections=list(map(document, protections)))
