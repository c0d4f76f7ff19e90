# SPDX-License-Identifier: GPL-2.0-only
"""A verdict on a revision in words: ``reply.txt`` for its cover letter, notes on its commits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

from harness.commands.revision.inputs import Inputs
from harness.commands.revision.verdict import Change, Flaky, Kind, Revision, Step
from harness.core import git
from harness.core.errors import UNTESTED
from harness.report.files import page_environment
from harness.run.verdict import JUDGED

NOTES_REF = "kernel-test"  # git log --notes=kernel-test shows them
MAX_LINES = 60  # of a reply
MAX_NAMES = 4  # names on a line; the rest is counted
# A line of range-diff that names a patch rather than shows its difference.
_HEAD = re.compile(r"^ {0,3}(?:-|\d+): .*$", re.MULTILINE)


def some(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + more


def reply(whole: Revision) -> str:
    """The text, ending with a newline; what does not fit is counted in the last line."""
    environment = page_environment(Path(__file__).parent)
    environment.filters.update(some=some, ended=_ended, statement=statement)
    lines = (
        environment.get_template("reply.txt.j2")
        .render(
            whole=whole,
            verdict=verdict(whole),
            changed=_changed(whole.previous),
            heads=_HEAD.findall(whole.range_diff),
        )
        .splitlines()
    )
    if len(lines) > MAX_LINES:
        left = len(lines) - MAX_LINES + 1
        lines = [*lines[: MAX_LINES - 1], f"({left} more lines: see revision.json)"]
    return "\n".join(lines) + "\n"


def verdict(whole: Revision) -> str:
    """The verdict on a revision in one line."""
    if whole.exit_code == 0:
        return "nothing broke that the base does not break"
    if whole.exit_code == UNTESTED:
        return "no verdict: nothing broke, and too little of the change has run"
    if whole.exit_code != 1:
        return "no verdict: the runs did not come to their end"
    if whole.steps[0].error:
        return "no verdict on the patches: the bare base fails"
    bad = whole.bad_patches
    if not bad and whole.below_score:
        return f"the tests have holes: fewer mutants are noticed than SCORE={whole.score} asks for"
    said = f"something is broken after patch {', '.join(map(str, bad))}"
    if bad and bad[-1] < len(whole.steps) - 1:
        said += f", and repaired by patch {bad[-1] + 1}"
    return f"the series is at fault: {said}"


def _changed(changes: Sequence[Change]) -> dict[str, list[str]]:
    """The clauses that changed, by how; of a new one also what is said of it."""
    found: dict[str, list[str]] = {kind: [] for kind in get_args(Kind)}
    for c in changes:
        found[c.kind].append(f"{c.clause} ({c.now})" if c.kind == "new" else c.clause)
    return {kind: names for kind, names in found.items() if names}


def statement(flaky: Flaky) -> str:
    """What is said of a flaky case, in one line."""
    here = f"{flaky.case} passed {flaky.passes_here} of {flaky.runs_here}"
    if not flaky.against:
        return f"{here}; neither the base nor a previous revision can run it"
    there = f"{flaky.passes_there} of {flaky.runs_there} on {flaky.against}"
    return f"{here}, {there}: {flaky.verdict} (Fisher's exact test, p = {flaky.p:.2g})"


def _ended(step: Step) -> str:
    if step.exit_code == UNTESTED:
        return "untested"  # nothing broke, and nothing has run what is changed so far
    if step.exit_code not in JUDGED:
        return "not judged"  # the invocation, the machine or the harness ended it
    if step.patches == 0 and step.blame.before and not step.error:
        return "breaks some cases itself"
    return "broken" if step.bad else "ok"


def findings(step: Step) -> Iterator[str]:
    """What a step comes to, a line each, with nothing left out."""
    yield from step.error
    yield from (f"broken: {name}" for name in step.blame.ours)
    yield from (f"broken before: {name}" for name in step.blame.before)
    yield from (f"flaky: {statement(one)}" for one in step.flaky)
    if step.mutants is not None:
        yield f"mutants: {step.mutants}"
        yield from (f"not noticed: {name}" for name in step.mutants.survivors)


def write_notes(tree: Path, inputs: Inputs, whole: Revision) -> int:
    """``NOTES=1``: a git note on the commit of each patch that was run; how many.

    It is the one thing that the harness ever writes in the user's own tree, and only when
    asked by this very option. An older note is replaced.

    Raises:
        HarnessError: git cannot write to ``tree``.
    """
    for step in whole.steps[1:]:
        lines = [
            f"{'fail' if step.bad else 'pass'} on {whole.base}",
            *findings(step),
            *(f"{c.kind}: {c.clause}" for c in step.changes if c.kind in ("fixed", "broken")),
            f"run {step.run}",
        ]
        commit = inputs.patches[step.patches - 1].commit or ""
        argv = ("notes", f"--ref={NOTES_REF}", "add", "--force", "--file=-", commit)
        git.text(tree, *argv, stdin=("\n".join(lines) + "\n").encode())
    return len(whole.steps) - 1
