# SPDX-License-Identifier: GPL-2.0-only
"""One run from its first event to its last file, however it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console

from harness.core import events as ev
from harness.core.errors import HarnessError, InternalError
from harness.core.jsondata import of_file, read_json, write_json
from harness.core.machine_faults import check_store, machine_faults
from harness.core.sandbox import settle
from harness.core.settings import Settings
from harness.core.store import Store
from harness.core.terminal import ENDING
from harness.report.files import EventLog, point_latest, write_all
from harness.report.records import RunDocument
from harness.report.results import SCHEMA, Results, document
from harness.report.screen import PIPE_WIDTH, Screen, print_summary
from harness.run.verdict import JUDGED, judge_run
from harness.series.apply import Applied
from harness.series.contract import SeriesData, load
from harness.series.patches import Series

INTERRUPTED = 130  # as a shell reports a process ended by SIGINT


@dataclass
class KnownSeries:
    """``data``: what is promised of the series: PROJECT='s, until its patches say whose it is.

    ``series``: all its patches, once they are read; ``applied``: those that are under test.
    """

    data: SeriesData
    series: Series | None = None
    applied: Applied | None = None


@dataclass(frozen=True)
class Session:
    """What every command works with. ``out``: this run's directory."""

    settings: Settings
    events: ev.Events
    results: Results
    store: Store
    known: KnownSeries
    out: Path
    console: Console

    @property
    def data(self) -> SeriesData:
        """What is promised of the series; see ``KnownSeries``."""
        return self.known.data

    @property
    def stopped(self) -> bool:
        """Whether so much has broken that not all cases were run (MAXFAIL=)."""
        most = self.settings.maxfail
        return most is not None and len(self.results.failures()) >= most

    def write(self, name: str, schema: int, **content: object) -> None:
        """Writes a JSON file of the run: its id, the version of the kernel, and the content."""
        base = self.results.last(ev.BaseKnown)
        head = {"schema": schema, "run": self.out.name, "version": base.version if base else ""}
        write_json(self.out / name, {**head, **content})


@dataclass(frozen=True)
class RunResult:
    """What a run found. ``code``: its exit status; ``document``: its results.json in ``out``."""

    code: int
    out: Path
    document: RunDocument

    @property
    def judged(self) -> bool:
        """Whether it says something of the series: nobody else ended it."""
        return self.code in JUDGED


def read_results(paths: Iterable[Path]) -> list[RunResult]:
    """The runs of these ``results.json``, in their order; ``latest`` is only a link."""
    found = []
    for path in sorted(paths):
        if not path.parent.is_symlink():
            data = read_json(dict[str, object], path)
            if data.get("schema") == SCHEMA:
                told = of_file(RunDocument, data, path)
                found.append(RunResult(told["exit_code"], path.parent, told))
    return found


RunKernel = Callable[[Settings], RunResult]  # ``make test-kernel``, for who makes several runs


def make_run_folder(out: Path) -> Path:
    """Makes the folder of a new run below ``out``: its name sorts by time, and is nobody else's.

    Two runs of one process may begin in one second: what is there already decides, and the
    later one takes the next second that is free.
    """
    out.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    while True:
        folder = out / f"{now:%Y%m%d-%H%M%S}-{os.getpid()}"
        try:
            folder.mkdir()
        except FileExistsError:
            now += timedelta(seconds=1)
        else:
            return folder


End = tuple[ev.Verdict, int, list[str]]  # verdict, exit status, what ended the run early
INTERRUPTED_END: End = ("infra", INTERRUPTED, ["interrupted"])


def _conclude(body: Callable[[Session], None], session: Session) -> End:
    try:
        with machine_faults(session.out, session.store.root):
            settle(session.settings.sandbox, session.events.note)
            check_store(session.store.root)
            body(session)
    except HarnessError as error:
        first, *more = error.lines()
        lines = [f"{error.kind} error: {first}", *more]
        return error.verdict, error.exit_code, lines  # type: ignore[return-value]
    except KeyboardInterrupt:
        return INTERRUPTED_END
    verdict, code = judge_run(session.results)
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


@contextlib.contextmanager
def _signals_wait() -> Iterator[list[int]]:
    """What ends a run does not disturb the block; gives the list of the signals that came.

    One that whoever started us has set to be ignored, as a shell does for a job in the
    background, stays so.
    """
    came: list[int] = []
    numbers = [n for n in ENDING if signal.getsignal(n) is not signal.SIG_IGN]
    handlers = [(n, signal.signal(n, lambda number, _: came.append(number))) for n in numbers]
    try:
        yield came
    finally:
        for number, handler in handlers:
            signal.signal(number, handler)


def console_of(settings: Settings) -> Console:
    """Where a command speaks: standard output is for KTAP where that was asked for."""
    stream = sys.stderr if settings.ktap else sys.stdout
    # A pipe has no width: rich would fold what CI logs can show whole.
    return Console(file=stream, highlight=False, width=None if stream.isatty() else PIPE_WIDTH)


def run_session(settings: Settings, command: str, body: Callable[[Session], None]) -> RunResult:
    """Runs ``body`` as one run: events, files under ``out/<run>/``, summary, exit status.

    A failure of any kind, and an interrupt, still leave results.json, junit.xml and
    report.html behind, with all that was known by then.

    Raises:
        InvocationError: PROJECT= names no series (no run begins).
        KeyboardInterrupt: it came when the verdict stood already; the files are whole.
    """
    known = KnownSeries(load(settings.project))
    out = make_run_folder(settings.out)
    console = console_of(settings)
    screen, results, events = Screen(console), Results(), ev.Events()
    start = time.monotonic()
    with contextlib.ExitStack() as stack:
        stack.callback(screen.close)
        log = stack.enter_context(open(out / "events.jsonl", "w", encoding="utf-8"))
        for consumer in (results, EventLog(log), screen):
            events.consumers.append(consumer)
        events.emit(ev.RunStarted(out.name, str(out), command, settings.asked()))
        store = Store(settings.cache, settings.cache_limit)
        session = Session(settings, events, results, store, known, out, console)
        point_latest(out)
        end: End = ("infra", InternalError.exit_code, ["a defect of the harness"])
        try:
            end = _conclude(body, session)
            if end[1] != INTERRUPTED:  # who ends a run does not wait for the store
                _tidy(store, events)
        except KeyboardInterrupt:
            end = INTERRUPTED_END
        finally:
            with _signals_wait() as came:
                store.release()
                verdict, code, error = end
                events.emit(ev.RunFinished(verdict, code, time.monotonic() - start, tuple(error)))
                told = document(results, known.data)
                write_all(out, told, known.data)
    if came and code != INTERRUPTED:
        raise KeyboardInterrupt
    print_summary(console, told, known.data, out)
    return RunResult(code, out, told)
