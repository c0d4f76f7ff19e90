# SPDX-License-Identifier: GPL-2.0-only
"""Folds a run's events into ``results.json`` (schema 1, described in docs/results.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NotRequired, TypedDict

from harness.core import events as ev
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
    """A clause's verdict in ``results.json``."""

    verdict: str
    reason: str
    tests: list[str]


class ShardRecord(TypedDict):
    """Which part of the cases a run had; ``cases``: the ids of the whole selection."""

    number: int
    of: int
    cases: list[str]


class RunDocument(TypedDict):
    """``results.json``, schema 1, as docs/results.md describes it."""

    schema: int
    verdict: ev.Verdict
    exit_code: int
    error: list[str]
    run: str
    command: str
    asked: dict[str, str]
    seconds: float
    kernel: dict[str, str]
    series: dict[str, Any]
    config: dict[str, str]
    accel: str
    accel_reason: str
    stages: list[StageRecord]
    boot_ids: list[str]
    boots: list[dict[str, Any]]
    pace: dict[str, float]
    shard: ShardRecord
    guests_lost: list[dict[str, str]]
    tests: list[CaseRecord]
    repeats: list[RepeatRecord]
    splats: list[SplatRecord]
    foreign_splats: list[SplatRecord]
    clauses: dict[str, ClauseRecord]
    canaries: list[dict[str, Any]]
    notes: list[str]


@dataclass(frozen=True)
class Complaint:
    """An unexpected splat, and its decoding where there is one."""

    splat: ev.SplatSeen
    decoded: ev.SplatDecoded | None


@dataclass
class Results:
    """A consumer of events that remembers what the reports need."""

    run: ev.RunStarted | None = None
    base: ev.BaseKnown | None = None
    series: ev.SeriesKnown | None = None
    config: ev.ConfigKnown | None = None
    accel: ev.AccelChosen | None = None
    stages: list[ev.StageFinished | ev.StageFailed] = field(default_factory=list)
    boots: list[ev.GuestBooted] = field(default_factory=list)
    pace: ev.PaceMeasured | None = None
    lost: list[ev.GuestLost] = field(default_factory=list)
    chosen: ev.CasesChosen | None = None
    tests: list[ev.CaseFinished] = field(default_factory=list)
    repeated: list[ev.CaseRepeated] = field(default_factory=list)
    splats: list[ev.SplatSeen] = field(default_factory=list)
    decoded: dict[int, ev.SplatDecoded] = field(default_factory=dict)
    canaries: list[ev.CanaryFinished] = field(default_factory=list)
    notes: list[ev.Note] = field(default_factory=list)
    finished: ev.RunFinished | None = None

    def __call__(self, event: ev.Event) -> None:
        match event:
            case ev.RunStarted():
                self.run = event
            case ev.BaseKnown():
                self.base = event
            case ev.SeriesKnown():
                self.series = event
            case ev.ConfigKnown():
                self.config = event
            case ev.AccelChosen():
                self.accel = event
            case ev.StageFinished() | ev.StageFailed():
                self.stages.append(event)
            case ev.GuestBooted():
                self.boots.append(event)
            case ev.PaceMeasured():
                self.pace = event
            case ev.GuestLost():
                self.lost.append(event)
            case ev.CasesChosen():
                self.chosen = event
            case ev.CaseFinished():
                self.tests.append(event)
            case ev.CaseRepeated():
                self.repeated.append(event)
            case ev.SplatSeen():
                self.splats.append(event)
            case ev.SplatDecoded():
                self.decoded[event.index] = event
            case ev.CanaryFinished():
                self.canaries.append(event)
            case ev.Note():
                self.notes.append(event)
            case ev.RunFinished():
                self.finished = event
            case _:
                pass

    def complaints(self) -> list[Complaint]:
        """What the kernel said that no test asked for."""
        return [
            Complaint(splat, self.decoded.get(index))
            for index, splat in enumerate(self.splats)
            if not splat.expected and not splat.foreign
        ]

    def foreign(self) -> list[Complaint]:
        """What the kernel said that does not count against the series."""
        return [Complaint(splat, None) for splat in self.splats if splat.foreign]

    def failures(self) -> list[ev.CaseFinished]:
        """The cases that break the run."""
        return [t for t in self.tests if t.status in BROKEN]


@dataclass(frozen=True)
class ClauseVerdict:
    """``verdict``: pass, fail, untested or not_applicable; ``tests``: ids of its cases."""

    verdict: str
    reason: str
    tests: tuple[str, ...]


