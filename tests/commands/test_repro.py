# SPDX-License-Identifier: GPL-2.0-only
"""make repro tells of every race that was tried, however the next one ends."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from harness.commands import repro
from harness.core import events as ev
from harness.core.errors import InvocationError
from harness.core.settings import from_environment
from harness.races.batch import Batch
from harness.races.claim_verdict import ClaimResult
from harness.races.claimed_points import Resolved
from harness.races.claims import Claim
from harness.races.verdict import RaceResult
from harness.report.results import Results
from harness.run.session import KnownSeries, Session
from tests.races.test_batch import TOY


def test_an_interrupt_leaves_the_races_that_were_tried(
    events: ev.Events, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert TOY is not None
    toy = TOY

    def tried_one(session: Session, scenarios: Any, everything: list[RaceResult]) -> None:
        everything.append(RaceResult(toy, "6.1", "default", 0, Batch(), Batch()))
        raise KeyboardInterrupt

    monkeypatch.setattr(repro, "obtain_base", lambda *_: SimpleNamespace(line="6.1"))
    monkeypatch.setattr(repro, "choose", lambda *_: [toy])
    monkeypatch.setattr(repro, "run_scenarios", tried_one)
    session = Session(
        from_environment({}), events, Results(), cast(Any, None),
        KnownSeries(cast(Any, SimpleNamespace(name="toy"))), tmp_path, Console(file=io.StringIO()),
    )  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        repro._repro(session)
    (row,) = json.loads((tmp_path / "repro.json").read_text())["scenarios"]
    assert row["name"] == toy.name


def session_of(out: Path, **given: str) -> Session:
    return Session(
        from_environment(given), ev.Events(), Results(), cast(Any, None),
        KnownSeries(cast(Any, SimpleNamespace(name="toy"))), out, Console(file=io.StringIO()),
    )  # fmt: skip


def test_a_claim_is_told_on_the_screen_and_in_claim_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = tmp_path / "a report.txt"
    report.write_text("CPU0              CPU1\nouter()\n                  sink()\n")
    asked: list[str] = []

    def tried(session: Session, claim: Claim, name: str, line: str) -> ClaimResult:
        asked.extend([name, line])
        lost = ((claim.rows[0], "there is no such function"),)
        return ClaimResult(name, claim, 20, Resolved((), lost, ()), stacks=["A is held"])

    monkeypatch.setattr(repro, "obtain_base", lambda *_: SimpleNamespace(line="6.1"))
    monkeypatch.setattr(repro, "try_claim", tried)
    session = session_of(tmp_path, FROM=str(report))
    repro._try_claim(session)
    assert asked == ["a-report", "6.1"]
    text = cast(io.StringIO, session.console.file).getvalue()
    assert "the claim: not reached: 'CPU0: outer()': there is no such function" in text
    assert "A is held" in text
    record = json.loads((tmp_path / "claim.json").read_text())
    assert record["answer"] == "not reached" and record["program"] is None


def test_an_unreadable_claim_ends_before_anything_is_built(tmp_path: Path) -> None:
    report = tmp_path / "report.txt"
    report.write_text("foo() races with bar().\n")
    with pytest.raises(InvocationError, match="no line is a heading") as caught:
        repro._try_claim(session_of(tmp_path, FROM=str(report)))
    assert caught.value.evidence == report
