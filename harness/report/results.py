# SPDX-License-Identifier: GPL-2.0-only
"""Folds a run's events into ``results.json`` (schema 1, described in docs/results.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NotRequired, TypedDict, TypeVar

from harness.core import events as ev
from harness.report.untested import CoverageRecord, not_run
from harness.series.contract import Clause, SeriesData

SCHEMA = 1
BROKEN = frozenset({"fail", "error", "timeout"})


class StageRecord(TypedDict):
    """A stage in ``results.json``; ``failed``: the kind of the error that ended it."""

    name: str
    seconds: float
    cached: bool
    detail: str
    failed: NotRequired[str]


class CaseRecord(TypedDict):
    """A case's record in ``results.json``; ``seconds`` as the guest took them."""

    id: str
    status: ev.Status
    reason: str
    seconds: float
    clauses: list[str]
    attempt: int
    about: str
    diagnostics: list[str]


class RepeatRecord(TypedDict):
    """How often a case passed when it was run again."""

    id: str
    passed: int
    runs: int


class SplatRecord(TypedDict):
    """What the kernel said, in ``results.json``; '' for a ``test`` or ``decoded`` that is none."""

    title: str
    category: str
    test: str
    text: str
    decoded: str
    foreign: str


class ClauseRecord(TypedDict):
    """``verdict``: pass, fail, untested or not_applicable; ``tests``: ids of its cases."""

    verdict: str
    reason: str
    tests: list[str]


class ShardRecord(TypedDict):
    """Which part of the cases a run had; ``cases``: the ids of the whole selection."""

    number: int
    of: int
    cases: list[str]


class KernelRecord(TypedDict):
    """The base: its version, what the user called it, and its commit."""

    version: str
    base: str
    commit: str


class PatchRecord(TypedDict):
    """One patch that was applied; ``patch_id`` as of ``git patch-id``."""

    subject: str
    patch_id: str


class SeriesRecord(TypedDict):
    """What was applied, of how many patches in all."""

    name: str
    source: str
    total: int
    patches: list[PatchRecord]


class ConfigRecord(TypedDict):
    """The flavour, and the hash of its ``.config``."""

    name: str
    sha256: str


class BootRecord(TypedDict):
    """One guest that came up; ``seconds`` to its first answer."""

    boot_id: str
    seconds: float
    machine: str
    restored: bool


class PaceRecord(TypedDict):
    """How slow the guest is: seconds of the benchmark, of the reference, and their ratio."""

    seconds: float
    reference: float
    factor: float


class LostRecord(TypedDict):
    """A guest that was lost; ``test``: the id of the case that ran, '' for none."""

    reason: str
    test: str


class CanaryRecord(TypedDict):
    """A detector that was tried, and what it said."""

    name: str
    expected: str
    seen: str
    ok: bool
    seconds: float


class RunDocument(TypedDict):
    """``results.json``, schema 1, as docs/results.md describes it."""

    schema: int
    verdict: ev.Verdict
    exit_code: int
    error: list[str]
    untested: list[str]
    run: str
    command: str
    asked: dict[str, str]
    seconds: float
    kernel: KernelRecord
    series: SeriesRecord
    config: ConfigRecord
    accel: str
    accel_reason: str
    stages: list[StageRecord]
    boot_ids: list[str]
    boots: list[BootRecord]
    pace: PaceRecord
    shard: ShardRecord
    guests_lost: list[LostRecord]
    tests: list[CaseRecord]
    repeats: list[RepeatRecord]
    splats: list[SplatRecord]
    foreign_splats: list[SplatRecord]
    coverage: CoverageRecord | None
    clauses: dict[str, ClauseRecord]
    canaries: list[CanaryRecord]
    notes: list[str]


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
        return [
            _splat(splat, decoded.get(splat.id))
            for splat in self.all(ev.SplatSeen)
            if not splat.expected and not splat.foreign
        ]

    def failures(self) -> list[ev.CaseFinished]:
        """The cases that break the run."""
        return [test for test in self.all(ev.CaseFinished) if test.status in BROKEN]

    def untested(self) -> list[str]:
        """Why the run says nothing of the series though nothing broke; empty where it does."""
        return not_run(_coverage(self.last(ev.ChangeCoverage)))


def judge_clause(clause: Clause, applied: int, tests: Iterable[ev.CaseFinished]) -> ClauseRecord:
    """One clause's verdict from the records of the cases that name it.

    A failure outweighs any pass. A clause that this many patches do not promise
    is not applicable whatever ran.
    """
    named = [t for t in tests if clause.id in t.clauses]
    broken = [t for t in named if t.status in BROKEN]
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


def judge(
    clauses: Mapping[str, Clause], applied: int, tests: Iterable[ev.CaseFinished]
) -> dict[str, ClauseRecord]:
    """All clauses' verdicts, in the contract's order."""
    records = list(tests)
    return {name: judge_clause(clause, applied, records) for name, clause in clauses.items()}


