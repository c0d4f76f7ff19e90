# SPDX-License-Identifier: GPL-2.0-only
"""The results of the shards of one state as if its cases had run in one go. Pure functions.

The order of the cases is that of the whole selection, which every shard's results name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.core import events as ev
from harness.detectors import soundness
from harness.report.results import (
    BROKEN,
    CaseRecord,
    RunDocument,
    SplatRecord,
    StageRecord,
    clause_records,
    judge,
)
from harness.run.session import JUDGED
from harness.series.contract import SeriesData

# Of two records of one case that every shard makes, the worse one counts.
WORST = ("fail", "error", "timeout", "pass", "skip", "not_applicable")


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
    records = [
        ev.CaseFinished(t["id"], t["status"], t["reason"], t["seconds"], tuple(t["clauses"]))
        for t in tests
    ]
    clauses = judge(data.clauses, len(first["series"]["patches"]), records)
    reached = any(shard["clauses"] for shard in shards)
    error = list(dict.fromkeys(line for shard in shards for line in shard["error"]))
    # As of a run in one go: what ended a shard early, else what broke.
    verdict, code = next(
        ((s["verdict"], s["exit_code"]) for s in shards if s["exit_code"] not in JUDGED),
        ("pass", 0),
    )
    if code == 0 and (error or splats or any(test["status"] in BROKEN for test in tests)):
        verdict, code = "fail", 1
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
        "clauses": clause_records(clauses) if reached else {},
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
        return (2 if name.startswith("kernel::") else 0), 0

    tests = []
    for name in sorted(found, key=place):
        records = sorted(found[name], key=lambda t: WORST.index(t["status"]))
        test = records[0]
        if len(records) > 1 and sound in test["clauses"]:
            test = soundness.merged(records, splats)
        tests.append(test)
    return tests


def _stages(shards: Sequence[RunDocument]) -> list[StageRecord]:
    """Each stage once: the failed one where a shard has one, else the one that did the work."""
    found: dict[str, list[StageRecord]] = {}
    for shard in shards:
        for stage in shard["stages"]:
            found.setdefault(stage["name"], []).append(stage)
    return [min(same, key=lambda s: (not s.get("failed"), s["cached"])) for same in found.values()]
