# SPDX-License-Identifier: GPL-2.0-only
"""However a run ends, its files are there and its status names who is at fault."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

import pytest

from harness.core import events as ev
from harness.core.errors import (
    HarnessError,
    InternalError,
    InvocationError,
    MachineError,
    SeriesError,
)
from harness.core.settings import Settings, from_environment
from harness.core.store import Store
from harness.core.terminal import ending_signals
from harness.run import session
from harness.run.session import Session, run_session

FILES = ("events.jsonl", "junit.xml", "report.html", "results.json")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return from_environment({"HARNESS_CACHE": str(tmp_path / "c"), "OUT": str(tmp_path / "out")})


def finish(settings: Settings, body: Callable[[Session], None]) -> tuple[int, dict[str, Any]]:
    result = run_session(settings, "test-kernel", body)
    assert (settings.out / "latest").resolve() == result.out
    assert all((result.out / name).is_file() for name in FILES)
    document: dict[str, Any] = json.loads((result.out / "results.json").read_text())
    assert document == json.loads(json.dumps(result.document, default=vars))
    assert document["exit_code"] == result.code
    return result.code, document


def failing(error: BaseException) -> Callable[[Session], None]:
    def body(session: Session) -> None:
        raise error

    return body


@pytest.mark.parametrize(
    ("error", "code", "verdict"),
    [
        (SeriesError("patch 3 does not apply"), 1, "fail"),
        (InvocationError("no such kernel"), 2, "usage"),
        (MachineError("the disk is full"), 3, "infra"),
        (InternalError("cannot be"), 70, "infra"),
        (KeyboardInterrupt(), 130, "infra"),
    ],
)
def test_each_kind_has_its_status(
    settings: Settings, error: BaseException, code: int, verdict: str
) -> None:
    got, document = finish(settings, failing(error))
    assert (got, document["verdict"]) == (code, verdict)
    if isinstance(error, HarnessError):
        assert document["error"][0] == f"{error.kind} error: {error.what}"


def test_a_clean_run_passes(settings: Settings) -> None:
    code, document = finish(settings, lambda session: None)
    assert (code, document["verdict"], document["error"]) == (0, "pass", [])


def test_a_run_that_adds_to_the_store_keeps_it_within_its_limit(settings: Settings) -> None:
    def add(session: Session) -> None:
        with session.store.work_dir("build", "old") as shop:
            (shop / "object").write_bytes(b"x" * 100_000)
        session.store.entry("kind", "used", lambda draft: (draft / "f").touch())

    code, document = finish(replace(settings, cache_limit=50_000), add)
    assert code == 0
    assert any("above HARNESS_CACHE_LIMIT" in note for note in document["notes"])
    assert not (settings.cache / "work/build/old").exists()
    assert len(list((settings.cache / "kind").iterdir())) == 1


@pytest.mark.parametrize("status", ["fail", "error", "timeout"])
def test_one_broken_case_fails_the_run(settings: Settings, status: ev.Status) -> None:
    def body(session: Session) -> None:
        session.events.emit(
            ev.CaseFinished(ev.CaseId.parse("p.c::a"), "pass", "", 0.1, ("V-IF-2",))
        )
        session.events.emit(
            ev.CaseFinished(ev.CaseId.parse("p.c::b"), status, "x", 0.1, ("V-IF-2",))
        )

    assert finish(settings, body)[0] == 1


def test_a_complaint_fails_the_run_although_every_case_passed(settings: Settings) -> None:
    def body(session: Session) -> None:
        session.events.emit(
            ev.CaseFinished(ev.CaseId.parse("p.c::a"), "pass", "", 0.1, ("V-IF-2",))
        )
        session.events.emit(ev.SplatSeen("WARNING in f", "warning", None, "trace"))

    code, document = finish(settings, body)
    assert (code, document["splats"][0]["title"]) == (1, "WARNING in f")


def test_an_expected_complaint_does_not(settings: Settings) -> None:
    def body(session: Session) -> None:
        session.events.emit(
            ev.SplatSeen("Out of memory", "oom", ev.CaseId.parse("p.c::a"), "trace", True)
        )

    assert finish(settings, body)[0] == 0


def test_skipped_cases_are_no_failure(settings: Settings) -> None:
    def body(session: Session) -> None:
        session.events.emit(
            ev.CaseFinished(ev.CaseId.parse("p.c::a"), "not_applicable", "x", 0.0, ("V-PG-2",))
        )
        session.events.emit(
            ev.CaseFinished(ev.CaseId.parse("p.c::b"), "skip", "x", 0.0, ("V-PG-2",))
        )

    assert finish(settings, body)[0] == 0


def test_a_detector_that_missed_its_canary_is_our_fault(settings: Settings) -> None:
    def body(session: Session) -> None:
        session.events.emit(ev.CanaryFinished("oops", "oops", "nothing", False, 1.0))

    assert finish(settings, body)[0] == 70


def test_a_defect_of_ours_still_leaves_the_files(settings: Settings) -> None:
    with pytest.raises(ZeroDivisionError):
        run_session(settings, "test-kernel", failing(ZeroDivisionError()))
    latest = settings.out / "latest"
    assert json.loads((latest / "results.json").read_text())["exit_code"] == 70


def test_events_are_on_disk_in_order(settings: Settings) -> None:
    finish(settings, lambda session: session.events.emit(ev.Note("hello")))
    lines = (settings.out / "latest" / "events.jsonl").read_text().splitlines()
    assert [json.loads(x)["event"] for x in lines] == ["RunStarted", "Note", "RunFinished"]


def test_runs_of_one_process_in_one_second_have_names_of_their_own(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Stopped:
            return cls(2026, 1, 2, 3, 4, 59, tzinfo=tz)

    monkeypatch.setattr(session, "datetime", Stopped)
    found = [run_session(settings, "test-kernel", lambda _: None) for _ in range(2)]
    pid = os.getpid()
    assert [r.out.name for r in found] == [f"20260102-030459-{pid}", f"20260102-030500-{pid}"]
    assert [r.document["run"] for r in found] == [r.out.name for r in found]


@pytest.fixture
def heard() -> Iterator[None]:
    """Ctrl-C as in a terminal: a job in the background is started to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with ending_signals():
        yield
    signal.signal(signal.SIGINT, before)


