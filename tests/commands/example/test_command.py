# SPDX-License-Identifier: GPL-2.0-only
"""The run behind the page: a page is made of whole runs only, here and in docs/."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.commands.example import command
from harness.core import events as ev
from harness.report.results import Results
from harness.vm.machine import GuestSpec
from tests.commands.example.test_page import many

NAMES = ("example-cache.md", "example-cache.svg")


def record(row: dict[str, Any], status: ev.Status) -> ev.CaseFinished:
    name = ev.CaseId(
        "guest", "example-cache/day.py", f"{row['program']}_{row['way']}_{row['swap']}"
    )
    return ev.CaseFinished(name, status, "", 1.0, ("V-SB-5",), (f"@row {json.dumps(row)}",))


@pytest.mark.parametrize(
    ("left_out", "status", "made"),
    [(0, "pass", True), (1, "pass", False), (0, "fail", False)],
)
def test_only_a_whole_run_makes_the_page(
    left_out: int,
    status: ev.Status,
    made: bool,
    events: ev.Events,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = GuestSpec(Path("/k"), "microvm", "kvm", Path("/r"), "key", cpus=2)
    cases = many()
    finished = [record(row, "pass") for row in cases[left_out:-1]] + [record(cases[-1], status)]
    results, docs, out = Results(), tmp_path / "docs", tmp_path / "out"
    docs.mkdir()
    out.mkdir()
    events.consumers.append(results)

    @contextlib.contextmanager
    def guests(spec: GuestSpec, *_: object) -> Iterator[Any]:
        assert spec.counted and spec.accel == "tcg" and spec.cpus == 1
        yield SimpleNamespace(fresh=None, report_strays=lambda: None)

    def run(chosen: object, runners: list[object], emit: ev.Consumer, expression: str) -> None:
        assert chosen == cases and len(runners) == 2
        for event in finished:
            emit(event)

    applied, base = SimpleNamespace(patches=[1, 2]), SimpleNamespace(version="7.3.0")
    prepared = SimpleNamespace(applied=applied, base=base)
    equipment = SimpleNamespace(prepared=prepared, suite=SimpleNamespace(cases=cases), spec=spec)
    monkeypatch.setattr(command, "assemble_guest", lambda *_: equipment)
    monkeypatch.setattr(command, "complaints_of", lambda _: lambda splat: splat)
    monkeypatch.setattr(command, "kvm_verdict", lambda _: None)
    monkeypatch.setattr(command, "Guests", guests)
    monkeypatch.setattr(command, "run_cases", run)
    monkeypatch.setattr(command, "DOCS", docs)
    session = SimpleNamespace(
        out=out,
        events=events,
        results=results,
        data=SimpleNamespace(name="volatile-swapless"),
        settings=SimpleNamespace(jobs=2, tests=None),
    )
    command.example(cast(Any, session))
    passed = sum(event.status == "pass" for event in finished)
    assert len(json.loads((out / "example.json").read_text())) == passed
    for folder in (out, docs):
        assert [(folder / name).is_file() for name in NAMES] == [made, made]


def test_a_row_of_each_case_is_asked_for_by_name() -> None:
    """The driver in the guest prints what the templates show; a name that is not there is told."""
    driver = (command.USER / "day.py").read_text()
    assert [name for name in many()[0] if f'"{name}": ' not in driver] == []
