# SPDX-License-Identifier: GPL-2.0-only
"""What the user sees while a run goes on: a line a stage, a live bar, the cases.

On a terminal the current stage is a progress bar; in a pipe (CI) each stage is
one line when it ends, so that a log stays readable.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from harness.core import events as ev
from harness.report.results import BROKEN

PIPE_WIDTH = 120  # a pipe has none of its own, and 80 columns fold what CI logs can show


@dataclass
class Screen:
    """A consumer of events that prints them; ``close`` removes the live bar."""

    console: Console
    _progress: Progress | None = None
    _cases: int = 0
    _said: float = 0.0
    _stage: str = ""

    def close(self) -> None:
        """Ends the live display; safe to call twice."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def __call__(self, event: ev.Event) -> None:
        match event:
            case ev.StageStarted():
                self._start(event.name)
            case ev.StageProgress():
                self._advance(event)
            case ev.StageFinished():
                self.close()
                how = "cached" if event.cached else f"{event.seconds:.1f} s"
                self._print(f"{event.name:<9} {how:>9}  {escape(event.detail)}".rstrip())
            case ev.StageFailed():
                self.close()
                self._print(f"{event.name:<9} {f'{event.seconds:.1f} s':>9}  [red]failed[/]")
            case ev.Note():
                colour = "yellow" if event.level == "warning" else "dim"
                self._print(f"  [{colour}]{escape(event.text)}[/]")
            case ev.GuestBooted():
                how = "restored from the snapshot" if event.restored else "booted"
                self._print(f"  [dim]guest {how} in {event.seconds:.2f} s ({event.machine})[/]")
            case ev.PaceMeasured():
                self._print(
                    f"  [dim]pace: the fixed work load took {event.seconds:.2f} s, the reference"
                    f" {event.reference:.2f} s: time limits x {event.factor:.1f}[/]"
                )
            case ev.GuestLost():
                self._print(f"  [red]guest lost:[/] {escape(event.reason)}")
            case ev.CaseStarted():
                self._update(note=str(event.id), completed=self._cases)
            case ev.CaseFinished():
                self._cases += 1
                self._update(note=str(event.id), completed=self._cases)
                if event.status in BROKEN:
                    status = event.status.upper()
                    self._print(f"  [red]{status}[/] {event.id}: {escape(event.reason)}")
            case ev.SplatSeen():
                if not event.expected:
                    where = event.test or "no test was running"
                    colour, why = ("dim", f" ({event.foreign})") if event.foreign else ("red", "")
                    title = f"{escape(event.title)}  [dim]{where}{why}[/]"
                    self._print(f"  [{colour}]kernel:[/] {title}")
            case ev.CanaryFinished():
                mark = "[green]seen[/]" if event.ok else "[red]MISSED[/]"
                self._print(
                    f"  {event.name:<20} {mark}  {event.seconds:5.1f} s  {escape(event.seen)}"
                )

    def _print(self, text: str) -> None:
        (self._progress.console if self._progress else self.console).print(
            text, highlight=False, soft_wrap=True
        )

    def _update(self, **fields: Any) -> None:
        """Of the bar, which is the only one, where there is one."""
        if self._progress is not None:
            self._progress.update(self._progress.task_ids[0], **fields)

    def _start(self, name: str) -> None:
        self.close()
        self._stage = name
        self._said = time.monotonic()
        if not self.console.is_terminal:
            return
        self._progress = Progress(
            TextColumn("{task.fields[stage]:<9}"),
            SpinnerColumn(),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[note]}"),
            console=self.console,
            transient=True,
        )
        self._progress.add_task("", total=None, stage=name, unit="", note="")
        self._progress.start()

    def _advance(self, event: ev.StageProgress) -> None:
        if event.name != self._stage:
            return  # made beside the stage that is shown
        if self._progress is not None:
            total = event.total or None
            self._update(completed=event.done, total=total, unit=event.unit, note=event.note)
        elif time.monotonic() - self._said >= 30:
            # A pipe gets a sign of life twice a minute: CI kills what is silent.
            self._said = time.monotonic()
            of = f" of about {event.total}" if event.total else ""
            note = f"; {event.note}" if event.note else ""
            self._print(f"{event.name:<9} {'...':>9}  {event.done}{of} {event.unit}{escape(note)}")
