# SPDX-License-Identifier: GPL-2.0-only
"""``make merge``: the verdict on a revision from the results that its cells left below OUT=."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from harness.commands.ci.plan import PLAN, PREVIOUS, STATICS, PlanCell, parse, read_plan
from harness.commands.revision.inputs import Inputs
from harness.commands.revision.page import write
from harness.commands.revision.reply import reply, verdict
from harness.commands.revision.verdict import Revision, RevisionRuns, conclude
from harness.core import events as ev
from harness.core.atomic import write_atomically
from harness.core.command_table import command
from harness.core.errors import UNTESTED, InvocationError, MachineError, SeriesError
from harness.core.settings import Settings
from harness.detectors import soundness
from harness.report.files import junit, page_environment
from harness.report.records import CaseRecord, CoverageRecord, RunDocument, StageRecord
from harness.report.results import BROKEN, judge
from harness.report.untested import not_run_of
from harness.run.session import RunResult, read_results
from harness.run.states import SeriesState
from harness.run.verdict import JUDGED, worst
from harness.series.contract import SeriesData, load

MERGED = "merged"
COMMANDS = ("test-kernel", "static-checks")  # what a cell is; others have cells of their own
# Of two records of one case that every shard makes, the worse one counts.
CODES = {"pass": 0, "fail": SeriesError.exit_code, "untested": UNTESTED}
WORST = ("fail", "error", "timeout", "pass", "skip", "not_applicable")


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


def documents_of(
    cells: Sequence[PlanCell], have: dict[PlanCell, RunResult], data: SeriesData
) -> dict[str, RunDocument]:
    """What is there of one kernel and flavour: each state of which all shards are there."""
    documents = {}
    for at in dict.fromkeys(cell.state for cell in cells if cell.state != STATICS):
        shards = [cell for cell in cells if cell.state == at]
        if all(cell in have for cell in shards):
            documents[at] = merged_shards([have[cell].document for cell in shards], data)
    return documents


def steps_of(inputs: Inputs, documents: dict[str, RunDocument]) -> list[RunDocument]:
    """The states in order; as in one go, nothing is said of those after one that is missing."""
    steps: list[RunDocument] = []
    for count in range(len(inputs.patches) + 1):
        if f"p{count}" not in documents:
            break
        steps.append(documents[f"p{count}"])
        state = SeriesState(count, inputs.name_of(count), steps[-1])
        if steps[-1]["exit_code"] not in JUDGED or not state.applies:
            break
    return steps


def merge(settings: Settings, console: Console) -> int:
    """Judges what the cells left below OUT=, writes ``out/merged/``; the worst exit status.

    Raises:
        InvocationError: there is no plan.
        MachineError: cells of the plan have no results; what there is was written.
    """
    plan = read_plan(settings.out)
    if plan is None:
        step = f"{command('plan')}, then its cells"
        raise InvocationError(f"{settings.out / PLAN} is not there", next_step=step)
    planned, have = [parse(row.cell) for row in plan.cells], cells_of(settings.out)
    data, out = load(settings.project), settings.out / MERGED
    verdicts: dict[str, Revision] = {}
    for group in dict.fromkeys(cell.group for cell in planned):
        mine = [cell for cell in planned if cell.group == group]
        inputs, documents = plan.groups[mine[0].kernel], documents_of(mine, have, data)
        if not (steps := steps_of(inputs, documents)):
            continue
        runs = RevisionRuns(steps, documents.get(PREVIOUS))
        for cell, result in have.items():
            if cell.state == STATICS and cell.kernel == mine[0].kernel:
                runs.add_statics(result.out)
        whole = verdicts[group] = conclude(inputs, runs)
        write(whole, runs, out / group, steps[0]["asked"])
        for at, document in documents.items():
            folder = out / group / at
            folder.mkdir(exist_ok=True)
            write_atomically(folder / "results.json", json.dumps(document, indent=1) + "\n")
            write_atomically(folder / "junit.xml", junit(document))
        console.print(f"\n{group}\n{reply(whole)}", markup=False, soft_wrap=True)
    lost = [cell for cell in planned if cell not in have]
    out.mkdir(parents=True, exist_ok=True)
    environment = page_environment(Path(__file__).parent)
    environment.filters.update(verdict=verdict, reply=reply)
    page = environment.get_template("summary.md.j2").render(verdicts=verdicts, lost=lost)
    write_atomically(out / "summary.md", page)
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
    tests = []
    for same in _tests(shards, order):
        whole = len(same) > 1 and data.sound in same[0]["clauses"]
        tests.append(soundness.merged(same, splats) if whole else same[0])
    records = [
        ev.CaseFinished(
            ev.CaseId.parse(t["id"]), t["status"], t["reason"], t["seconds"], tuple(t["clauses"])
        )
        for t in tests
    ]
    reached = any(shard["clauses"] for shard in shards)
    error = _once(line for shard in shards for line in shard["error"])
    # As of a run in one go: what ended a shard early, else what broke.
    ended = next((s for s in shards if s["exit_code"] not in JUDGED), None)
    broken = error or splats or any(test["status"] in BROKEN for test in tests)
    coverage = _together(shards)
    # Where it was not measured, a shard without a case has run nothing; another's counts for all.
    ran = coverage is not None or any(s["verdict"] != "untested" for s in shards)
    untested = not_run_of(coverage) if ran else first["untested"]
    verdict: ev.Verdict = "fail" if broken else "untested" if untested else "pass"
    if ended:
        verdict = ended["verdict"]
    return {
        **first,
        "error": error,
        "seconds": round(sum(shard["seconds"] for shard in shards), 3),
        "stages": _stages(shards),
        "shard": {"number": 1, "of": 1, "cases": list(order)},
        "guests_lost": [lost for shard in shards for lost in shard["guests_lost"]],
        "boots": [boot for shard in shards for boot in shard["boots"]],
        "boot_ids": _once(i for shard in shards for i in shard["boot_ids"]),
        "tests": tests,
        "repeats": [record for shard in shards for record in shard["repeats"]],
        "splats": splats,
        "foreign_splats": [splat for shard in shards for splat in shard["foreign_splats"]],
        "clauses": judge(data.clauses, len(first["series"]["patches"]), records) if reached else {},
        "notes": _once(note for shard in shards for note in shard["notes"]),
        "verdict": verdict,
        "exit_code": ended["exit_code"] if ended else CODES[verdict],
        "coverage": coverage,
        "untested": untested if verdict == "untested" else [],
    }


def _together(shards: Sequence[RunDocument]) -> CoverageRecord | None:
    """What the shards have run of the change together; None where none measured it."""
    measured = [shard["coverage"] for shard in shards if shard["coverage"] is not None]
    if not measured:
        return None
    first = measured[0]
    missed = [f for f in first["not_reached"] if all(f in c["not_reached"] for c in measured)]
    idle = [at for at in first["lines_not_run"] if all(at in c["lines_not_run"] for c in measured)]
    excused = [f for f in first["excused"] if all(f in c["excused"] for c in measured)]
    return {
        **first,
        "functions_entered": first["functions"] - len(missed) - len(excused),
        "excused": excused,
        "lines_run": first["lines"] - len(idle),
        "not_reached": missed,
        "lines_not_run": idle,
    }


def _once(lines: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(lines))


def _tests(shards: Sequence[RunDocument], order: Mapping[str, int]) -> list[list[CaseRecord]]:
    """Each case's records, the one that counts first.

    Checks on the host stand first, then cases, then what is said of the kernel as a whole.
    """

    def place(test: CaseRecord) -> tuple[int, int]:
        if test["id"] in order:
            return 1, order[test["id"]]
        return (2 if ev.CaseId.parse(test["id"]).kind == "kernel" else 0), 0

    found: dict[str, list[CaseRecord]] = {}
    for test in sorted((test for shard in shards for test in shard["tests"]), key=place):
        found.setdefault(test["id"], []).append(test)
    return [sorted(same, key=lambda t: WORST.index(t["status"])) for same in found.values()]


def _stages(shards: Sequence[RunDocument]) -> list[StageRecord]:
    """Each stage once: the failed one where a shard has one, else the one that did the work."""
    found: dict[str, StageRecord] = {}
    for stage in (stage for shard in shards for stage in shard["stages"]):
        best = found.get(stage["name"], stage)
        found[stage["name"]] = min(best, stage, key=lambda s: (not s.get("failed"), s["cached"]))
    return list(found.values())
