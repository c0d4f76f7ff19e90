# SPDX-License-Identifier: GPL-2.0-only
"""``make merge``: the verdict on a revision from the results that its cells left below OUT=."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from harness import gather
from harness.atomic import write_atomically
from harness.contract import SeriesData, load
from harness.errors import InvocationError, MachineError
from harness.outputs import junit
from harness.plan import PREVIOUS, STATICS, Cell, parse
from harness.plan_commands import PLAN
from harness.remarks import LEFT
from harness.revision_files import write
from harness.revision_inputs import Inputs, PatchName
from harness.revision_text import reply, verdict
from harness.series_states import SERIES_BROKEN, state_of
from harness.settings import Settings
from harness.verdicts import Revision, Runs, conclude

MERGED = "merged"


@dataclass(frozen=True)
class Group:
    """All that was run on one kernel in one flavour."""

    name: str
    inputs: Inputs
    runs: Runs
    documents: dict[str, dict[str, Any]]


def read_documents(out: Path) -> list[dict[str, Any]]:
    """Every ``results.json`` below ``out`` at any depth, as artefacts of jobs may lie; no link."""
    found = []
    for path in sorted(out.rglob("results.json")):
        if path.parent.is_symlink() or MERGED in path.relative_to(out).parts:
            continue
        document = json.loads(path.read_text())
        if document.get("schema") == 1:
            left = path.with_name(LEFT)
            document["statics"] = json.loads(left.read_text()) if left.is_file() else None
            found.append(document)
    return found


def read_plan(out: Path) -> tuple[dict[str, Inputs], list[Cell]]:
    """The plan that ``make plan`` left.

    Raises:
        InvocationError: there is none.
    """
    path = out / PLAN
    if not path.is_file():
        raise InvocationError(f"{path} is not there", next_step="make plan, then make cell")
    plan_of = json.loads(path.read_text())
    groups = {
        name: Inputs(**{**about, "patches": tuple(PatchName(**p) for p in about["patches"])})
        for name, about in plan_of["groups"].items()
    }
    return groups, [parse(row["cell"]) for row in plan_of["cells"]]


def grouped(
    groups: dict[str, Inputs], planned: Sequence[Cell], have: dict[Cell, dict[str, Any]],
    data: SeriesData,
) -> Iterator[Group]:  # fmt: skip
    """What is there of each kernel and flavour; a state counts where all its shards are there.

    As in one go, nothing is said of what comes after a state that is missing.
    """
    for name in dict.fromkeys(cell.group for cell in planned):
        mine = [cell for cell in planned if cell.group == name]
        inputs = groups[mine[0].kernel]
        documents: dict[str, dict[str, Any]] = {}
        for at in dict.fromkeys(cell.state for cell in mine if cell.state != STATICS):
            shards = [cell for cell in mine if cell.state == at]
            if all(cell in have for cell in shards):
                documents[at] = gather.state([have[cell] for cell in shards], data)
        steps: list[dict[str, Any]] = []
        for count in range(len(inputs.patches) + 1):
            if f"p{count}" not in documents:
                break
            steps.append(documents[f"p{count}"])
            state = state_of(count, inputs.name_of(count), steps[-1])
            if state.exit_code not in (0, SERIES_BROKEN) or state.build == "series failed":
                break
        if steps:
            statics = next((have[c]["statics"] for c in have if at_hand(c, mine[0])), None)
            runs = Runs(tuple(steps), documents.get(PREVIOUS), {}, statics)
            yield Group(name, inputs, runs, documents)


def at_hand(cell: Cell, other: Cell) -> bool:
    """Whether ``cell`` is what the static checkers say of the other's kernel."""
    return cell.state == STATICS and cell.kernel == other.kernel


def asked(group: Group) -> dict[str, str]:
    """What to type beside PATCHES= and TESTS= to see a failure again."""
    said = group.runs.steps[0]["asked"]
    return {name: said.get(name, "") for name in ("KERNEL", "REF", "SERIES", "CONFIG")}


def merge(settings: Settings, console: Console) -> int:
    """Judges what the cells left below OUT=, writes ``out/merged/``; the worst exit status.

    Raises:
        InvocationError: there is no plan.
        MachineError: cells of the plan have no results; what there is was written.
    """
    groups, planned = read_plan(settings.out)
    have = gather.cells_of(read_documents(settings.out))
    data = load(settings.project)
    out = settings.out / MERGED
    verdicts: dict[str, Revision] = {}
    for group in grouped(groups, planned, have, data):
        whole = conclude(group.inputs, group.runs)
        verdicts[group.name] = whole
        folder = out / group.name
        write(whole, group.runs, folder, asked(group))
        for at, document in group.documents.items():
            (folder / at).mkdir(exist_ok=True)
            write_atomically(folder / at / "results.json", json.dumps(document, indent=1) + "\n")
            write_atomically(folder / at / "junit.xml", junit(document))
        console.print(f"\n{group.name}\n{reply(asdict(whole))}", markup=False, soft_wrap=True)
    lost = gather.missing(planned, have)
    out.mkdir(parents=True, exist_ok=True)
    text = "\n".join(summary_lines({n: asdict(w) for n, w in verdicts.items()}, lost)) + "\n"
    write_atomically(out / "summary.md", text)
    console.print(f"results: {out}", markup=False)
    if lost:
        names = "\n".join(cell.name for cell in lost)
        raise MachineError(
            f"{len(lost)} of {len(planned)} cells left no results:\n{names}",
            evidence=out / "summary.md",
            next_step=f"make cell CELL={lost[0].name}, then make merge",
        )
    return worst(whole.exit_code for whole in verdicts.values())


def summary_lines(verdicts: dict[str, dict[str, Any]], lost: Sequence[Cell]) -> Iterator[str]:
    """``summary.md``: the verdicts of all kernels and flavours, for the page of a CI job."""
    yield "| kernel and flavour | verdict | broken after |"
    yield "| --- | --- | --- |"
    for name, document in verdicts.items():
        bad = [str(s["patches"]) for s in document["steps"][1:] if s["blame"]["ours"] or s["error"]]
        yield f"| {name} | {verdict(document)} | {', '.join(bad) or 'none'} |"
    if lost:
        yield ""
        yield f"**No results of {len(lost)} cells:** {', '.join(cell.name for cell in lost)}"
    for name, document in verdicts.items():
        yield ""
        yield f"<details><summary>{name}</summary>"
        yield ""
        yield from (f"    {line}".rstrip() for line in reply(document).splitlines())
        yield ""
        yield "</details>"


def worst(codes: Iterator[int]) -> int:
    """An end for which not the series is at fault counts first."""
    found = list(codes)
    return next((code for code in found if code not in (0, SERIES_BROKEN)), max(found, default=0))
