# SPDX-License-Identifier: GPL-2.0-only
"""The files of a verdict on a revision: revision.json, reply.txt, report.html and what it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from harness.commands.revision.reply import reply, statement, verdict
from harness.commands.revision.verdict import Revision, RevisionRuns, Step
from harness.commands.static_checks import TOOLS
from harness.core import command_table
from harness.core.atomic import write_atomically
from harness.core.events import RAN, CaseId
from harness.core.jsondata import write_json
from harness.report.files import page_environment
from harness.report.plots import plots
from harness.report.records import RunDocument
from harness.report.screen import again
from harness.run.states import SeriesState

MAX_SHOWN = 12  # failures of one patch in full
MAX_LINES = 40  # of a trace or of a case's own words


Mark = tuple[str, str]  # a cell of the grid: ok, bad, warn or none; a word or a number
CHECKS = ("applies", "builds", *TOOLS, "boots", "cases")


def rows(whole: Revision, runs: RevisionRuns) -> list[tuple[Step, tuple[Mark, ...]]]:
    """The grid: each state with a mark for each of ``CHECKS``."""
    found = []
    for step, document in zip(whole.steps, runs.steps, strict=True):
        state = SeriesState(step.patches, step.subject, document)
        boots = _stage(state.ended("boot"))
        looked = [_tool(step, tool) for tool in TOOLS]
        found.append((step, (*_built(state), *looked, boots, _cases(step, state))))
    return found


def _built(state: SeriesState) -> tuple[Mark, Mark]:
    if not state.applies:
        return ("bad", "no"), ("none", "no")
    return ("ok", "ok"), _stage(state.build)


def _stage(ended: str) -> Mark:
    return {"ok": "ok", "": "none"}.get(ended, "bad"), ended or "no"


def _tool(step: Step, tool: str) -> Mark:
    if tool not in step.statics:
        return "none", "\N{EN DASH}"
    count = len(step.statics[tool])
    return ("warn", f"{count} new") if count else ("ok", "ok")


def _cases(step: Step, state: SeriesState) -> Mark:
    if not state.cases:
        return "none", "none ran"
    ran = sum(n for name, n in state.cases.items() if name in RAN)
    ours, blame = len(step.blame.ours), step.blame
    if ours and step.patches:
        return "bad", f"{ours} broken, {ran} ran"
    if blame.before:
        before = " before" if step.patches else ""
        return "warn", f"{len(blame.before)} broken{before}, {ran} ran"
    if not ran:
        return "none", "none applies"
    return ("warn" if blame.flaky else "ok"), f"{state.cases.get('pass', 0)} pass"


class BrokenStep(NamedTuple):
    """What a step breaks that was whole before it; ``still``: what only stays broken.

    ``new`` and ``still``: ids of cases and titles of the kernel's complaints.
    """

    step: Step
    document: RunDocument
    new: tuple[str, ...]
    still: tuple[str, ...]


def broken(whole: Revision, runs: RevisionRuns) -> list[BrokenStep]:
    """The failures by the patch after which each is first seen; the bare base excuses its own."""
    found = []
    known: set[str] = set()
    for step, document in list(zip(whole.steps, runs.steps, strict=True))[1:]:
        new = tuple(name for name in step.blame.ours if name not in known)
        still = tuple(name for name in step.blame.ours if name in known)
        known = set(step.blame.ours)
        if new or step.error or still:
            found.append(BrokenStep(step, document, new, still))
    return found


def _cut(lines: Sequence[str]) -> str:
    more = [f"... {len(lines) - MAX_LINES} more lines"] if len(lines) > MAX_LINES else []
    return "\n".join([*lines[:MAX_LINES], *more])


def command(asked: Mapping[str, str], case: str, patches: int) -> str:
    """What to type to see a failure again; ``asked``: the variables that must be given as well."""
    asked = {**asked, "PATCHES": str(patches)}
    return again(CaseId.parse(case), asked) if case else command_table.command("test-kernel", asked)


def html(whole: Revision, runs: RevisionRuns, asked: Mapping[str, str]) -> str:
    """``report.html``: one self-contained page, readable without network or scripts."""
    environment = page_environment(Path(__file__).parent)
    environment.filters.update(statement=statement, cut=_cut)
    return environment.get_template("revision.html.j2").render(
        whole=whole,
        verdict=verdict(whole),
        checks=CHECKS,
        rows=rows(whole, runs),
        broken=broken(whole, runs),
        most=MAX_SHOWN,
        again=partial(command, asked),
        plots=plots(runs.steps[-1]["tests"]),
    )


def write(whole: Revision, runs: RevisionRuns, out: Path, asked: Mapping[str, str]) -> None:
    """Writes the files of one verdict into ``out``, which is made.

    ``asked``: the variables that see a failure again, such as KERNEL= and SERIES=.
    """
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "revision.json", whole)
    write_atomically(out / "reply.txt", reply(whole))
    write_atomically(out / "report.html", html(whole, runs, asked))
