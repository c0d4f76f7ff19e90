# SPDX-License-Identifier: GPL-2.0-only
"""A verdict on a revision in words: ``reply.txt`` for its cover letter, notes on its commits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.commands.revision.inputs import Inputs
from harness.commands.revision.verdict import Flaky, Revision, Step
from harness.core import git

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
    lines = list(_lines(whole))
    if len(lines) > MAX_LINES:
        left = len(lines) - MAX_LINES + 1
        lines = [*lines[: MAX_LINES - 1], f"({left} more lines: see revision.json)"]
    return "\n".join(lines) + "\n"


def verdict(whole: Revision) -> str:
    """The verdict on a revision in one line."""
    if whole.exit_code == 0:
        return "nothing broke that the base does not break"
    if whole.exit_code != 1:
        return "no verdict: the runs did not come to their end"
    if whole.steps[0].error:
        return "no verdict on the patches: the bare base fails"
    bad = whole.bad_patches
    said = f"something is broken after patch {', '.join(map(str, bad))}"
    if bad and bad[-1] < len(whole.steps) - 1:
        said += f", and repaired by patch {bad[-1] + 1}"
    return f"the series is at fault: {said}"


def _lines(whole: Revision) -> Iterator[str]:
    yield f"Verdict: {verdict(whole)} (exit {whole.exit_code})."
    yield f"Base:    {whole.base}"
    yield f"         {whole.why}"
    yield f"Series:  {whole.source}"
    yield ""
    for step in whole.steps:
        yield from _step(step)
    if not whole.previous_source:
        return
    yield ""
    yield f"Since the previous revision ({whole.previous_source}):"
    if not whole.compared:
        yield "  not compared: one of the two was not run to its end"
        return
    if not whole.previous:
        yield "  no clause's verdict changed"
    for kind in ("broken", "fixed", "new", "gone"):
        found = [change for change in whole.previous if change.kind == kind]
        if found:
            names = [f"{c.clause} ({c.now})" if kind == "new" else c.clause for c in found]
            yield f"  {kind}: {some(names)}"
    yield from (f"  {head}" for head in _HEAD.findall(whole.range_diff))


def statement(flaky: Flaky) -> str:
    """What is said of a flaky case, in one line."""
    here = f"{flaky.case} passed {flaky.passes_here} of {flaky.runs_here}"
    if not flaky.against:
        return f"{here}; neither the base nor a previous revision can run it"
    there = f"{flaky.passes_there} of {flaky.runs_there} on {flaky.against}"
    return f"{here}, {there}: {flaky.verdict} (Fisher's exact test, p = {flaky.p:.2g})"


def _step(step: Step) -> Iterator[str]:
    which = f"patch {step.patches}" if step.patches else "base"
    ours, before = step.blame.ours, step.blame.before
    said = "broken" if step.bad else "ok"
    if step.patches == 0 and before and not step.error:
        said = "breaks some cases itself"
    if step.exit_code not in (0, 1):
        said = "not judged"  # the invocation, the machine or the harness ended it
    yield f"{which}: {said}  {step.subject}"
    if step.error:
        yield f"  {step.error[0]}"
    if ours:
        yield f"  broken: {some(ours)}"
    if before and step.patches:
        yield f"  broken before: {some(before)}"
    for tool, remarks in step.statics.items():
        if remarks:
            more = f" and {len(remarks) - 1} more" if len(remarks) > 1 else ""
            yield f"  {tool}: {remarks[0]}{more}"
    yield from (f"  flaky: {statement(one)}" for one in step.flaky)
    if step.breaks and step.patches:
        yield f"  from here on these clauses fail: {some(step.breaks)}"
    if step.repairs:
        yield f"  repairs: {some(step.repairs)}"


def findings(step: Step) -> Iterator[str]:
    """What a step comes to, a line each, with nothing left out."""
    yield from step.error
    yield from (f"broken: {name}" for name in step.blame.ours)
    yield from (f"broken before: {name}" for name in step.blame.before)
    yield from (f"flaky: {statement(one)}" for one in step.flaky)


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
        commit = inputs.patches[step.patches - 1].commit
        argv = ("notes", f"--ref={NOTES_REF}", "add", "--force", "--file=-", commit)
        git.text(tree, *argv, stdin=("\n".join(lines) + "\n").encode())
    return len(whole.steps) - 1
