# SPDX-License-Identifier: GPL-2.0-only
"""What a revision's ``report.html`` shows, as data: grid, failures, times. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.commands.each_patch import SeriesState, state_of
from harness.commands.revision.verdict import Revision, RevisionRuns, Step
from harness.commands.static_checks.remarks import TOOLS
from harness.core.events import CaseId
from harness.core.usage import command as typed
from harness.report.results import BROKEN, RunDocument
from harness.report.summary import again

MOST = 12  # failures of one patch in full, and bars of the plot
LINES = 40  # of a trace or of a case's own words
LEAST = 0.2  # seconds: what takes less says nothing of time


@dataclass(frozen=True)
class Mark:
    """One cell of the grid: ``kind`` is ok, bad, warn or none; ``text`` a word or a number."""

    kind: str
    text: str


@dataclass(frozen=True)
class StateRow:
    """One state in the grid, a mark for each of ``CHECKS``."""

    step: Step
    marks: tuple[Mark, ...]
    breaks: tuple[str, ...]
    repairs: tuple[str, ...]


CHECKS = ("applies", "builds", *TOOLS, "boots", "cases")


def rows(whole: Revision, runs: RevisionRuns) -> list[StateRow]:
    """The grid: states by checks."""
    return [_row(step, doc) for step, doc in zip(whole.steps, runs.steps, strict=True)]


def _row(step: Step, document: RunDocument) -> StateRow:
    state = state_of(step.patches, step.subject, document)
    breaks = tuple(c.clause for c in step.changes if c.now == "fail")
    repairs = tuple(c.clause for c in step.changes if c.kind == "fixed")
    applies, builds = _built(state)
    boots = Mark({"ok": "ok", "": "none"}.get(state.boot, "bad"), state.boot or "no")
    looked = [_tool(step, tool) for tool in TOOLS]
    return StateRow(step, (applies, builds, *looked, boots, _cases(step, state)), breaks, repairs)


def _built(state: SeriesState) -> tuple[Mark, Mark]:
    if state.build == "series failed":
        return Mark("bad", "no"), Mark("none", "no")
    if state.build == "ok":
        return Mark("ok", "ok"), Mark("ok", "ok")
    return Mark("ok", "ok"), Mark("bad" if state.build else "none", state.build or "no")


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
class Failure:
    """One broken case or complaint of the kernel, with all that a reader needs of it."""

    name: str
    status: str
    reason: str
    about: str
    notes: tuple[str, ...]
    traces: tuple[tuple[str, str, str], ...]  # title, how it was decoded, text
    command: str


@dataclass(frozen=True)
class Broken:
    """What a step breaks that was whole before it; ``still``: what only stays broken."""

    step: Step
    failures: tuple[Failure, ...]
    still: tuple[str, ...]
    more: int


def broken(whole: Revision, runs: RevisionRuns, asked: Mapping[str, str]) -> list[Broken]:
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
        shown = tuple(_failure(name, step, document, asked) for name in new[:MOST])
        found.append(Broken(step, shown, still, max(0, len(new) - MOST)))
    return found


def _failure(name: str, step: Step, document: RunDocument, asked: Mapping[str, str]) -> Failure:
    test = next((t for t in document["tests"] if t["id"] == name), None)
    splats = [s for s in document["splats"] if name in (s["test"], s["title"])]
    traces = tuple((s["title"], s["decoded"], _cut(s["text"].splitlines())) for s in splats[:2])
    if test is None:
        case = next((s["test"] for s in splats if s["test"]), "")
        where = f"in {case}" if case else "while no case was running"
        return Failure(name, "kernel", where, "", (), traces, command(case, step.patches, asked))
    notes = tuple(_cut(test["diagnostics"]).splitlines())
    return Failure(
        name, test["status"], test["reason"], test["about"], notes, traces,
        command(name, step.patches, asked),
    )  # fmt: skip


def _cut(lines: Sequence[str]) -> str:
    more = [f"... {len(lines) - LINES} more lines"] if len(lines) > LINES else []
    return "\n".join([*lines[:LINES], *more])


def command(case: str, patches: int, asked: Mapping[str, str]) -> str:
    """What to type to see a failure again."""
    asked = {**asked, "PATCHES": str(patches)}
    return again(CaseId.parse(case), asked) if case else typed("test-kernel", asked)


@dataclass(frozen=True)
class Bar:
    """A case's time on both sides, in seconds of a guest of the reference's pace."""

    name: str
    before: float
    now: float


def times(runs: RevisionRuns) -> list[Bar]:
    """The cases that pass on both sides, those whose time changed most first."""
    if runs.previous is None:
        return []
    before, now = _seconds(runs.previous), _seconds(runs.steps[-1])
    bars = [Bar(name, before[name], now[name]) for name in now if name in before]
    bars = [bar for bar in bars if max(bar.before, bar.now) >= LEAST]
    bars.sort(key=lambda bar: -abs(bar.now - bar.before))
    return bars[:MOST]


def _seconds(document: RunDocument) -> dict[str, float]:
    pace = document["pace"]
    slow = pace["seconds"] / pace["reference"] if pace["reference"] else 1.0
    return {t["id"]: t["seconds"] / slow for t in document["tests"] if t["status"] == "pass"}


@dataclass(frozen=True)
class DrawnBar:
    """A bar where it goes in the picture; the length of the axis is 100."""

    bar: Bar
    y: int
    before: float
    now: float


def drawn(bars: Iterable[Bar], step: int = 30) -> Iterator[DrawnBar]:
    """The bars to scale, from the top."""
    kept = list(bars)
    longest = max((max(bar.before, bar.now) for bar in kept), default=1.0)
    for at, bar in enumerate(kept):
        yield DrawnBar(bar, at * step, 100 * bar.before / longest, 100 * bar.now / longest)
