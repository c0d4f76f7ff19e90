# SPDX-License-Identifier: GPL-2.0-only
"""A claim about a race, tried on the kernel under test: places, a program, orders, the answer."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.core import events as ev
from harness.core.errors import InvocationError
from harness.core.stages import stage
from harness.debugger.symbols import Symbols
from harness.races.batch import controlled
from harness.races.claim_verdict import (
    ChosenProgram,
    ClaimResult,
    TriedOrder,
    stacks,
)
from harness.races.claimed_points import REVERSE, Resolved, orders, resolve, with_threads
from harness.races.claims import Claim
from harness.races.guests import KernelGuests, assemble, kernel_guests
from harness.races.run import run_batch, trace_of
from harness.races.scenario import MAX_CPUS, RACES, Scenario, Thread, choose, parse
from harness.races.scenario_file import write_scenario
from harness.run.session import Session

STAGE = "claim"
_THREADS = re.compile(r"\.threads\s*=\s*\{(?P<rows>.*?)\}\s*\)", re.DOTALL)
_THREAD = re.compile(r'\{\s*(?:\.name\s*=\s*)?"(?P<name>[A-Z]\w*)"')


def user_program(path: Path, line: str) -> Scenario:
    """A program of the user's, in the form of guest-tests/lib/race.h, with a comment or without.

    Where there is no such file, the one of ours by that name. An InvocationError: it cannot be
    read, or has no threads.
    """
    ours = RACES / f"{path.name}.c"
    if not path.is_file() and ours.is_file():
        path = ours
    if not path.is_file():
        raise InvocationError(f"PROGRAM={path}: there is no such file")
    text = path.read_text("utf-8", "replace")
    if re.search(r"^ \* threads:", text, re.MULTILINE):
        if (scenario := parse(text, path, line)) is None:
            raise InvocationError(f"PROGRAM={path.name}: it says that it is not for Linux {line}")
        return scenario
    rows = _THREADS.search(text)
    names = [match["name"] for match in _THREAD.finditer(rows["rows"])] if rows else []
    if not 2 <= len(names) < MAX_CPUS:
        raise InvocationError(
            f"PROGRAM={path.name}: RACE_MAIN() names {len(names)} threads, not 2 or 3",
            evidence=path,
            next_step="see guest-tests/lib/race.h, and docs/races.md",
        )
    threads = tuple(Thread(name, cpu, "") for cpu, name in enumerate(names, 1))
    hit, miss = "struck() of the program says so", "struck() of the program says no"
    return Scenario(
        name=path.stem, source=path, about="", project=None, clauses=(), config="default",
        cpus=len(threads) + 1, variant="", controlled=True, threads=threads, points=(),
        hit=hit, miss=miss,
    )  # fmt: skip


def candidates(session: Session, claim: Claim, line: str) -> tuple[Scenario, ...]:
    """The programs that may play a claim: PROGRAM='s, those of RACE=, or all of this line's.

    Those whose scenarios name most of the claim's functions come first.
    """
    settings = session.settings
    if settings.program is not None:
        every: Sequence[Scenario] = [user_program(settings.program, line)]
    else:
        every = choose(settings.race or "all", line, session.data.name)
    able = [s for s in every if s.controlled and len(s.threads) >= len(claim.threads)]
    if not able:
        what = f"no program has {len(claim.threads)} threads that can be held"
        raise InvocationError(what, next_step="PROGRAM=x.c: one of yours; see docs/races.md")
    named = {row.function for row in claim.rows} - {None}

    def in_common(scenario: Scenario) -> int:
        places = {point.place.function for point in scenario.points}
        return len(named & (places | scenario.looked_for))

    return tuple(sorted(able, key=in_common, reverse=True))


def choose_program(
    on: KernelGuests, claim: Claim, resolved: Resolved, programs: Sequence[Scenario]
) -> ChosenProgram:
    """The program whose threads reach most of a claim's points when nobody is held.

    The first that reaches all is taken.
    """
    points = {at: set(at.at.addresses) for at in resolved.found}
    watched = frozenset(address for addresses in points.values() for address in addresses)
    best: ChosenProgram | None = None
    tried = 0
    for tried, scenario in enumerate(programs, 1):
        on.context.session.events.emit(
            ev.StageProgress(STAGE, tried, len(programs), "programs", scenario.name)
        )
        # Each thread goes first once: what another one has done may keep it from a point.
        batch = controlled(on, scenario, (), len(scenario.threads), watched=watched)
        names = [thread.name for thread in scenario.threads]
        for chosen in itertools.permutations(names, len(claim.threads)):
            mapping = dict(zip(claim.threads, chosen, strict=True))
            missed = [
                at
                for at, where in points.items()
                if where.isdisjoint(batch.seen.get(mapping[at.row.thread], ()))
            ]
            count = len(points) - len(missed)
            threads = ", ".join(f"{title} is its {name}" for title, name in mapping.items())
            why = f"its threads reach {count} of {len(points)} points: {threads}"
            if batch.error is not None:
                why += f" ({batch.error})"
            unreached = tuple(f"{at.row.thread}: {at.place}" for at in missed)
            if best is None or len(unreached) < len(best.unreached):
                best = ChosenProgram(scenario, mapping, unreached, why)
        if best is not None and not best.unreached:
            break
    assert best is not None  # there are programs
    return replace(best, why=f"{best.why}; {tried} of {len(programs)} programs were looked at")


def wanting(result: ClaimResult) -> str | None:
    """Why no order of a claim can be tried: a thread of which no point is left, or reached."""
    program = result.program
    for thread in result.claim.threads:
        places = [
            f"{thread}: {at.place}" for at in result.resolved.found if at.row.thread == thread
        ]
        if not places:
            return f"no row of {thread} has a place in this kernel"
        if program is not None and set(places) <= set(program.unreached):
            missed = ", ".join(places)
            return (
                f"no thread of a program comes to '{missed}'; the nearest is"
                f" {program.scenario.name}, {program.why}"
            )
    return None


def try_orders(on: KernelGuests, result: ClaimResult, symbols: Symbols, folder: Path) -> None:
    """Runs the readings of the claimed order until one strikes, and the reverse."""
    program, session = result.program, on.context.session
    assert program is not None
    claimed = (with_threads(order, program.threads) for order in orders(result.resolved.found))
    for order in claimed:
        if order.name != REVERSE and any(one.struck for one in result.tried):
            continue
        scenario = replace(program.scenario, points=order.points, exclusion=None, any_lock=True)
        batch = run_batch(on, scenario, on.breakpoints(scenario), result.asked)
        result.tried.append(TriedOrder(order, batch))
        result.stacks = result.stacks or stacks(batch, symbols)
        path = folder / f"{order.name.replace(' ', '-').replace(',', '')}.txt"
        path.write_text(trace_of(batch, symbols), "utf-8")
        if batch.error is None:
            for splat in batch.splats:
                session.events.emit(splat.seen(result.record(0.0).id))


def try_claim(session: Session, claim: Claim, name: str, line: str) -> ClaimResult:
    """Tries a claim on the kernel under test; it is a test of the run by the ``name``.

    Files below ``races/<name>`` of the run's folder: a trace of each order, the scenario.
    ``line``: of the kernel, such as '6.1'. Errors as of ``assemble`` and of guests.
    """
    programs = candidates(session, claim, line)
    context = assemble(session, programs)
    folder = session.out / "races" / name
    folder.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    with kernel_guests(context, context.series, "races/series", session.events) as on:
        assert on.symbols is not None  # all are controlled
        with stage(session.events, STAGE) as outcome:
            result = ClaimResult(name, claim, session.settings.runs, resolve(claim, on.symbols))
            result.reason = wanting(result)
            if result.reason is None:
                result.program = choose_program(on, claim, result.resolved, programs)
                result.reason = wanting(result)
            if result.reason is None:
                try_orders(on, result, on.symbols, folder)
            outcome.detail = ": ".join((name, *result.answer[:1]))
        if result.program is not None:
            tried = sorted(result.tried, key=lambda one: not one.struck)
            names = result.program.threads
            order = (
                tried[0].order if tried else with_threads(orders(result.resolved.found)[0], names)
            )
            of = result.program.scenario
            write_scenario(folder, name, claim.title, of, order.points, of.variant)
        session.events.emit(result.record(time.monotonic() - start))
        return result