def judge_clause(clause: Clause, applied: int, tests: Iterable[ev.CaseFinished]) -> ClauseVerdict:
    """One clause's verdict from the records of the cases that name it.

    A failure outweighs any pass. A clause that this many patches do not promise
    is not applicable whatever ran.
    """
    named = [t for t in tests if clause.id in t.clauses]
    ids = tuple(t.id for t in named)
    if applied < clause.holds_from:
        reason = f"holds from patch {clause.holds_from}; {applied} applied"
        return ClauseVerdict("not_applicable", reason, ids)
    broken = [t for t in named if t.status in BROKEN]
    if broken:
        return ClauseVerdict("fail", f"{broken[0].id}: {broken[0].reason}", ids)
    passed = [t for t in named if t.status == "pass"]
    if passed:
        return ClauseVerdict("pass", "", ids)
    if named:
        if all(t.status == "not_applicable" for t in named):
            return ClauseVerdict("not_applicable", named[0].reason, ids)
        reason = f"{named[0].status.replace('_', ' ')}: {named[0].reason}"
        return ClauseVerdict("untested", reason, ids)
    return ClauseVerdict("untested", "no case that ran names it", ids)


def judge(
    clauses: Mapping[str, Clause], applied: int, tests: Iterable[ev.CaseFinished]
) -> dict[str, ClauseVerdict]:
    """All clauses' verdicts, in the contract's order."""
    records = list(tests)
    return {name: judge_clause(clause, applied, records) for name, clause in clauses.items()}


def _stage(stage: ev.StageFinished | ev.StageFailed) -> StageRecord:
    seconds = round(stage.seconds, 3)
    if isinstance(stage, ev.StageFinished):
        return {"name": stage.name, "seconds": seconds, "cached": stage.cached,
                "detail": stage.detail}  # fmt: skip
    return {"name": stage.name, "seconds": seconds, "cached": False, "failed": stage.kind,
            "detail": stage.message}  # fmt: skip


def _shard(chosen: ev.CasesChosen | None) -> ShardRecord:
    if chosen is None:
        return {"number": 1, "of": 1, "cases": []}
    return {"number": chosen.shard, "of": chosen.of, "cases": list(chosen.cases)}


def _test(test: ev.CaseFinished) -> CaseRecord:
    return {
        "id": test.id,
        "status": test.status,
        "reason": test.reason,
        "seconds": round(test.seconds, 3),
        "clauses": list(test.clauses),
        "attempt": test.attempt,
        "about": test.about,
        "diagnostics": list(test.diagnostics),
    }


def _splat(complaint: Complaint) -> SplatRecord:
    splat, decoded = complaint.splat, complaint.decoded
    return {
        "title": splat.title,
        "category": splat.category,
        "test": splat.test,
        "text": decoded.text if decoded else splat.text,
        "decoded": decoded.how if decoded else "",
        "foreign": splat.foreign,
    }


def clause_records(verdicts: Mapping[str, ClauseVerdict]) -> dict[str, ClauseRecord]:
    """Verdicts of clauses as ``results.json`` has them."""
    return {
        name: {"verdict": v.verdict, "reason": v.reason, "tests": list(v.tests)}
        for name, v in verdicts.items()
    }


# What stands for an event that did not come.
NO_RUN = ev.RunStarted("", "", "", {})
NOT_ENDED = ev.RunFinished("infra", 70, 0.0, ("the run did not end",))


def document(results: Results, data: SeriesData | None) -> RunDocument:
    """``results.json``; parts that the run did not reach are empty."""
    run, finished = results.run or NO_RUN, results.finished or NOT_ENDED
    base = results.base or ev.BaseKnown("", "", "")
    series = results.series or ev.SeriesKnown("", (), 0)
    config = results.config or ev.ConfigKnown("", "")
    accel = results.accel or ev.AccelChosen("", "")
    pace = results.pace or ev.PaceMeasured(0.0, 0.0, 1.0)
    verdicts = (
        judge(data.clauses, len(series.patches), results.tests) if data and results.series else {}
    )
    return {
        "schema": SCHEMA,
        "verdict": finished.verdict,
        "exit_code": finished.exit_code,
        "error": list(finished.error),
        "run": run.run_id,
        "command": run.command,
        "asked": run.asked,
        "seconds": round(finished.seconds, 3),
        "kernel": {"version": base.version, "base": base.base, "commit": base.commit},
        "series": {
            "name": data.name if data else "",
            "source": series.source,
            "total": series.total,
            "patches": [asdict(patch) for patch in series.patches],
        },
        "config": {"name": config.name, "sha256": config.sha256},
        "accel": accel.accel,
        "accel_reason": accel.reason,
        "stages": [_stage(s) for s in results.stages],
        "boot_ids": list(dict.fromkeys(b.boot_id for b in results.boots)),
        "boots": [{**asdict(b), "seconds": round(b.seconds, 3)} for b in results.boots],
        "pace": {**asdict(pace), "factor": round(pace.factor, 2)},
        "shard": _shard(results.chosen),
        "guests_lost": [{"reason": g.reason, "test": g.test} for g in results.lost],
        "tests": [_test(t) for t in results.tests],
        "repeats": [{"id": r.id, "passed": r.passed, "runs": r.runs} for r in results.repeated],
        "splats": [_splat(s) for s in results.complaints()],
        "foreign_splats": [_splat(s) for s in results.foreign()],
        "clauses": clause_records(verdicts),
        "canaries": [{**asdict(c), "seconds": round(c.seconds, 3)} for c in results.canaries],
        "notes": [n.text for n in results.notes],
    }
