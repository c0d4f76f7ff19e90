# SPDX-License-Identifier: GPL-2.0-only
"""``make repro``: races on demand, with and without the protection; a claim about one, tried."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from harness.core import events as ev
from harness.core.errors import InvocationError
from harness.core.jsondata import write_json
from harness.core.settings import Settings
from harness.races import claim_verdict
from harness.races.claim_run import try_claim
from harness.races.claims import read_claim
from harness.races.run import run_scenarios
from harness.races.scenario import choose
from harness.races.verdict import SCHEMA, RaceResult, document, stress_table, table
from harness.run.session import Session, run_session
from harness.series.on_top import obtain_base


def _repro(session: Session) -> None:
    settings = session.settings
    line = obtain_base(settings, session.store, session.events).line
    chosen = choose(settings.race or "", line, session.data.name)
    flavours = {scenario: scenario.flavour(settings.config) for scenario in chosen}
    results: list[RaceResult] = []
    try:
        for flavour in sorted(dict.fromkeys(flavours.values()), key=lambda f: f != settings.config):
            part = replace(session, settings=replace(settings, config=flavour))
            if results:
                # The run's configuration is the first one's; the record of a race names its own.
                rest = ev.filtered(session.events, lambda e: not isinstance(e, ev.ConfigKnown))
                part = replace(part, events=rest)
            scenarios = [scenario for scenario, its in flavours.items() if its == flavour]
            run_scenarios(part, scenarios, results)
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
    session.write("repro.json", SCHEMA, scenarios=list(map(document, results)))


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


def _try_claim(session: Session) -> None:
    settings, console = session.settings, session.console
    assert settings.claim is not None
    claim = read_claim(settings.claim)
    line = obtain_base(settings, session.store, session.events).line
    name = re.sub(r"\W+", "-", settings.claim.stem).strip("-") or "claim"
    result = try_claim(session, claim, name, line)
    answer, seen = result.answer
    console.print()
    console.print(f"{claim.kind}: {claim.title}", markup=False)
    console.print(claim_verdict.resolved_table(result.resolved))
    if result.program is not None:
        said = f"program: {result.program.scenario.name}: {result.program.why}"
        console.print(said, markup=False, soft_wrap=True)
    if result.tried:
        console.print()
        console.print(claim_verdict.tried_table(result.tried))
    for one in result.tried:
        if one.batch.error is not None:
            said = f"{one.order.name}: not tried to its end: {one.batch.error}"
            console.print(said, markup=False, soft_wrap=True)
    console.print()
    console.print(f"the claim: {answer}: {seen}", markup=False, soft_wrap=True)
    for stack in result.stacks:
        console.print(f"  {stack}", markup=False, soft_wrap=True)
    console.print(f"traces and the scenario: {session.out / 'races' / name}", markup=False)
    write_json(session.out / "claim.json", claim_verdict.document(result))


def repro(settings: Settings) -> int:
    """``make repro``: the scenarios of RACE= with and without protection, or the claim FROM=."""
    if settings.claim is not None:
        return run_session(settings, "repro", _try_claim).code
    if not settings.race:
        every = settings.command("repro", RACE="all")
        raise InvocationError("RACE= names no scenario, FROM= no claim", next_step=every)
    return run_session(settings, "repro", _repro).code
