# SPDX-License-Identifier: GPL-2.0-only
"""The files of a verdict on a revision: revision.json, reply.txt, report.html and what it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.commands.revision.reply import reply, statement, verdict
from harness.commands.revision.verdict import Revision, RevisionRuns, Step, as_json
from harness.commands.static_checks import TOOLS
from harness.core import usage
from harness.core.atomic import write_atomically
from harness.core.events import CaseId
from harness.report.files import page_environment
from harness.report.plots import plots
from harness.report.results import BROKEN, RunDocument
from harness.report.states import SeriesState, state_of
from harness.report.summary import again

MAX_SHOWN = 12  # failures of one patch in full
MAX_LINES = 40  # of a trace or of a case's own words


@dataclass(frozen=True)
class Mark:
    """One cell of the grid: ``kind`` is ok, bad, warn or none; ``text`` a word or a number."""

    kind: str
    text: str


CHECKS = ("applies", "builds", *TOOLS, "boots", "cases")


def rows(whole: Revision, runs: RevisionRuns) -> list[tuple[Step, tuple[Mark, ...]]]:
    """The grid: each state with a mark for each of ``CHECKS``."""
    found = []
    for step, document in zip(whole.steps, runs.steps, strict=True):
        state = state_of(step.patches, step.subject, document)
        boots = Mark({"ok": "ok", "": "none"}.get(state.boot, "bad"), state.boot or "no")
        looked = [_tool(step, tool) for tool in TOOLS]
        found.append((step, (*_built(state), *looked, boots, _cases(step, state))))
    return found


def _built(state: SeriesState) -> tuple[Mark, Mark]:
    if not state.applies:
        return Mark("bad", "no"), Mark("none", "no")
    kind = {"ok": "ok", "": "none"}.get(state.build, "bad")
    return Mark("ok", "ok"), Mark(kind, state.build or "no")


def _tool(step: Step, tool: str) -> Mark:
    if tool not in step.statics:
        return Mark("none", "\N{EN DASH}")
    count = len(step.statics[tool])
    return Mark("warn", f"{count} new") if count else Mark("ok", "ok")


def _cases(step: Step, state: SeriesState) -> Mark:
    if not state.cases:
        return Mark("none", "none ran")
    ran = sum(n for name, n in state.cases.items() if name in {"pass", *BROKEN})
    ours, blame = len(step.blame.ours), step.blame
    if ours and step.patches:
        return Mark("bad", f"{ours} broken, {ran} ran")
    if blame.before:
        before = " before" if step.patches else ""
        return Mark("warn", f"{len(blame.before)} broken{before}, {ran} ran")
    if not ran:
        return Mark("none", "none applies")
    return Mark("warn" if blame.flaky else "ok", f"{state.cases.get('pass', 0)} pass")


@dataclass(frozen=True)
class RevisionFailure:
    """One broken case or complaint of the kernel, with all that a reader needs of it."""

    name: str
    status: str
    reason: str
    about: str
    notes: str
    traces: tuple[tuple[str, str, str], ...]  # title, how it was decoded, text
    command: str


@dataclass(frozen=True)
class BrokenStep:
    """What a step breaks that was whole before it; ``still``: what only stays broken."""

    step: Step
    failures: tuple[RevisionFailure, ...]
    still: tuple[str, ...]
    more: int


def broken(whole: Revision, runs: RevisionRuns, asked: Mapping[str, str]) -> list[BrokenStep]:
    """The failures by the patch after which each is first seen; the bare base excuses its own.

    ``asked``: the variables that the reader must type as well.
    """
    found = []
    known: set[str] = set()
    for step, document in list(zip(whole.steps, runs.steps, strict=True))[1:]:
        new = [name for name in step.blame.ours if name not in known]
        still = tuple(name for name in step.blame.ours if name in known)
        known = set(step.blame.ours)
        if not new and not step.error and not still:
            continue
        shown = tuple(_failure(name, step, document, asked) for name in new[:MAX_SHOWN])
        found.append(BrokenStep(step, shown, still, max(0, len(new) - MAX_SHOWN)))
    return found


def _failure(
    name: str, step: Step, document: RunDocument, asked: Mapping[str, str]
) -> RevisionFailure:
    splats = [s for s in document["splats"] if name in (s["test"], s["title"])]
    traces = tuple((s["title"], s["decoded"], _cut(s["text"].splitlines())) for s in splats[:2])
    for test in document["tests"]:
        if test["id"] == name:
            typed = command(name, step.patches, asked)
            return RevisionFailure(name, test["status"], test["reason"], test["about"],
                                   _cut(test["diagnostics"]), traces, typed)  # fmt: skip
    case = next((s["test"] for s in splats if s["test"]), "")
    where = f"in {case}" if case else "while no case was running"
    typed = command(case, step.patches, asked)
    return RevisionFailure(name, "kernel", where, "", "", traces, typed)


def _cut(lines: Sequence[str]) -> str:
    more = [f"... {len(lines) - MAX_LINES} more lines"] if len(lines) > MAX_LINES else []
    return "\n".join([*lines[:MAX_LINES], *more])


def command(case: str, patches: int, asked: Mapping[str, str]) -> str:
    """What to type to see a failure again."""
    asked = {**asked, "PATCHES": str(patches)}
    return again(CaseId.parse(case), asked) if case else usage.command("test-kernel", asked)


def html(whole: Revision, runs: RevisionRuns, asked: Mapping[str, str]) -> str:
    """``report.html``: one self-contained page, readable without network or scripts."""
    environment = page_environment(Path(__file__).parent)
    environment.filters["statement"] = statement
    return environment.get_template("revision.html.j2").render(
        whole=whole,
        verdict=verdict(whole),
        checks=CHECKS,
        rows=rows(whole, runs),
        broken=broken(whole, runs, asked),
        plots=plots(runs.steps[-1]["tests"]),
    )


def write(whole: Revision, runs: RevisionRuns, out: Path, asked: Mapping[str, str]) -> None:
    """Writes the files of one verdict into ``out``, which is made.

    ``asked``: the variables that see a failure again, such as KERNEL= and SERIES=.
    """
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "revision.json", as_json(whole))
    write_atomically(out / "reply.txt", reply(whole))
    write_atomically(out / "report.html", html(whole, runs, asked))