def _stage(stage: ev.StageEnded) -> StageRecord:
    seconds = round(stage.seconds, 3)
    record: StageRecord = {"name": stage.name, "seconds": seconds, "cached": False, "detail": ""}
    if isinstance(stage, ev.StageFailed):
        record.update({"failed": stage.kind, "detail": stage.message})
    elif isinstance(stage, ev.StageFinished):
        record.update({"cached": stage.cached, "detail": stage.detail})
    return record


def _test(test: ev.CaseFinished) -> CaseRecord:
    return {
        "id": str(test.id),
        "status": test.status,
        "reason": test.reason,
        "seconds": round(test.seconds, 3),
        "clauses": list(test.clauses),
        "attempt": test.id.attempt,
        "about": test.about,
        "diagnostics": list(test.diagnostics),
    }


def _splat(splat: ev.SplatSeen, decoded: ev.SplatDecoded | None = None) -> SplatRecord:
    return {
        "title": splat.title,
        "category": splat.category,
        "test": str(splat.test or ""),
        "text": decoded.text if decoded else splat.text,
        "decoded": decoded.how if decoded else "",
        "foreign": splat.foreign or "",
    }


def _coverage(coverage: ev.ChangeCoverage | None) -> CoverageRecord | None:
    if coverage is None:
        return None
    return {
        "functions_entered": coverage.functions_entered,
        "functions": coverage.functions,
        "lines_run": coverage.lines_run,
        "lines": coverage.lines,
        "not_reached": list(coverage.not_reached),
        "lines_not_run": list(coverage.lines_not_run),
        "excused": list(coverage.excused),
        "whole": coverage.whole,
        "least": coverage.least,
    }


def _boot(boot: ev.GuestBooted) -> BootRecord:
    return {
        "boot_id": boot.boot_id,
        "seconds": round(boot.seconds, 3),
        "machine": boot.machine,
        "restored": boot.restored,
    }


def _canary(canary: ev.CanaryFinished) -> CanaryRecord:
    return {
        "name": canary.name,
        "expected": canary.expected,
        "seen": canary.seen,
        "ok": canary.ok,
        "seconds": round(canary.seconds, 3),
    }


def document(results: Results, data: SeriesData | None) -> RunDocument:
    """``results.json``; parts that the run did not reach are empty."""
    run = results.last(ev.RunStarted) or ev.RunStarted("", "", "", {})
    not_ended = ev.RunFinished("infra", 70, 0.0, ("the run did not end",))
    finished = results.last(ev.RunFinished) or not_ended
    base = results.last(ev.BaseKnown) or ev.BaseKnown("", "", "")
    known = results.last(ev.SeriesKnown)
    series = known or ev.SeriesKnown("", (), 0)
    config = results.last(ev.ConfigKnown) or ev.ConfigKnown("", "")
    accel = results.last(ev.AccelChosen) or ev.AccelChosen("", "")
    pace = results.last(ev.PaceMeasured) or ev.PaceMeasured(0.0, 0.0, 1.0)
    chosen = results.last(ev.CasesChosen) or ev.CasesChosen(1, 1, ())
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
        "kernel": {"version": base.version, "base": base.base, "commit": base.commit},
        "series": {
            "name": data.name if data else "",
            "source": series.source,
            "total": series.total,
            "patches": [{"subject": p.subject, "patch_id": p.patch_id} for p in series.patches],
        },
        "config": {"name": config.name, "sha256": config.sha256},
        "accel": accel.accel,
        "accel_reason": accel.reason,
        "stages": [_stage(s) for s in results.all(ev.StageEnded)],
        "boot_ids": list(dict.fromkeys(b.boot_id for b in boots)),
        "boots": [_boot(b) for b in boots],
        "pace": {
            "seconds": pace.seconds,
            "reference": pace.reference,
            "factor": round(pace.factor, 2),
        },
        "shard": {"number": chosen.shard, "of": chosen.of, "cases": [str(c) for c in chosen.cases]},
        "guests_lost": [
            {"reason": g.reason, "test": str(g.test or "")} for g in results.all(ev.GuestLost)
        ],
        "tests": [_test(t) for t in tests],
        "repeats": [
            {"id": str(r.id), "passed": r.passed, "runs": r.runs}
            for r in results.all(ev.CaseRepeated)
        ],
        "splats": results.complaints(),
        "foreign_splats": [_splat(s) for s in results.all(ev.SplatSeen) if s.foreign],
        "coverage": _coverage(results.last(ev.ChangeCoverage)),
        "clauses": judge(data.clauses, len(series.patches), tests) if data and known else {},
        "canaries": [_canary(c) for c in results.all(ev.CanaryFinished)],
        "notes": [n.text for n in results.all(ev.Note)],
    }
