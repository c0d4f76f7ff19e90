# SPDX-License-Identifier: GPL-2.0-only
"""Scenarios of one flavour, each run on the variant and on the series, and judged."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from harness.core import events as ev
from harness.core.errors import InvocationError, SeriesError
from harness.core.stages import stage
from harness.debugger.symbols import Symbols
from harness.races.batch import Batch, controlled, sequential, stress
from harness.races.breakpoints import Breakpoint
from harness.races.guests import KernelGuests, assemble, kernel_guests
from harness.races.kernels import variant_kernel
from harness.races.scenario import Scenario
from harness.races.trace import RaceRun, trace
from harness.races.verdict import RaceResult, explanation
from harness.run.session import Session

STAGE = "race"
STRESS_S = 20
# Of the variant's guests: what a deliberately broken kernel says is not the series' fault.
_OF_VARIANTS = (ev.StageStarted, ev.StageFinished, ev.StageFailed, ev.StageProgress, ev.GuestLost)


def run_batch(
    on: KernelGuests, scenario: Scenario, breakpoints: Sequence[Breakpoint], runs: int
) -> Batch:
    """All runs of a scenario on one kernel; StageProgress after each. Errors as of ``guest``."""

    def tell(done: int) -> None:
        events = on.context.session.events
        events.emit(ev.StageProgress(STAGE, done, runs, "runs", on.guests.folder.name))

    if scenario.controlled:
        return controlled(on, scenario, breakpoints, runs, tell)
    if scenario.splat is None:
        return sequential(on, scenario, runs)
    # A run whose outcome is a splat costs the guest.
    total = Batch()
    for number in range(1, runs + 1):
        one = sequential(on, scenario, 1)
        total.runs += [replace(run, number=number) for run in one.runs]
        total.splats += one.splats
        total.seconds += one.seconds
        total.error = one.error
        tell(number)
        if one.error is not None:
            break
    return total


def trace_of(batch: Batch, symbols: Symbols | None) -> str:
    """Every run of a batch with all its stacks; and the one that did not come to its end."""
    text = trace(batch.runs, symbols)
    if symbols is None:
        text += "".join(f"\n{splat.text}\n" for splat in batch.splats[:1])
    if batch.error is not None:
        run = RaceRun(len(batch.runs) + 1, "error", str(batch.error), batch.error.steps)
        text += f"\n{trace([run], symbols)}"
    return text


@contextlib.contextmanager
def _of_the_variant(scenario: Scenario) -> Iterator[None]:
    """A SeriesError becomes an InvocationError: the series does not answer for a variant."""
    try:
        yield
    except SeriesError as error:
        raise InvocationError(
            f"the variant {scenario.variant} cannot be used: {error.what}",
            evidence=error.evidence,
            next_step=error.next_step,
        ) from error


def _run_both(series: KernelGuests, result: RaceResult) -> None:
    """Fills in what the runs on the variant and on the series come to."""
    context, scenario = series.context, result.scenario
    session = context.session
    folder = session.out / "races" / scenario.name
    folder.mkdir(parents=True, exist_ok=True)
    breakpoints = series.breakpoints(scenario)
    with _of_the_variant(scenario):
        kernel = variant_kernel(session, context.prepared, scenario)
    below = f"races/{scenario.name}/variant"
    events = ev.filtered(session.events, lambda event: isinstance(event, _OF_VARIANTS))
    with kernel_guests(context, kernel, below, events) as variant:
        variant_breakpoints = variant.breakpoints(scenario)
        if session.settings.explain:
            session.console.print(explanation(scenario, breakpoints, series.kernel.source))
        start = time.monotonic()

        def batch(name: str, on: KernelGuests, at: Sequence[Breakpoint]) -> Batch:
            done = run_batch(on, scenario, at, session.settings.runs)
            result.seconds = time.monotonic() - start
            path = folder / f"{name}.txt"
            path.write_text(trace_of(done, on.symbols), "utf-8")
            result.evidence = folder if done.error is None else path
            if done.error is not None:
                what, step = f"on the {name}: {done.error}", done.error.next_step
                result.error = InvocationError(what, evidence=path, next_step=step)
            return done

        with _of_the_variant(scenario):
            result.variant = batch("variant", variant, variant_breakpoints)
        if result.error is None:
            result.series = batch("series", series, breakpoints)
        if result.error is not None:
            return
        # What the series' kernel said counts; not the variant's, and not where a run went wrong:
        # a CPU that is held for long is a stall.
        for splat in result.series.splats:
            session.events.emit(splat.seen(scenario.id))
        if session.settings.mode == "stress" and scenario.controlled:
            with _of_the_variant(scenario):
                repeated = stress(variant, scenario, STRESS_S)
            result.stress = (repeated, stress(series, scenario, STRESS_S))


def run_scenarios(
    session: Session, scenarios: Sequence[Scenario], results: list[RaceResult]
) -> None:
    """Adds what all scenarios of one flavour come to, in their order; each is a test of the run.

    Any error but of a scenario's own is raised.
    """
    context, asked = assemble(session, scenarios), session.settings
    line = context.prepared.base.line
    with kernel_guests(context, context.series, "races/series", session.events) as series:
        for scenario in scenarios:
            result = RaceResult(scenario, line, asked.config, asked.runs)
            session.events.emit(ev.CaseStarted(scenario.id, scenario.clauses))
            try:
                with stage(session.events, STAGE) as outcome:
                    _run_both(series, result)
                    told = (result.verdict[0], *result.sides())
                    outcome.detail = f"{scenario.name}: {'; '.join(told)}"
            except InvocationError as error:
                result.error = error
            session.events.emit(result.record())
            results.append(result)
