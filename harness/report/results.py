# SPDX-License-Identifier: GPL-2.0-only
"""Folds a run's events into ``results.json`` (schema 2, described in docs/results.md)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from harness.core import events as ev
from harness.report.identity import case_finding, splat_finding
from harness.report.records import (
    CaseRecord,
    ClauseRecord,
    RunDocument,
    SplatRecord,
    StageRecord,
)
from harness.report.untested import not_run
from harness.series.contract import Clause, SeriesData

SCHEMA = 2

E = TypeVar("E", bound=ev.Event)


@dataclass
class Results:
    """A consumer of events that remembers what the reports need."""

    events: list[ev.Event] = field(default_factory=list)

    def __call__(self, event: ev.Event) -> None:
        if not isinstance(event, ev.StageProgress):
            self.events.append(event)

    def all(self, kind: type[E]) -> list[E]:
        """The events of one class, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    def last(self, kind: type[E]) -> E | None:
        """The last event of one class."""
        return next((event for event in reversed(self.events) if isinstance(event, kind)), None)

    def complaints(self) -> list[SplatRecord]:
        """What the kernel said that no test asked for, and that counts against the series."""
        decoded = {event.splat: event for event in self.all(ev.SplatDecoded)}
        patches = {event.splat: event for event in self.all(ev.SplatBlamed)}
        return [
            _splat(splat, decoded.get(splat.id), patches.get(splat.id))
            for splat in self.all(ev.SplatSeen)
            if not splat.expected and not splat.foreign
        ]

    def failures(self) -> list[ev.CaseFinished]:
        """The cases that break the run."""
        return [test for test in self.all(ev.CaseFinished) if test.status in ev.BROKEN]

    def untested(self) -> list[str]:
        """Why the run says nothing of the series though nothing broke; empty where it does."""
        change = self.last(ev.ChangeKnown)
        files = change.files if change else ()
        return not_run(files, self.all(ev.CaseFinished), self.last(ev.ChangeCoverage))


def judge_clause(clause: Clause, applied: int, tests: Iterable[ev.CaseFinished]) -> ClauseRecord:
    """One clause's verdict from the records of the cases that name it.

    A failure outweighs any pass. A clause that this many patches do not promise
    is not applicable whatever ran.
    """
    named = [t for t in tests if clause.id in t.clauses]
    broken = [t for t in named if t.status in ev.BROKEN]
    verdict, reason = "untested", "no case that ran names it"
    if applied < clause.holds_from:
        verdict = "not_applicable"
        reason = f"holds from patch {clause.holds_from}; {applied} applied"
    elif broken:
        verdict, reason = "fail", f"{broken[0].id}: {broken[0].reason}"
    elif any(t.status == "pass" for t in named):
        verdict, reason = "pass", ""
    elif named and all(t.status == "not_applicable" for t in named):
        verdict, reason = "not_applicable", named[0].reason
    elif named:
        reason = f"{named[0].status.replace('_', ' ')}: {named[0].reason}"
    return {"verdict": verdict, "reason": reason, "tests": [str(t.id) for t in named]}


def _stage(stage: ev.StageEnded) -> StageRecord:
    seconds = round(stage.seconds, 3)
    record: StageRecord = {"name": stage.name, "seconds": seconds, "cached": False, "detail": ""}
    if isinstance(stage, ev.StageFailed):
        record.update({"failed": stage.kind, "detail": stage.message})
    elif isinstance(stage, ev.StageFinished):
        record.update({"cached": stage.cached, "detail": stage.detail})
    return record


def _test(test: ev.CaseFinished) -> CaseRecord:
    record: CaseRecord = {
        "id": str(test.id),
        "status": test.status,
        "reason": test.reason,
        "seconds": round(test.seconds, 3),
        "clauses": list(test.clauses),
        "attempt": test.id.attempt,
        "about": test.about,
        "diagnostics": list(test.diagnostics),
    }
    if test.status in ev.BROKEN:
        record["finding"] = case_finding(str(test.id), test.reason, test.clauses)
    return record


def _splat(
    splat: ev.SplatSeen,
    decoded: ev.SplatDecoded | None = None,
    by: ev.SplatBlamed | None = None,
) -> SplatRecord:
    return {
        "title": splat.title,
        "category": splat.category,
        "test": str(splat.test or ""),
        "text": decoded.text if decoded else splat.text,
        "decoded": decoded.how if decoded else "",
        "patch": f"{by.number} ({by.subject}), {by.place}" if by else "",
        "foreign": splat.foreign or "",
        "finding": splat_finding(splat.title),
    }


def document(results: Results, data: SeriesData | None) -> RunDocument:
    """``results.json``; parts that the run did not reach are empty."""
    run = results.last(ev.RunStarted) or ev.RunStarted("", "", "", {})
    not_ended = ev.RunFinished("infra", 70, 0.0, ("the run did not end",))
    finished = results.last(ev.RunFinished) or not_ended
    known = results.last(ev.SeriesKnown)
    series = known or ev.SeriesKnown("", (), 0)
    accel = results.last(ev.AccelChosen) or ev.AccelChosen("", "")
    tests, boots = results.all(ev.CaseFinished), results.all(ev.GuestBooted)
    return {
        "schema": SCHEMA,
        "verdict": finished.verdict,
        "exit_code": finished.exit_code,
        "error": list(finished.error),
        "untested": results.untested() if finished.verdict == "untested" else [],
        "run": run.run_id,
        "command": run.command,
        "asked": run.asked,
        "seconds": round(finished.seconds, 3),
        "kernel": results.last(ev.BaseKnown) or ev.BaseKnown("", "", ""),
        "series": {
            "name": data.name if data else "",
            "source": series.source,
            "total": series.total,
            "patches": list(series.patches),
        },
        "config": results.last(ev.ConfigKnown) or ev.ConfigKnown("", ""),
        "accel": accel.accel,
        "accel_reason": accel.reason,
        "stages": [_stage(s) for s in results.all(ev.StageEnded)],
        "boot_ids": list(dict.fromkeys(b.boot_id for b in boots)),
        "boots": [replace(boot, seconds=round(boot.seconds, 3)) for boot in boots],
        "pace": results.last(ev.PaceMeasured) or ev.PaceMeasured(0.0, 0.0, 1.0),
        "guests_lost": [
            {"reason": g.reason, "test": str(g.test or "")} for g in results.all(ev.GuestLost)
        ],
        "tests": [_test(t) for t in tests],
        "repeats": [
            {"id": str(again.id), "passed": again.passed, "runs": again.runs}
            for again in results.all(ev.CaseRepeated)
        ],
        "splats": results.complaints(),
        "foreign_splats": [_splat(s) for s in results.all(ev.SplatSeen) if s.foreign],
        "files": [file for event in results.all(ev.ChangeKnown) for file in event.files],
        "coverage": results.last(ev.ChangeCoverage),
        "clauses": {
            name: judge_clause(clause, len(series.patches), tests)
            for name, clause in (data.clauses.items() if data and known else ())
        },
        "canaries": results.all(ev.CanaryFinished),
        "notes": [n.text for n in results.all(ev.Note)],
    }
