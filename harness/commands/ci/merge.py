# SPDX-License-Identifier: GPL-2.0-only
"""``make merge``: the verdict on a revision from the results that its cells left below OUT=."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from harness.commands.ci import shard_results
from harness.commands.ci.plan import PLAN, PREVIOUS, STATICS, PlanCell, parse, read_plan
from harness.commands.revision.inputs import Inputs
from harness.commands.revision.page import write
from harness.commands.revision.reply import reply, verdict
from harness.commands.revision.verdict import Revision, RevisionRuns, conclude
from harness.core.atomic import write_atomically
from harness.core.errors import InvocationError, MachineError
from harness.core.settings import Settings
from harness.core.usage import command
from harness.report.files import junit
from harness.report.results import RunDocument
from harness.report.states import state_of
from harness.run.session import JUDGED, RunResult, read_results, worst
from harness.series.contract import SeriesData, load

MERGED = "merged"
COMMANDS = ("test-kernel", "static-checks")  # what a cell is; others have cells of their own


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
                documents[at] = shard_results.state([have[cell].document for cell in shards], data)
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
