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
from harness.core.settings import from_environment
from harness.races.batch import Batch
from harness.races.verdict import RaceResult
from harness.report.results import Results
from harness.run.session import KnownSeries, Session
from tests.races.test_batch import TOY


def test_an_interrupt_leaves_the_races_that_were_tried(
    events: ev.Events, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert TOY is not None
    toy = TOY

    def tried_one(
        session: Session, scenarios: Any, line: str, everything: list[RaceResult]
    ) -> None:
        everything.append(RaceResult(toy, line, "default", 0, Batch(), Batch()))
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
