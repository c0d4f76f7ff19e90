# SPDX-License-Identifier: GPL-2.0-only
"""A search with one program or with all of ours, on the series or on a variant of it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from harness.core import events as ev
from harness.core.errors import InvocationError
from harness.core.stages import stage
from harness.races.batch import stress
from harness.races.claim_run import user_program
from harness.races.guests import KernelGuests, assemble, kernel_guests
from harness.races.kernels import variant_kernel
from harness.races.run import STRESS_S
from harness.races.scenario import Scenario, choose
from harness.races.scenario_file import write_scenario
from harness.races.trace import RaceError
from harness.run.session import Session
from harness.search.points import SearchedCode
from harness.search.program_search import FoundOrder, ProgramSearch
from harness.search.report import record
from harness.series.on_top import obtain_base

STAGE = "search"
SEED = 1  # where SEED= is not given
# Plain repetition takes as long as the search has, and not more: a program has a limit of its own.
MAX_STRESS_S = 500


def searched_programs(session: Session, line: str) -> tuple[Scenario, ...]:
    """The program of PROGRAM=, a file or the name of one of ours; else all of this line's.

    An InvocationError: there is no such program, or none with two threads that can be held.
    """
    asked = session.settings.program
    if asked is None:
        every = choose("all", line, session.data.name)
    else:
        every = (user_program(asked, line),)
    able = tuple(s for s in every if s.controlled and len(s.threads) > 1)
    if not able:
        what = "no program has two threads that can be held"
        raise InvocationError(what, next_step="PROGRAM=x.c: one of yours; see docs/races.md")
    return able


def search_orders(session: Session, searches: list[ProgramSearch]) -> None:
    """Searches with each program until its part of BUDGET= is over; each is a test of the run.

    ``searches`` gets each. Errors as of ``assemble``, ``variant_kernel`` and of guests.
    """
    line = obtain_base(session.settings, session.store, session.events).line
    programs = searched_programs(session, line)
    series = replace(session, settings=replace(session.settings, variant=None))
    context = replace(assemble(series, programs), session=session)
    kernel, variant = context.series, session.settings.variant
    if variant is not None:
        asked = replace(programs[0], variant=variant)
        kernel = variant_kernel(session, context.prepared, asked)
    with kernel_guests(context, kernel, "races/search", session.events) as on:
        guest = on.guest()
        on.guests.take_snapshot(guest)  # what becomes of no use is replaced in a second
        code = _code(on)
        left_s = 60.0 * session.settings.budget
        for number, scenario in enumerate(programs):
            budget_s = left_s / (len(programs) - number)
            one = _search(on, scenario, code, budget_s)
            searches.append(one)
            left_s -= one.seconds
            if one.found is not None:
                one.written = _keep(session, one, one.found)
                if session.settings.mode == "stress":
                    seconds = min(MAX_STRESS_S, max(STRESS_S, round(one.found.seconds)))
                    one.repeated = stress(on, scenario, seconds)
            session.events.emit(record(one))


def _code(on: KernelGuests) -> SearchedCode:
    settings, kernel = on.context.session.settings, on.kernel
    assert on.symbols is not None  # all are controlled
    with stage(on.context.session.events, "candidates") as outcome:
        patch = None if settings.patch is None else settings.patch - 1
        compiled = kernel.build.compiled
        code = SearchedCode(kernel.applied, compiled, on.symbols, settings.function, patch)
        origins = [f.origin for f in code.functions.values()]
        own = len(origins) - origins.count("called")
        outcome.detail = f"{own} functions, and {origins.count('called')} that they call"
    return code


def _search(
    on: KernelGuests, scenario: Scenario, code: SearchedCode, budget_s: float
) -> ProgramSearch:
    session = on.context.session
    events, settings = session.events, session.settings
    seed = SEED if settings.seed is None else settings.seed
    one = ProgramSearch(on, scenario, code, settings.runs, seed)
    start = time.monotonic()

    def progress(tries: int) -> None:
        spent = f"{one.seconds / 60:.1f} of {budget_s / 60:.1f} minutes"
        events.emit(ev.StageProgress(STAGE, tries, 0, "tries", f"{scenario.name}, {spent}"))

    with stage(events, STAGE) as outcome:
        try:
            one.reach()
            one.reach_seconds = time.monotonic() - start
            if any(one.reached.values()):
                one.search(budget_s, progress)
        except RaceError as error:
            one.errors[str(error)] += 1
        outcome.detail = f"{scenario.name}: {one.answer}"
    return one


def _keep(session: Session, one: ProgramSearch, found: FoundOrder) -> Path | None:
    """The scenario of what was found; None where the program strikes without any order."""
    if not found.points:
        return None
    folder = session.out / "races" / "found"
    folder.mkdir(parents=True, exist_ok=True)
    of, variant = one.scenario, session.settings.variant or one.scenario.variant
    name = f"{of.name}-found"
    about = f"Found by race-search, try {found.tries}. {of.about}"
    return write_scenario(folder, name, about, of, found.points, variant)
