# SPDX-License-Identifier: GPL-2.0-only
"""``make static-checks``: what checkpatch, sparse and kernel-doc say of each patch, as a run.

Each tool has one record, ``static::<tool>``, without a clause. It fails for a remark
that ``justified.yaml`` does not justify, and for an entry there that matches none.
"""

from __future__ import annotations

import json
import time
from typing import Any

from rich.table import Table

from harness.commands.static_checks.remarks import LEFT, TOOLS, Statics
from harness.commands.static_checks.tools import static_remarks
from harness.core import events as ev
from harness.core.atomic import write_atomically
from harness.core.settings import Settings
from harness.core.stages import stage
from harness.run.pipeline import base_stage, workbench
from harness.run.session import RunResult, Session, run_session
from harness.series.patches import Series, load_series
from harness.setup.on_demand import provide


def as_document(found: Statics) -> dict[str, Any]:
    """``statics.json``: of each patch, the tools that ran, with what nothing justifies."""
    return {
        "patches": [
            {
                "number": patch.number,
                "subject": patch.subject,
                "tools": {
                    tool: {
                        "open": [str(remark) for remark in patch.open(tool)],
                        "justified": len(said) - len(patch.open(tool)),
                    }
                    for tool, said in patch.tools.items()
                },
            }
            for patch in found.patches
        ]
    }


def static_checks(settings: Settings) -> RunResult:
    """Runs the tools on every patch of the series."""
    return run_session(settings, "static-checks", _body)


def _body(session: Session) -> None:
    settings, events = session.settings, session.events
    provide("sparse", session.out / "setup.log", events)
    base = base_stage(session)
    with stage(events, "series") as outcome:
        series = load_series(settings, base)
        series = Series(series.source, series.patches[: settings.patches])
        outcome.detail = f"{len(series.patches)} patches from {series.source}"
        infos = tuple(ev.PatchInfo(p.subject, p.patch_id) for p in series.patches)
        events.emit(ev.SeriesKnown(series.source, infos, len(series.patches)))
    start = time.monotonic()
    with stage(events, "statics") as outcome:
        bench = workbench(session)
        log = session.out / "build.log"
        found = static_remarks(bench, base, series, session.data.folder, log, settings.config)
        count = sum(len(r) for patch in found.patches for r in patch.tools.values())
        outcome.detail = f"{len(found.patches)} patches, {count} remarks"
    document = json.dumps(as_document(found), indent=1) + "\n"
    write_atomically(session.out / LEFT, document)
    for record in records(found, series, own=not settings.series):
        events.emit(record)
    events.emit(ev.Note(f"the tools took {time.monotonic() - start:.0f} s"))
    session.console.print()
    session.console.print(table(found))


def records(found: Statics, series: Series, *, own: bool) -> list[ev.CaseFinished]:
    """One record a tool.

    Args:
        own: it is the project's own series, whose justifications must match.
    """
    return [_record(tool, found, series, own) for tool in TOOLS]


def _record(tool: str, found: Statics, series: Series, own: bool) -> ev.CaseFinished:
    wrong, kept = [], []
    for patch in found.patches:
        label = f"patch {patch.number}"
        if tool not in patch.tools:
            wrong.append(f"{label}: not judged: {tool} could not be run")
        wrong += [f"{label}: {remark}" for remark in patch.open(tool)]
        kept += [f"{label}: {r} (kept: {r.why})" for r in patch.tools.get(tool, ()) if r.why]
        if tool == "sparse":
            kept += [f"{label}: not seen by sparse: {name}" for name in patch.unchecked]
    for patch_number in range(len(found.patches) + 1, len(series.patches) + 1):
        wrong.append(f"patch {patch_number}: not judged: it does not apply or cannot be configured")
    if own:
        wrong += [str(excuse) for excuse in found.stale if excuse.tool == tool]
    return ev.CaseFinished(
        ev.CaseId("static", None, tool),
        "fail" if wrong else "pass",
        wrong[0] if wrong else "",
        0.0,
        (),
        diagnostics=(*wrong, *kept),
        about=f"No remark of {tool} on any patch but those that are justified.",
    )


def cell(patch_verdict: str, open_ones: int, all_of_them: int) -> str:
    """A tool's word on a patch in a few characters."""
    if not patch_verdict:
        return "not run"
    justified = f", {all_of_them - open_ones} justified" if all_of_them > open_ones else ""
    return (f"{open_ones} new" if open_ones else "clean") + justified


def table(found: Statics) -> Table:
    """One row a patch, one column a tool."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("patch", "subject", *TOOLS):
        shown.add_column(name)
    for patch in found.patches:
        cells = [
            cell(patch.verdict(t), len(patch.open(t)), len(patch.tools.get(t, ()))) for t in TOOLS
        ]
        shown.add_row(str(patch.number), patch.subject, *cells)
    return shown
