# SPDX-License-Identifier: GPL-2.0-only
"""Consumers that leave files behind: the event log, results.json, junit.xml, report.html."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import jinja2
from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite
from markupsafe import Markup, escape

from harness.core import events as ev
from harness.core.atomic import drafted_file, write_atomically
from harness.core.jsondata import read_kept, write_json
from harness.report.change import FILE as COVERAGE
from harness.report.change import PatchDiff, PatchDiffs
from harness.report.mutants import FILE as MUTANTS
from harness.report.mutants import MutantsDocument
from harness.report.plots import plots
from harness.report.records import RunDocument
from harness.report.untested import figures
from harness.series.contract import SeriesData


@dataclass
class EventLog:
    """``events.jsonl``: every event but progress, one JSON object a line, as it happens."""

    handle: IO[str]

    def __call__(self, event: ev.Event) -> None:
        if isinstance(event, ev.StageProgress):
            return
        record = {name: "" if value is None else value for name, value in vars(event).items()}
        record = {"event": type(event).__name__, **record}
        self.handle.write(json.dumps(record, default=_plain) + "\n")
        self.handle.flush()


def _plain(value: object) -> object:
    return vars(value) if isinstance(value, ev.PatchInfo | ev.TouchedFile) else str(value)


def junit(document: RunDocument) -> str:
    """``junit.xml``: the cases, and the kernel's complaints as failed cases of their own."""
    kernel = document["kernel"].version or "kernel"
    suite = TestSuite(f"{document['series']['name'] or 'series'} on {kernel}")
    if ran := figures(document["coverage"]):
        suite.add_property("change", ran)
    for test in document["tests"]:
        case_id = ev.CaseId.parse(test["id"])
        case = TestCase(case_id.name, case_id.program or case_id.kind, test["seconds"])
        status, reason = test["status"], test["reason"]
        if status == "fail":
            case.result = [Failure(reason, status)]
        elif status in ev.BROKEN:
            case.result = [Error(reason, status)]
        elif status != "pass":
            case.result = [Skipped(f"{status}: {reason}")]
        case.system_out = "\n".join(test["diagnostics"])
        suite.add_testcase(case)
    for splat in document["splats"]:
        case = TestCase(splat["title"], "kernel log", 0)
        case.result = [Failure(splat["title"], splat["category"])]
        case.system_out = splat["text"]
        suite.add_testcase(case)
    if document["untested"]:
        case = TestCase("the change has run", "harness", document["seconds"])
        case.result = [Error("\n".join(document["untested"]), document["verdict"])]
        suite.add_testcase(case)
    if document["error"] and not suite.failures and not suite.errors:
        case = TestCase("run", "harness", document["seconds"])
        case.result = [Error("\n".join(document["error"]), document["verdict"])]
        suite.add_testcase(case)
    xml = JUnitXml("kernel-series-harness")
    xml.add_testsuite(suite)
    xml.update_statistics()  # type: ignore[no-untyped-call]
    text: bytes = xml.tostring()  # type: ignore[no-untyped-call]
    return text.decode()


def inline(text: str) -> Markup:
    """A contract's inline Markdown, `code` and *emphasis*, as HTML; all else is escaped."""
    escaped = str(escape(text))
    escaped = re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped)
    return Markup(re.sub(r"(?<!\w)\*(?=\S)([^*<>]+)(?<=\S)\*(?!\w)", r"<em>\1</em>", escaped))


def page_environment(*folders: Path, whole: bool = False) -> jinja2.Environment:
    """How pages are made: what is put into HTML is escaped, and what is missing is an error.

    ``folders``: where templates are looked for, beside those of this room. ``whole``: what they
    make ends with the end of a line, as they do.
    """
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([Path(__file__).parent, *folders]),
        autoescape=jinja2.select_autoescape(["html.j2", "svg.j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=whole,
    )


def html(
    document: RunDocument,
    data: SeriesData | None,
    change: Sequence[PatchDiff] = (),
    mutants: MutantsDocument | None = None,
) -> str:
    """``report.html``: one self-contained page, readable without network or scripts.

    Args:
        change: the diffs of the patches, with what ran of them.
        mutants: what became of them, in a run that judged some.
    """
    environment = page_environment()
    environment.filters["inline"] = inline
    clauses = data.clauses if data else {}
    tests = {test["id"]: test for test in document["tests"]}
    page = environment.get_template("report.html.j2")
    drawn = plots(document["tests"])
    return page.render(
        run=document, clauses=clauses, tests=tests, data=data, plots=drawn, change=change,
        mutants=mutants,
    )  # fmt: skip


def write_all(out: Path, document: RunDocument, data: SeriesData | None) -> None:
    """Writes the closing files of a run into ``out``."""
    write_json(out / "results.json", document)
    write_atomically(out / "junit.xml", junit(document))
    change = read_kept(PatchDiffs, out / COVERAGE)
    mutants = read_kept(MutantsDocument, out / MUTANTS)
    page = html(document, data, change["patches"] if change else (), mutants)
    write_atomically(out / "report.html", page)


def point_latest(out: Path) -> None:
    """Makes ``latest`` beside ``out`` a link to it, never missing in between."""
    with drafted_file(out.parent / "latest") as draft:
        draft.symlink_to(out.name)
