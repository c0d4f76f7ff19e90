# SPDX-License-Identifier: GPL-2.0-only
"""Several runs of one command, one after the other, each under a heading of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from rich.console import Console

from harness.core.errors import InvocationError
from harness.core.settings import Settings
from harness.report.states import BASE, SeriesState
from harness.run.session import JUDGED, RunKernel, RunResult


def run_state(run: RunKernel, settings: Settings, console: Console, heading: str) -> RunResult:
    """One of the runs."""
    console.print(f"\n{heading}", markup=False)
    return run(settings)


def every_state(
    settings: Settings, run: RunKernel, subjects: Sequence[str], console: Console
) -> Iterator[SeriesState]:
    """Runs the bare base and each patch of the series, until no more can be said.

    That is where not the series but the invocation, the machine or the harness is at
    fault, or where a patch does not apply, for then later ones do not either.
    """
    for count in range(len(subjects) + 1):
        subject = subjects[count - 1] if count else BASE
        heading = f"{count} of {len(subjects)} patches: {subject}"
        result = run_state(run, replace(settings, patches=count), console, heading)
        state = SeriesState(count, subject, result.document)
        yield state
        if state.document["exit_code"] not in JUDGED or not state.applies:
            break


def refuse_patches(settings: Settings, command: str) -> None:
    """For a command that runs every state.

    Raises:
        InvocationError: PATCHES= is given.
    """
    if settings.patches is not None:
        raise InvocationError(
            f"make {command} runs every number of patches by itself",
            next_step=f"leave PATCHES={settings.patches} out, or {settings.command('test-kernel')}",
        )
