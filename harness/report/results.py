# SPDX-License-Identifier: GPL-2.0-only
"""Folds a run's events into ``results.json`` (schema 1, described in docs/results.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Generic, NotRequired, TypedDict, TypeVar, cast

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
    """``verdict``: pass, fail, untested or not_applicable; ``tests``: ids of its cases."""

    verdict: str
    reason: str
    tests: list[str]


class ShardRecord(TypedDict):
    """Which part of the cases a run had; ``cases``: the ids of the whole selection."""

    number: int
    of: int
    cases: list[str]


class PatchRecord(TypedDict):
    """An applied patch in ``results.json``."""

    subject: str
    patch_id: str


class SeriesRecord(TypedDict):
    """What was applied, of how many patches in all, and where it came from."""

    name: str
    source: str
    total: int
    patches: list[PatchRecord]


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
    series: SeriesRecord
    config: dict[str, str]
    accel: str
    accel_reason: str
    stages: list[StageRecord]
    boot_ids: list[str]
    boots: list[dict[str, object]]
    pace: dict[str, float]
    shard: ShardRecord
    guests_lost: list[dict[str, str]]
    tests: list[CaseRecord]
    repeats: list[RepeatRecord]
    splats: list[SplatRecord]
    foreign_splats: list[SplatRecord]
    clauses: dict[str, ClauseRecord]
    canaries: list[dict[str, object]]
    notes: list[str]


@dataclass(frozen=True)
class Complaint:
    """An unexpected splat, and its decoding where there is one."""

    splat: ev.SplatSeen
    decoded: ev.SplatDecoded | None


E = TypeVar("E", bound=ev.Event)


class _All(Generic[E]):
    """Of a run's results: the events of one class, in order."""

    def __init__(self, kind: type[E]) -> None:
        self.kind = kind

    def __get__(self, results: Results, _: type[Results]) -> list[E]:
        return cast(list[E], results.events.setdefault(self.kind, []))


class _Last(_All[E]):
    """Of a run's results: the last event of one class."""

    def __get__(self, results: Results, owner: type[Results]) -> E | None:  # type: ignore[override]
        return next(reversed(super().__get__(results, owner)), None)


class Results:
    """A consumer of events that remembers what the reports need."""

    run = _Last(ev.RunStarted)
    base = _Last(ev.BaseKnown)
    series = _Last(ev.SeriesKnown)
    config = _Last(ev.ConfigKnown)
    accel = _Last(ev.AccelChosen)
    stages = _All(ev.StageEnded)
    boots = _All(ev.GuestBooted)
    pace = _Last(ev.PaceMeasured)
    lost = _All(ev.GuestLost)
    chosen = _Last(ev.CasesChosen)
    tests = _All(ev.CaseFinished)
    repeated = _All(ev.CaseRepeated)
    splats = _All(ev.SplatSeen)
    decoded = _All(ev.SplatDecoded)
    canaries = _All(ev.CanaryFinished)
    notes = _All(ev.Note)
    finished = _Last(ev.RunFinished)

    def __init__(self) -> None:
        self.events: dict[type[ev.Event], list[ev.Event]] = {}

    def __call__(self, event: ev.Event) -> None:
        kind = ev.StageEnded if isinstance(event, ev.StageEnded) else type(event)
        if kind is not ev.StageProgress:
            self.events.setdefault(kind, []).append(event)

    def complaints(self) -> list[Complaint]:
        """What the kernel said that no test asked for."""
        decoded = {event.splat: event for event in self.decoded}
        ours = [splat for splat in self.splats if not splat.expected and not splat.foreign]
        return [Complaint(splat, decoded.get(splat.id)) for splat in ours]

    def failures(self) -> list[ev.CaseFinished]:
        """The cases that break the run."""
        return [t for t in self.tests if t.status in BROKEN]


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
    if isinstance(stage, ev.StageFailed):
        return {"name": stage.name, "seconds": seconds, "cached": False, "failed": stage.kind,
                "detail": stage.message}  # fmt: skip
    assert isinstance(stage, ev.StageFinished)
    return {"name": stage.name, "seconds": seconds, "cached": stage.cached,
            "detail": stage.detail}  # fmt: skip


def _shard(chosen: ev.CasesChosen | None) -> ShardRecord:
    if chosen is None:
        return {"number": 1, "of": 1, "cases": []}
    return {"number": chosen.shard, "of": chosen.of, "cases": [str(case) for case in chosen.cases]}


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


def _splat(complaint: Complaint) -> SplatRecord:
    splat, decoded = complaint.splat, complaint.decoded
    return {
        "title": splat.title,
        "category": splat.category,
        "test": str(splat.test or ""),
        "text": decoded.text if decoded else splat.text,
        "decoded": decoded.how if decoded else "",
        "foreign": splat.foreign or "",
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
            "patches": [
                {"subject": patch.subject, "patch_id": patch.patch_id} for patch in series.patches
            ],
        },
        "config": {"name": config.name, "sha256": config.sha256},
        "accel": accel.accel,
        "accel_reason": accel.reason,
        "stages": [_stage(s) for s in results.stages],
        "boot_ids": list(dict.fromkeys(b.boot_id for b in results.boots)),
        "boots": [{**asdict(b), "seconds": round(b.seconds, 3)} for b in results.boots],
        "pace": {**asdict(pace), "factor": round(pace.factor, 2)},
        "shard": _shard(results.chosen),
        "guests_lost": [{"reason": g.reason, "test": str(g.test or "")} for g in results.lost],
        "tests": [_test(t) for t in results.tests],
        "repeats": [
            {"id": str(r.id), "passed": r.passed, "runs": r.runs} for r in results.repeated
        ],
        "splats": [_splat(s) for s in results.complaints()],
        "foreign_splats": [_splat(Complaint(s, None)) for s in results.splats if s.foreign],
        "clauses": verdicts,
        "canaries": [{**asdict(c), "seconds": round(c.seconds, 3)} for c in results.canaries],
        "notes": [n.text for n in results.notes],
    }
