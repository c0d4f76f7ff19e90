# SPDX-License-Identifier: GPL-2.0-only
"""The files that a run leaves behind say what its events said."""

from __future__ import annotations

import io
import json
from pathlib import Path
from xml.etree import ElementTree

from harness.core import events as ev
from harness.report.files import (
    EventLog,
    html,
    inline,
    junit,
    point_latest,
    write_all,
)
from harness.report.records import RunDocument
from harness.report.results import Results, document
from harness.series.contract import SeriesData


def run_document(data: SeriesData, *extra: ev.Event, verdict: ev.Verdict = "pass") -> RunDocument:
    results = Results()
    results(ev.RunStarted("r1", "/out/r1", "test-kernel", {}))
    results(ev.SeriesKnown("s", tuple(ev.PatchInfo(f"s{i}", "0123") for i in range(4)), 4))
    for event in extra:
        results(event)
    results(ev.RunFinished(verdict, 0, 3.0, ("the disk is full",) if verdict == "infra" else ()))
    return document(results, data)


def test_junit_counts_each_kind(data: SeriesData) -> None:
    statuses: tuple[ev.Status, ...] = (
        "pass",
        "fail",
        "error",
        "timeout",
        "skip",
        "not_applicable",
    )
    cases = [
        ev.CaseFinished(ev.CaseId.parse(f"p.c::{s}"), s, "why", 0.1, ("V-IF-2",)) for s in statuses
    ]
    splat = ev.SplatSeen("WARNING in f", "warning", ev.CaseId.parse("p.c::pass"), "trace <here>")
    root = ElementTree.fromstring(junit(run_document(data, *cases, splat)))
    suite = root.find("testsuite")
    assert suite is not None
    counts = {k: suite.get(k) for k in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "7", "failures": "2", "errors": "2", "skipped": "2"}


def test_junit_says_how_much_of_the_change_has_run(data: SeriesData) -> None:
    text = junit(run_document(data, ev.ChangeCoverage(2, 3, 9, 12)))
    (said,) = ElementTree.fromstring(text).iter("property")
    assert said.attrib == {"name": "change", "value": "9 of 12 lines run, 2 of 3 functions"}


def test_junit_of_a_run_that_ended_early_has_its_error(data: SeriesData) -> None:
    root = ElementTree.fromstring(junit(run_document(data, verdict="infra")))
    error = root.find("testsuite/testcase/error")
    assert error is not None and error.get("message") == "the disk is full"


def test_the_page_is_self_contained_and_escapes(data: SeriesData) -> None:
    bad = ev.CaseFinished(
        ev.CaseId.parse("p.c::x"), "fail", "a < b", 0.1, ("V-IF-2",), diagnostics=("<script>",)
    )
    page = html(run_document(data, bad), data)
    assert "a &lt; b" in page and "<script" not in page
    assert "http:" not in page and "https:" not in page and " src=" not in page
    assert all(f'id="{clause}"' in page for clause in data.clauses)


def test_the_page_of_a_run_that_got_nowhere(data: SeriesData) -> None:
    assert "the run did not end" in html(document(Results(), None), None)


def test_all_files_are_written(tmp_path: Path, data: SeriesData) -> None:
    write_all(tmp_path, run_document(data), data)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "junit.xml",
        "report.html",
        "results.json",
    ]
    assert json.loads((tmp_path / "results.json").read_text())["run"] == "r1"


def test_latest_moves_to_the_new_run(tmp_path: Path) -> None:
    for name in ("r1", "r2"):
        (tmp_path / name).mkdir()
        point_latest(tmp_path / name)
    assert (tmp_path / "latest").readlink() == Path("r2")


def test_the_event_log_has_every_event_but_progress() -> None:
    handle = io.StringIO()
    log = EventLog(handle)
    log(ev.StageStarted("build"))
    log(ev.StageProgress("build", 1, 9, "objects"))
    log(ev.CaseFinished(ev.CaseId.parse("p.c::x"), "pass", "", 0.1, ("V-IF-2",)))
    records = [json.loads(line) for line in handle.getvalue().splitlines()]
    assert [r["event"] for r in records] == ["StageStarted", "CaseFinished"]
    assert records[1]["clauses"] == ["V-IF-2"]


def test_inline_markdown_is_shown_and_nothing_else_is_html() -> None:
    text = inline("`a < b` is *so* and 2 * 3 * 4 <b>")
    assert text == "<code>a &lt; b</code> is <em>so</em> and 2 * 3 * 4 &lt;b&gt;"
