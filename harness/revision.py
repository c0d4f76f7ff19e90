# SPDX-License-Identifier: GPL-2.0-only
"""``make revision``: a verdict on a revision of a series, patch by patch.

The bare base, each state of the series and, where PREVIOUS= names one, the whole
previous revision are runs of their own. What is broken on the base is not blamed on
a patch. The outcome lies in ``out/revision-<time>/``: ``revision.json``,
``report.html`` and ``reply.txt``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from harness import git
from harness.apply import Applied, apply_series
from harness.base import Base, obtain_base
from harness.compare import Blame, Change, blame, changes, clause_verdicts
from harness.errors import InvocationError, SeriesError
from harness.events import Events
from harness.outputs import page_environment, write_atomically
from harness.revision_text import reply, verdict
from harness.series import load_series
from harness.series_states import SERIES_BROKEN, State, newest_document, state_of, table
from harness.settings import Settings
from harness.store import Store

FORMAT = 1
Run = Callable[[Settings], int]


@dataclass(frozen=True)
class Step:
    """The tree after ``patches`` patches (0: the base), against the tree before it."""

    patches: int
    subject: str
    exit_code: int
    run: str
    error: tuple[str, ...]
    blame: Blame
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Revision:
    """All that is said of a revision. ``previous``: how the whole series changed since.

    ``compared``: there is a previous revision, and both were run to their end.
    """

    base: str
    source: str
    previous_source: str
    steps: tuple[Step, ...]
    compared: bool
    previous: tuple[Change, ...]
    range_diff: str
    exit_code: int


@dataclass(frozen=True)
class Inputs:
    """What both series are before anything is run."""

    base: str
    subjects: tuple[str, ...]
    range_diff: str


def read_inputs(settings: Settings) -> Inputs:
    """Reads base and series, and compares the code of both revisions where there are two.

    Raises:
        InvocationError: SERIES=, PREVIOUS= or KERNEL= names none, or PATCHES= is given.
        SeriesError: the previous revision does not apply to this base.
    """
    if settings.patches is not None:
        raise InvocationError(
            "make revision runs every number of patches by itself",
            next_step=f"leave PATCHES={settings.patches} out, or make test-kernel",
        )
    store, events = Store(settings.cache, settings.cache_limit), Events()
    base = obtain_base(settings, store, events)
    series = load_series(settings, base)
    shown = ""
    if settings.previous:
        before = load_series(replace(settings, series=settings.previous), base)
        old = apply_series(base, before, None, store, events)
        whole = _applies(base, settings, store, events)
        shown = range_diff(base, old, whole) if whole else "this revision does not apply"
    about = f"Linux {base.version}, {base.commit[:12]} (KERNEL={settings.kernel})"
    return Inputs(about, tuple(patch.subject for patch in series.patches), shown)


def _applies(base: Base, settings: Settings, store: Store, events: Events) -> Applied | None:
    """The whole series on the base; None where it does not apply, which its run will explain."""
    try:
        return apply_series(base, load_series(settings, base), None, store, events)
    except SeriesError:
        return None


def range_diff(base: Base, old: Applied, new: Applied) -> str:
    """``git range-diff`` of two series on one base, without colours."""
    return git.text(
        new.repo,
        "range-diff",
        "--no-color",
        f"{base.commit}..{old.commit}",
        f"{base.commit}..{new.commit}",
        env={"GIT_ALTERNATE_OBJECT_DIRECTORIES": str(old.repo / "objects")},
    )


def judge(documents: Sequence[dict[str, Any]], subjects: Sequence[str]) -> tuple[Step, ...]:
    """A step for each ``results.json``; the first is that of the bare base."""
    steps = []
    for count, document in enumerate(documents):
        before = clause_verdicts(documents[count - 1]) if count else {}
        steps.append(
            Step(
                count,
                subjects[count - 1] if count else "the bare base",
                document["exit_code"],
                document["run"],
                tuple(document["error"]),
                blame(document, documents[0]),
                changes(before, clause_verdicts(document)),
            )
        )
    return tuple(steps)


def exit_status(steps: Sequence[Step], previous: int = 0) -> int:
    """0 where all that is broken was broken before.

    An end for which not the series is at fault counts first, in the order of the
    runs. What ends a run early (it does not apply, build or boot) is excused by nothing.
    """
    for code in (*(step.exit_code for step in steps), previous):
        if code not in (0, SERIES_BROKEN):
            return code
    failed = any(step.error for step in steps) or any(step.blame.ours for step in steps[1:])
    return SERIES_BROKEN if failed else 0


def revision(settings: Settings, run: Run, console: Console) -> int:
    """Runs and judges a revision, prints the table and writes its files; the exit status.

    Raises:
        InvocationError, SeriesError: see ``read_inputs``.
    """
    inputs = read_inputs(settings)
    documents: list[dict[str, Any]] = []
    states = []
    for count in range(len(inputs.subjects) + 1):
        subject = inputs.subjects[count - 1] if count else "the bare base"
        console.print(f"\n{count} of {len(inputs.subjects)} patches: {subject}", markup=False)
        code = run(replace(settings, patches=count))
        documents.append(newest_document(settings.out))
        states.append(state_of(count, subject, documents[-1]))
        if code not in (0, SERIES_BROKEN) or states[-1].build == "series failed":
            break  # and where a patch does not apply, later ones do not either
    steps = judge(documents, inputs.subjects)
    found: tuple[Change, ...] = ()
    code, compared = 0, False
    if settings.previous and len(steps) == len(inputs.subjects) + 1 and code_fine(steps):
        console.print(f"\nthe previous revision: {settings.previous}", markup=False)
        code = run(replace(settings, series=settings.previous))
        before = newest_document(settings.out)
        compared = not before["error"] and not documents[-1]["error"]
        if compared:
            found = changes(clause_verdicts(before), clause_verdicts(documents[-1]))
    whole = Revision(
        inputs.base,
        settings.series or "the project's own series",
        settings.previous,
        steps,
        compared,
        found,
        inputs.range_diff,
        exit_status(steps, code),
    )
    out = _write(whole, states, settings.out, documents[-1]["run"])
    console.print()
    console.print(table(states))
    console.print("\n" + reply(asdict(whole)), markup=False, soft_wrap=True)
    console.print(f"results: {out}", markup=False)
    return whole.exit_code


def code_fine(steps: Sequence[Step]) -> bool:
    """Whether no run was ended by the invocation, the machine or the harness."""
    return all(step.exit_code in (0, SERIES_BROKEN) for step in steps)


def html(document: dict[str, Any], states: Sequence[State]) -> str:
    """``report.html``: one self-contained page, readable without network or scripts."""
    page = page_environment().get_template("revision.html.j2")
    return page.render(whole=document, states=states, verdict=verdict(document))


def _write(whole: Revision, states: Sequence[State], out: Path, run: str) -> Path:
    folder = out / f"revision-{run}"
    folder.mkdir(parents=True)
    document = {"format": FORMAT, **asdict(whole)}
    write_atomically(folder / "revision.json", json.dumps(document, indent=1) + "\n")
    write_atomically(folder / "reply.txt", reply(document))
    write_atomically(folder / "report.html", html(document, states))
    return folder
