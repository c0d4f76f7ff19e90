# SPDX-License-Identifier: GPL-2.0-only
"""The fields of ``results.json``, schema 2; docs/results.md has them in words."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from harness.core import events as ev


class StageRecord(TypedDict):
    """A stage in ``results.json``; ``failed``: the kind of the error that ended it."""

    name: str
    seconds: float
    cached: bool
    detail: str
    failed: NotRequired[str]


class CaseRecord(TypedDict):
    """A case's record in ``results.json``; ``seconds`` as the guest took them.

    ``finding``: of a broken one, the id of the failure.
    """

    id: str
    status: ev.Status
    reason: str
    seconds: float
    clauses: list[str]
    attempt: int
    about: str
    diagnostics: list[str]
    finding: NotRequired[str]


class RepeatRecord(TypedDict):
    """How often a case passed when it was run again."""

    id: str
    passed: int
    runs: int


class SplatRecord(TypedDict):
    """What the kernel said; '' for a ``test``, ``decoded`` or ``patch`` that is none.

    ``finding``: its id.
    ``patch``: the one whose line it names, as '2 (its subject), mm/mincore.c:233'.
    """

    title: str
    category: str
    test: str
    text: str
    decoded: str
    patch: str
    foreign: str
    finding: NotRequired[str]


class ClauseRecord(TypedDict):
    """``verdict``: pass, fail, untested or not_applicable; ``tests``: ids of its cases."""

    verdict: str
    reason: str
    tests: list[str]


class SeriesRecord(TypedDict):
    """What was applied, of how many patches in all."""

    name: str
    source: str
    total: int
    patches: list[ev.PatchInfo]


class LostRecord(TypedDict):
    """A guest that was lost; ``test``: the id of the case that ran, '' for none."""

    reason: str
    test: str


class RunDocument(TypedDict):
    """``results.json``, schema 2, as docs/results.md describes it; what is there as it happened
    is the event.
    """

    schema: int
    verdict: ev.Verdict
    exit_code: int
    error: list[str]
    untested: list[str]
    run: str
    command: str
    asked: dict[str, str]
    seconds: float
    kernel: ev.BaseKnown
    series: SeriesRecord
    config: ev.ConfigKnown
    accel: str
    accel_reason: str
    stages: list[StageRecord]
    boot_ids: list[str]
    boots: list[ev.GuestBooted]
    pace: ev.PaceMeasured
    guests_lost: list[LostRecord]
    tests: list[CaseRecord]
    repeats: list[RepeatRecord]
    splats: list[SplatRecord]
    foreign_splats: list[SplatRecord]
    files: list[ev.TouchedFile]
    coverage: ev.ChangeCoverage | None
    clauses: dict[str, ClauseRecord]
    canaries: list[ev.CanaryFinished]
    notes: list[str]
