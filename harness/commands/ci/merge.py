# SPDX-License-Identifier: GPL-2.0-only
"""``make merge``: the verdict on a revision from the results that its cells left below OUT=."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from harness.commands.ci import shard_results
from harness.commands.ci.command import PLAN
from harness.commands.ci.plan import PREVIOUS, STATICS, PlanCell, parse
from harness.commands.each_patch import state_of
from harness.commands.revision.files import write
from harness.commands.revision.inputs import Inputs
from harness.commands.revision.reply import reply, verdict
from harness.commands.revision.verdict import Revision, RevisionRuns, conclude
from harness.commands.static_checks.remarks import OpenRemarks, open_remarks
from harness.core.atomic import write_atomically
from harness.core.errors import InvocationError, MachineError
from harness.core.jsondata import from_json
from harness.core.settings import Settings
from harness.core.usage import command
from harness.report.files import junit
from harness.report.results import SCHEMA, RunDocument
from harness.run.session import JUDGED, RunResult, worst
from harness.series.contract import SeriesData, load

MERGED = "merged"


@dataclass(frozen=True)
class Group:
    """All that was run on one kernel in one flavour."""

    name: str
    inputs: Inputs
    runs: RevisionRuns
    documents: dict[str, RunDocument]


def read_results(out: Path) -> list[RunResult]:
    """Every ``results.json`` below ``out`` at any depth, as artefacts of jobs may lie; no link."""
    found = []
    for path in sorted(out.rglob("results.json")):
        if path.parent.is_symlink() or MERGED in path.relative_to(out).parts:
            continue
        document = json.loads(path.read_text())
        if document.get("schema") == SCHEMA:
            found.append(RunResult(document["exit_code"], path.parent, document))
    return found


def read_plan(out: Path) -> tuple[dict[str, Inputs], list[PlanCell]]:
    """The plan that ``make plan`` left.

    Raises:
        InvocationError: there is none.
    """
    path = out / PLAN
    if not path.is_file():
        raise InvocationError(
            f"{path} is not there",
            next_step=f"{command('plan')}, then its cells",
        )
    plan_of = json.loads(path.read_text())
    groups = from_json(dict[str, Inputs], plan_of["groups"])
    return groups, [parse(row["cell"]) for row in plan_of["cells"]]


def grouped(
    groups: dict[str, Inputs], planned: Sequence[PlanCell], have: dict[PlanCell, RunResult],
    data: SeriesData,
) -> Iterator[Group]:  # fmt: skip
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
            looked = [have[cell].out for cell in have if at_hand(cell, mine[0])]
            statics: OpenRemarks = open_remarks(looked[0]) if looked else {}
            runs = RevisionRuns(tuple(steps), documents.get(PREVIOUS), {}, statics)
            yield Group(name, inputs, runs, documents)


def at_hand(cell: PlanCell, other: PlanCell) -> bool:
    """Whether ``cell`` is what the static checkers say of the other's kernel."""
    return cell.state == STATICS and cell.kernel == other.kernel


def merge(settings: Settings, console: Console) -> int:
    """Judges what the cells left below OUT=, writes ``out/merged/``; the worst exit status.

    Raises:
        InvocationError: there is no plan.
        MachineError: cells of the plan have no results; what there is was written.
    """
    groups, planned = read_plan(settings.out)
    have = shard_results.cells_of(read_results(settings.out))
    data = load(settings.project)
    out = settings.out / MERGED
    verdicts: dict[str, Revision] = {}
    for group in grouped(groups, planned, have, data):
        whole = conclude(group.inputs, group.runs)
        verdicts[group.name] = whole
        folder = out / group.name
        write(whole, group.runs, folder, group.runs.steps[0]["asked"])
        for at, document in group.documents.items():
            (folder / at).mkdir(exist_ok=True)
            write_atomically(folder / at / "results.json", json.dumps(document, indent=1) + "\n")
            write_atomically(folder / at / "junit.xml", junit(document))
        console.print(f"\n{group.name}\n{reply(whole)}", markup=False, soft_wrap=True)
    lost = shard_results.missing(planned, have)
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
        bad = [str(s.patches) for s in whole.steps[1:] if s.blame.ours or s.error]
        yield f"| {name} | {verdict(whole)} | {', '.join(bad) or 'none'} |"
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