def interrupted_by(number: signal.Signals) -> Callable[[Session], None]:
    def body(run: Session) -> None:
        run.events.emit(
            ev.CaseFinished(ev.CaseId.parse("p.c::a"), "fail", "lost it", 0.1, ("V-IF-2",))
        )
        signal.raise_signal(number)

    return body


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_tells_what_it_knew(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """Who waits no longer presses Ctrl-C again, and a supervisor sends SIGTERM twice."""

    def again(*_: object) -> None:
        signal.raise_signal(number)

    monkeypatch.setattr(Store, "evict", again)
    monkeypatch.setattr(Store, "release", again)
    code, document = finish(settings, interrupted_by(number))
    assert (code, document["verdict"], document["error"]) == (130, "infra", ["interrupted"])
    assert [test["reason"] for test in document["tests"]] == ["lost it"]


@pytest.mark.usefixtures("heard")
def test_a_store_that_is_cleared_for_long_can_be_interrupted(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "evict", lambda _: signal.raise_signal(signal.SIGINT))
    assert finish(settings, lambda _: None)[0] == 130


@pytest.mark.usefixtures("heard")
def test_an_interrupt_after_the_verdict_leaves_whole_files(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "release", lambda _: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        run_session(settings, "test-kernel", lambda _: None)
    (out,) = settings.out.glob("2*")
    assert json.loads((out / "results.json").read_text())["verdict"] == "pass"


def test_an_interrupt_that_is_to_be_ignored_is(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, heard: None
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    monkeypatch.setattr(Store, "release", lambda _: signal.raise_signal(signal.SIGINT))
    assert finish(settings, interrupted_by(signal.SIGINT))[0] == 1


def test_an_unknown_project_begins_no_run(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(InvocationError):
        run_session(replace(settings, project=tmp_path / "none"), "test-kernel", lambda s: None)
    assert not settings.out.exists()
