# SPDX-License-Identifier: GPL-2.0-only
"""The results of the shards of one state as if its cases had run in one go. Pure functions.

A cell that was run twice counts once: the later run. The order of the cases is that of
the whole selection, which every shard's results name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness import events as ev
from harness import soundness
from harness.contract import SeriesData
from harness.plan import Cell, parse
from harness.results import BROKEN, judge

COMMANDS = ("test-kernel", "static-checks")  # what a cell is; others have cells of their own

# Of two records of one case that every shard makes, the worse one counts.
WORST = ("fail", "error", "timeout", "pass", "skip", "not_applicable")


def cells_of(documents: Iterable[dict[str, Any]]) -> dict[Cell, dict[str, Any]]:
    """Each cell's results; of two runs of a cell the one that began later."""
    found: dict[Cell, dict[str, Any]] = {}
    for document in sorted(documents, key=lambda d: str(d["run"])):
        name = document["asked"].get("CELL", "")
        if name and document["command"] in COMMANDS:
            found[parse(name)] = document
    return found


def state(shards: Sequence[dict[str, Any]], data: SeriesData) -> dict[str, Any]:
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
        **_verdict(shards, tests, splats),
    }


def _selection(shards: Sequence[dict[str, Any]]) -> list[str]:
    """All cases in order. A shard that never came to its cases names none."""
    return next((s["shard"]["cases"] for s in shards if s["shard"]["cases"]), [])


def _tests(
    shards: Sequence[dict[str, Any]],
    order: Mapping[str, int],
    splats: Sequence[dict[str, Any]],
    sound: str | None,
) -> list[dict[str, Any]]:
    """Records of the host first, then the cases, then what is said of the kernel as a whole."""
    found: dict[str, list[dict[str, Any]]] = {}
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


def _clauses(
    tests: Iterable[dict[str, Any]], data: SeriesData, applied: int
) -> dict[str, dict[str, Any]]:
    records = [
        ev.CaseFinished(t["id"], t["status"], t["reason"], t["seconds"], tuple(t["clauses"]))
        for t in tests
    ]
    return {
        name: {"verdict": v.verdict, "reason": v.reason, "tests": list(v.tests)}
        for name, v in judge(data.clauses, applied, records).items()
    }


def _stages(shards: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each stage once: the failed one where a shard has one, else the one that did the work."""
    found: dict[str, list[dict[str, Any]]] = {}
    for shard in shards:
        for stage in shard["stages"]:
            found.setdefault(stage["name"], []).append(stage)
    return [min(same, key=lambda s: (not s.get("failed"), s["cached"])) for same in found.values()]


def _verdict(
    shards: Sequence[dict[str, Any]],
    tests: Sequence[dict[str, Any]],
    splats: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """As of a run in one go: what ended a shard early, else what broke."""
    for shard in shards:
        if shard["exit_code"] not in (0, 1):
            return {"verdict": shard["verdict"], "exit_code": shard["exit_code"]}
    early = any(shard["error"] for shard in shards)
    broken = any(test["status"] in BROKEN for test in tests)
    if early or broken or splats:
        return {"verdict": "fail", "exit_code": 1}
    return {"verdict": "pass", "exit_code": 0}


def missing(plan: Iterable[Cell], have: Iterable[Cell]) -> list[Cell]:
    """The cells of a plan that no results are there for."""
    there = set(have)
    return [cell for cell in plan if cell not in there]
