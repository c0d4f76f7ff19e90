# SPDX-License-Identifier: GPL-2.0-only
"""Runs of one series merge into one table; others, and partial ones, stay out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.commands.report import lines, merge, overall, read_runs, rows
from harness.core.errors import InvocationError
from harness.core.events import BaseKnown, ConfigKnown, PatchInfo, RunFinished, RunStarted
from harness.report.results import Results, document


def run(name: str, verdicts: dict[str, str], **changes: Any) -> Any:
    return {
        "schema": 2,
        "exit_code": 0,
        "run": name,
        "command": changes.get("command", "test-kernel"),
        "asked": {"TESTS": changes.get("tests", "")},
        "kernel": BaseKnown(changes.get("kernel", "6.1.192"), "6.1", "c0ffee"),
        "config": ConfigKnown(changes.get("config", "default"), ""),
        "series": {"patches": [PatchInfo("s", changes.get("patch", "p"))]},
        "clauses": {c: {"verdict": v} for c, v in verdicts.items()},
    }


def test_cells_become_columns_and_failures_outweigh_passes() -> None:
    merged = merge(
        [
            run("1", {"A-1": "pass", "A-2": "untested", "A-3": "not_applicable"}),
            run("2", {"A-1": "fail", "A-2": "pass", "A-3": "not_applicable"}, kernel="6.12.1"),
        ]
    )
    assert rows(merged)["A-1"] == ("pass", "fail")
    found = [overall(rows(merged)[clause]) for clause in ("A-1", "A-2", "A-3")]
    assert found == [
        "fail",
        "pass",
        "not_applicable",
    ]


def test_the_later_run_of_a_cell_counts_and_merging_twice_changes_nothing() -> None:
    runs = [run("1", {"A-1": "fail"}), run("2", {"A-1": "pass"})]
    assert rows(merge(runs)) == {"A-1": ("pass",)}
    assert merge([*runs, runs[-1]]) == merge(runs)


def test_another_series_and_partial_runs_stay_out() -> None:
    runs = [
        run("1", {"A-1": "fail"}, patch="old", config="kasan"),
        run("2", {"A-1": "pass"}),
        run("3", {"A-1": "fail"}, tests="one"),
    ]
    assert [cell.run for cell in merge(runs)] == ["2"]


def test_nothing_to_merge_is_the_users_mistake() -> None:
    with pytest.raises(InvocationError):
        merge([run("1", {"A-1": "pass"}, tests="one")])


def test_the_link_to_the_latest_run_is_not_a_second_run(tmp_path: Path) -> None:
    (tmp_path / "r1").mkdir()
    events = [RunStarted("r1", str(tmp_path), "test-kernel", {}), RunFinished("pass", 0, 1.0, ())]
    told = document(Results(list(events)), None)
    told["clauses"]["A-1"] = {"verdict": "pass", "reason": "", "tests": []}
    (tmp_path / "r1" / "results.json").write_text(json.dumps(told, default=vars))
    (tmp_path / "latest").symlink_to("r1")
    assert [r["run"] for r in read_runs(tmp_path)] == ["r1"]


def test_the_text_names_cells_and_clauses() -> None:
    text = "\n".join(lines(merge([run("1", {"A-1": "pass"})])))
    assert "[1] 6.1.192 default" in text
    assert "A-1     pass" in text


def test_a_soak_is_no_complete_run() -> None:
    soaked = run("2", {"A-1": "untested"})
    soaked["asked"]["KIND"] = "stress"
    assert rows(merge([run("1", {"A-1": "pass"}), soaked])) == {"A-1": ("pass",)}


def test_races_are_a_column_that_grows_race_by_race() -> None:
    merged = merge(
        [
            run("1", {"A-1": "pass", "A-2": "untested", "A-3": "untested"}),
            run("2", {"A-1": "untested", "A-2": "pass", "A-3": "untested"}, command="repro"),
            run("3", {"A-1": "untested", "A-2": "untested", "A-3": "fail"}, command="repro"),
        ]
    )
    assert [cell.name for cell in merged] == ["6.1.192 default", "6.1.192 default, repro"]
    assert rows(merged) == {
        "A-1": ("pass", "untested"),
        "A-2": ("untested", "pass"),
        "A-3": ("untested", "fail"),
    }
