# SPDX-License-Identifier: GPL-2.0-only
"""``make merge``: the verdict on a revision from the results that its cells left below OUT=."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from harness.commands.ci.plan import PLAN, PREVIOUS, STATICS, PlanCell, parse, read_plan
from harness.commands.revision.inputs import Inputs
from harness.commands.revision.page import write
from harness.commands.revision.reply import reply, verdict
from harness.commands.revision.verdict import Revision, RevisionRuns, conclude
from harness.core import events as ev
from harness.core.atomic import write_atomically
from harness.core.errors import InvocationError, MachineError
from harness.core.settings import Settings
from harness.core.usage import command
from harness.detectors import soundness
from harness.report.files import junit
from harness.report.results import (
    BROKEN,
    CaseRecord,
    RunDocument,
    SplatRecord,
    StageRecord,
    judge,
)
from harness.report.states import state_of
from harness.run.session import RunResult, read_results
from harness.run.verdict import JUDGED, worst
from harness.series.contract import SeriesData, load

MERGED = "merged"
COMMANDS = ("test-kernel", "static-checks")  # what a cell is; others have cells of their own
# Of two records of one case that every shard makes, the worse one counts.
WORST = ("fail", "error", "timeout", "pass", "skip", "not_applicable")


@dataclass(frozen=True)
class CellGroup:
    """All that was run on one kernel in one flavour."""

    name: str
    inputs: Inputs
    runs: RevisionRuns
    documents: dict[str, RunDocument]


def cells_of(out: Path) -> dict[PlanCell, RunResult]:
    """Each cell's results below ``out``, at any depth as artefacts of jobs may lie.

    Of two runs of a cell the one counts that began later.
    """
    paths = (p for p in out.rglob("results.json") if MERGED not in p.relative_to(out).parts)
    found: dict[PlanCell, RunResult] = {}
    for result in sorted(read_results(paths), key=lambda r: r.document["run"]):
        name = result.document["asked"].get("CELL", "")
        if name and result.document["command"] in COMMANDS:
            found[parse(name)] = result
    return found


def grouped(
    groups: dict[str, Inputs], planned: Sequence[PlanCell], have: dict[PlanCell, RunResult],
    data: SeriesData,
) -> Iterator[CellGroup]:  # fmt: skip
    """What is there of each kernel and flavour; a state counts where all its shards are there.

    As in one go, nothing is said of what comes after a state that is missing.
    """
    for name in dict.fromkeys(cell.group for cell in planned):
        mine = [cell for cell in planned if cell.group == name]
        inputs = groups[mine[0].kernel]
        documents: dict[str, RunDocument] = {}
        for at in dict.fromkeys(cell.state for cell in mine if cell.state != STATICS):
            shards = [cell for cell in mine if cell.state == at]
            if all(cell in have for cell in shards):
                documents[at] = merged_shards([have[cell].document for cell in shards], data)
        steps: list[RunDocument] = []
        for count in range(len(inputs.patches) + 1):
            if f"p{count}" not in documents:
                break
            steps.append(documents[f"p{count}"])
            state = state_of(count, inputs.name_of(count), steps[-1])
            if state.exit_code not in JUDGED or not state.applies:
                break
        if steps:
            runs = RevisionRuns(steps, documents.get(PREVIOUS))
            for cell, result in have.items():
                if cell.state == STATICS and cell.kernel == mine[0].kernel:
                    runs.add_statics(result.out)
            yield CellGroup(name, inputs, runs, documents)


def merge(settings: Settings, console: Console) -> int:
    """Judges what the cells left below OUT=, writes ``out/merged/``; the worst exit status.

    Raises:
        InvocationError: there is no plan.
        MachineError: cells of the plan have no results; what there is was written.
    """
    plan = read_plan(settings.out)
    if plan is None:
        raise InvocationError(
            f"{settings.out / PLAN} is not there", next_step=f"{command('plan')}, then its cells"
        )
    planned = [parse(row.cell) for row in plan.cells]
    have = cells_of(settings.out)
    data = load(settings.project)
    out = settings.out / MERGED
    verdicts: dict[str, Revision] = {}
    for group in grouped(plan.groups, planned, have, data):
        whole = conclude(group.inputs, group.runs)
        verdicts[group.name] = whole
        folder = out / group.name
        write(whole, group.runs, folder, group.runs.steps[0]["asked"])
        for at, document in group.documents.items():
            (folder / at).mkdir(exist_ok=True)
            write_atomically(folder / at / "results.json", json.dumps(document, indent=1) + "\n")
            write_atomically(folder / at / "junit.xml", junit(document))
        console.print(f"\n{group.name}\n{reply(whole)}", markup=False, soft_wrap=True)
    lost = [cell for cell in planned if cell not in have]
    out.mkdir(parents=True, exist_ok=True)
    text = "\n".join(summary_lines(verdicts, lost)) + "\n"
    write_atomically(out / "summary.md", text)
    console.print(f"results: {out}", markup=False)
    if lost:
        where = {"OUT": str(settings.out)} if settings.out != Path("out").absolute() else {}
        names = "\n".join(cell.name for cell in lost)
        raise MachineError(
            f"{len(lost)} of {len(planned)} cells left no results:\n{names}",
            evidence=out / "summary.md",
            next_step=f"{settings.command('cell', CELL=lost[0].name, **where)}\n"
            f"{settings.command('merge', **where)}",
        )
    return worst(whole.exit_code for whole in verdicts.values())


def summary_lines(verdicts: dict[str, Revision], lost: Sequence[PlanCell]) -> Iterator[str]:
    """``summary.md``: the verdicts of all kernels and flavours, for the page of a CI job."""
    yield "| kernel and flavour | verdict | broken after |"
    yield "| --- | --- | --- |"
    for name, whole in verdicts.items():
        bad = ", ".join(map(str, whole.bad_patches)) or "none"
        yield f"| {name} | {verdict(whole)} | {bad} |"
    if lost:
        yield ""
        yield f"**No results of {len(lost)} cells:** {', '.join(cell.name for cell in lost)}"
    for name, whole in verdicts.items():
        yield ""
        yield f"<details><summary>{name}</summary>"
        yield ""
        yield from (f"    {line}".rstrip() for line in reply(whole).splitlines())
        yield ""
        yield "</details>"


def merged_shards(shards: Sequence[RunDocument], data: SeriesData) -> RunDocument:
    """One ``results.json`` for all shards of one state, as if its cases had run in one go.

    The order of the cases is that of the whole selection, which every shard's results name.
    """
    shards = sorted(shards, key=lambda d: int(d["shard"]["number"]))
    if len(shards) == 1:
        return shards[0]
    first = shards[0]
    # A shard that never came to its cases names none.
    selection = next((s["shard"]["cases"] for s in shards if s["shard"]["cases"]), [])
    order = {case: at for at, case in enumerate(selection)}
    splats = [splat for shard in shards for splat in shard["splats"]]
    splats.sort(key=lambda splat: order.get(splat["test"], len(order)))
    tests = _tests(shards, order, splats, data.sound)
    records = [
        ev.CaseFinished(
            ev.CaseId.parse(t["id"]), t["status"], t["reason"], t["seconds"], tuple(t["clauses"])
        )
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
        "clauses": clauses if reached else {},
        "notes": list(dict.fromkeys(note for shard in shards for note in shard["notes"])),
        "verdict": verdict,
        "exit_code": code,
    }


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


def _stages(shards: Sequence[RunDocument]) -> list[StageRecord]:
    """Each stage once: the failed one where a shard has one, else the one that did the work."""
    found: dict[str, list[StageRecord]] = {}
    for shard in shards:
        for stage in shard["stages"]:
            found.setdefault(stage["name"], []).append(stage)
    return [min(same, key=lambda s: (not s.get("failed"), s["cached"])) for same in found.values()]
