# SPDX-License-Identifier: GPL-2.0-only
"""The results of the shards of one state as if its cases had run in one go. Pure functions.

A cell that was run twice counts once: the later run. The order of the cases is that of
the whole selection, which every shard's results name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from harness.commands.ci.plan import PlanCell, parse
from harness.core import events as ev
from harness.detectors import soundness
from harness.report.results import (
    BROKEN,
    CaseRecord,
    ClauseRecord,
    RunDocument,
    SplatRecord,
    StageRecord,
    judge,
)
from harness.run.session import RunResult
from harness.series.contract import SeriesData

COMMANDS = ("test-kernel", "static-checks")  # what a cell is; others have cells of their own

# Of two records of one case that every shard makes, the worse one counts.
WORST = ("fail", "error", "timeout", "pass", "skip", "not_applicable")


def cells_of(results: Iterable[RunResult]) -> dict[PlanCell, RunResult]:
    """Each cell's results; of two runs of a cell the one that began later."""
    found: dict[PlanCell, RunResult] = {}
    for result in sorted(results, key=lambda r: r.document["run"]):
        name = result.document["asked"].get("CELL", "")
        if name and result.document["command"] in COMMANDS:
            found[parse(name)] = result
    return found


def state(shards: Sequence[RunDocument], data: SeriesData) -> RunDocument:
    """One ``results.json`` for all shards of one state; of a single shard its own."""
    shards = sorted(shards, key=lambda d: int(d["shard"]["number"]))
    if len(shards) == 1:
        return shards[0]
    first = shards[0]
    order = {case: at for at, case in enumerate(_selection(shards))}
    splats = [splat for shard in shards for splat in shard["splats"]]
    splats.sort(key=lambda splat: order.get(splat["test"], len(order)))
    tests = _tests(shards, order, splats, data.sound)
    applied = len(first["series"]["patches"])
    reached = any(shard["clauses"] for shard in shards)
    error = list(dict.fromkeys(line for shard in shards for line in shard["error"]))
    verdict, code = _verdict(shards, tests, splats)
    return {
        **first,
        "error": error,
        "seconds": round(sum(shard["seconds"] for shard in shards), 3),
        "stages": _stages(shards),
        "shard": {"number": 1, "of": 1, "cases": list(order)},
        "guests_lost": [lost for shard in shards for lost in shard["guests_lost"]],
        "boots": [boot for shard in shards for boot in shard["boots"]],
        "boot_ids": list(dict.fromkeys(i for shard in shards for i in shard["boot_ids"])),
        "tests": tests,
        "repeats": [record for shard in shards for record in shard["repeats"]],
        "splats": splats,
        "foreign_splats": [splat for shard in shards for splat in shard["foreign_splats"]],
        "clauses": _clauses(tests, data, applied) if reached else {},
        "notes": list(dict.fromkeys(note for shard in shards for note in shard["notes"])),
        "verdict": verdict,
        "exit_code": code,
    }


def _selection(shards: Sequence[RunDocument]) -> list[str]:
    """All cases in order. A shard that never came to its cases names none."""
    return next((s["shard"]["cases"] for s in shards if s["shard"]["cases"]), [])


def _tests(
    shards: Sequence[RunDocument],
    order: Mapping[str, int],
    splats: Sequence[SplatRecord],
    sound: str | None,
) -> list[CaseRecord]:
    """Records of the host first, then the cases, then what is said of the kernel as a whole."""
    found: dict[str, list[CaseRecord]] = {}
    for shard in shards:
        for test in shard["tests"]:
            found.setdefault(test["id"], []).append(test)

    def place(name: str) -> tuple[int, int]:
        if name in order:
            return 1, order[name]
        return (2 if ev.CaseId.parse(name).kind == "kernel" else 0), 0

    tests = []
    for name in sorted(found, key=place):
        records = sorted(found[name], key=lambda t: WORST.index(t["status"]))
        test = records[0]
        if len(records) > 1 and sound in test["clauses"]:
            test = soundness.merged(records, splats)
        tests.append(test)
    return tests


def _clauses(
    tests: Iterable[CaseRecord], data: SeriesData, applied: int
) -> dict[str, ClauseRecord]:
    records = [
        ev.CaseFinished(
            ev.CaseId.parse(t["id"]), t["status"], t["reason"], t["seconds"], tuple(t["clauses"])
        )
        for t in tests
    ]
    return judge(data.clauses, applied, records)


def _stages(shards: Sequence[RunDocument]) -> list[StageRecord]:
    """Each stage once: the failed one where a shard has one, else the one that did the work."""
    found: dict[str, list[StageRecord]] = {}
    for shard in shards:
        for stage in shard["stages"]:
            found.setdefault(stage["name"], []).append(stage)
    return [min(same, key=lambda s: (not s.get("failed"), s["cached"])) for same in found.values()]


def _verdict(
    shards: Sequence[RunDocument],
    tests: Sequence[CaseRecord],
    splats: Sequence[SplatRecord],
) -> tuple[ev.Verdict, int]:
    """As of a run in one go: what ended a shard early, else what broke."""
    for shard in shards:
        if shard["exit_code"] not in (0, 1):
            return shard["verdict"], shard["exit_code"]
    early = any(shard["error"] for shard in shards)
    broken = any(test["status"] in BROKEN for test in tests)
    if early or broken or splats:
        return "fail", 1
    return "pass", 0


def missing(plan: Iterable[PlanCell], have: Iterable[PlanCell]) -> list[PlanCell]:
    """The cells of a plan that no results are there for."""
    there = set(have)
    return [cell for cell in plan if cell not in there]
