# SPDX-License-Identifier: GPL-2.0-only
"""One run from its first event to its last file, however it ends."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from harness import events as ev
from harness.contract import SeriesData, load
from harness.errors import HarnessError, InternalError
from harness.outputs import EventLog, point_latest, write_all
from harness.results import Results, document
from harness.screen import PIPE_WIDTH, Screen
from harness.settings import Settings
from harness.store import Store
from harness.summary import print_summary

INTERRUPTED = 130  # as a shell reports a process ended by SIGINT


@dataclass(frozen=True)
class Session:
    """What every command works with. ``out``: this run's directory."""

    settings: Settings
    events: ev.Events
    results: Results
    store: Store
    data: SeriesData
    out: Path
    console: Console


def run_id(now: datetime, pid: int) -> str:
    """A name that sorts by time and that two runs at once do not share."""
    return f"{now.strftime('%Y%m%d-%H%M%S')}-{pid}"


def judge_run(results: Results) -> tuple[ev.Verdict, int]:
    """The verdict of a run that came to its end: the series is at fault or nobody is."""
    if results.failures() or results.complaints():
        return "fail", 1
    if any(not canary.ok for canary in results.canaries):
        return "infra", InternalError.exit_code
    return "pass", 0


def _conclude(body: Callable[[], None], results: Results) -> tuple[ev.Verdict, int, list[str]]:
    try:
        body()
    except HarnessError as error:
        return (
            error.verdict,
            error.exit_code,
            [
                f"{error.kind} error: {error.lines()[0]}",  # type: ignore[return-value]
                *error.lines()[1:],
            ],
        )
    except KeyboardInterrupt:
        return "infra", INTERRUPTED, ["interrupted"]
    verdict, code = judge_run(results)
    return verdict, code, []


def _tidy(store: Store, events: ev.Events) -> None:
    """Keeps the store within its limit; that it cannot be done is no verdict on the run."""
    try:
        removed = store.evict()
    except OSError as error:
        events.emit(ev.Note(f"the store could not be brought within its limit: {error}"))
    else:
        if removed:
            gone = f"{len(removed)} of its directories, least recently used first, are gone"
            limit = store.limit / (1 << 30)
            events.emit(ev.Note(f"the store was above HARNESS_CACHE_LIMIT={limit:g}: {gone}"))
    finally:
        store.release()


def run_session(settings: Settings, command: str, body: Callable[[Session], None]) -> int:
    """Runs ``body`` as one run: events, files under ``out/<run>/``, summary, exit status.

    A failure of any kind still leaves results.json, junit.xml and report.html behind.

    Raises:
        InvocationError: PROJECT= names no series (no run begins).
    """
    data = load(settings.project)
    identity = run_id(datetime.now(UTC), os.getpid())
    if settings.cell:
        # Cells of one plan meet in one folder, from machines whose clocks and ids agree.
        identity += f"-{settings.cell}"
    out = settings.out / identity
    out.mkdir(parents=True)
    # A pipe has no width: rich would fold what CI logs can show whole.
    stream = sys.stderr if settings.ktap else sys.stdout
    console = Console(file=stream, highlight=False, width=None if stream.isatty() else PIPE_WIDTH)
    screen, results, events = Screen(console), Results(), ev.Events()
    start = time.monotonic()
    with contextlib.ExitStack() as stack:
        stack.callback(screen.close)
        log = stack.enter_context(open(out / "events.jsonl", "w", encoding="utf-8"))
        for consumer in (results, EventLog(log), screen):
            events.subscribe(consumer)
        events.emit(ev.RunStarted(identity, str(out), command, settings.asked()))
        store = Store(settings.cache, settings.cache_limit)
        session = Session(settings, events, results, store, data, out, console)
        point_latest(out)
        ended = False
        try:
            verdict, code, error = _conclude(lambda: body(session), results)
            ended = True
        finally:
            if not ended:
                verdict, code, error = "infra", InternalError.exit_code, ["a defect of the harness"]
            _tidy(store, events)
            events.emit(ev.RunFinished(verdict, code, time.monotonic() - start, tuple(error)))
            write_all(out, document(results, data), data)
    print_summary(console, results, data, out)
    return code
