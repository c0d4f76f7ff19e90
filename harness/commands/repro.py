# SPDX-License-Identifier: GPL-2.0-only
"""``make repro``: races on demand, on the series and on a variant without the protection."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from harness.core import events as ev
from harness.core.atomic import write_atomically
from harness.core.errors import InvocationError
from harness.core.settings import Settings
from harness.races.run import run_scenarios
from harness.races.scenario import choose
from harness.races.verdict import RaceResult, document, stress_table, table
from harness.run.session import Session, run_session
from harness.series.base import obtain_base


def _repro(session: Session) -> None:
    settings = session.settings
    line = obtain_base(settings, session.store, session.events).line
    # Another CONFIG= than the default goes before a scenario's own flavour.
    flavours = {
        scenario: scenario.config if settings.config == "default" else settings.config
        for scenario in choose(settings.race or "", line, session.data.name)
    }
    results: list[RaceResult] = []
    try:
        for flavour in sorted(dict.fromkeys(flavours.values()), key=lambda f: f != settings.config):
            part = replace(session, settings=replace(settings, config=flavour))
            if results:
                # The run's configuration is the first one's; the record of a race names its own.
                rest = ev.filtered(session.events, lambda e: not isinstance(e, ev.ConfigKnown))
                part = replace(part, events=rest)
            scenarios = [scenario for scenario, its in flavours.items() if its == flavour]
            run_scenarios(part, scenarios, line, results)
    finally:
        if results:  # of an interrupted run as well
            _tell(session, results)
    _refuse_wrong(results)


def _tell(session: Session, results: Sequence[RaceResult]) -> None:
    console = session.console
    console.print()
    console.print(table(results))
    for result in results:
        status, reason = result.verdict
        if reason:
            text = f"{result.scenario.name}: {status}: {reason}"
            console.print(text, style="red", markup=False, soft_wrap=True)
    if any(result.stress is not None for result in results):
        console.print()
        console.print(stress_table(results))
    console.print()
    base = session.results.last(ev.BaseKnown)
    record = document(session.out.name, base.version if base else "", results)
    write_atomically(session.out / "repro.json", json.dumps(record, indent=1) + "\n")


def _refuse_wrong(results: Sequence[RaceResult]) -> None:
    """Raises InvocationError for a scenario that could not be tried, or proves nothing."""
    wrong = [result for result in results if result.failure_reason]
    if wrong and not any(result.struck for result in results):
        first, error = wrong[0], wrong[0].error
        more = f"\nand {len(wrong) - 1} more: see the table" if len(wrong) > 1 else ""
        raise InvocationError(
            f"{first.scenario.name}: {first.failure_reason}{more}",
            evidence=(error and error.evidence) or first.evidence or first.scenario.source,
            next_step=(error and error.next_step) or "correct the scenario; see docs/races.md",
        )


def repro(settings: Settings) -> int:
    """``make repro``: every scenario that RACE= names, with and without the protection."""
    if not settings.race:
        every = settings.command("repro", RACE="all")
        raise InvocationError("RACE= names no scenario", next_step=every)
    return run_session(settings, "repro", _repro).code
