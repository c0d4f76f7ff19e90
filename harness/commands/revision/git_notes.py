# SPDX-License-Identifier: GPL-2.0-only
"""``NOTES=1``: verdicts as git notes on the tested commits, in the user's own tree.

It is the one thing that the harness ever writes there, and only when asked by this very
option. ``git log --notes=kernel-test`` shows them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.commands.revision.inputs import Inputs
from harness.commands.revision.reply import statement
from harness.commands.revision.verdict import Revision, Step
from harness.core import git

REF = "kernel-test"


def lines(step: Step, whole: Revision) -> Iterator[str]:
    """The note on the commit of one patch."""
    broken = step.blame.ours
    yield f"{'fail' if broken or step.error else 'pass'} on {whole.base}"
    yield from step.error
    yield from (f"broken: {name}" for name in broken)
    yield from (f"broken before: {name}" for name in step.blame.before)
    yield from (f"flaky: {statement(one)}" for one in step.flaky)
    yield from (
        f"{change.kind}: {change.clause}"
        for change in step.changes
        if change.kind in ("fixed", "broken")
    )
    yield f"run {step.run}"


def write(tree: Path, inputs: Inputs, whole: Revision) -> int:
    """Writes a note for each patch that was run; how many. An older note is replaced.

    Raises:
        HarnessError: git cannot write to ``tree``.
    """
    steps = whole.steps[1:]
    for step in steps:
        commit = inputs.patches[step.patches - 1].commit
        text = "\n".join(lines(step, whole)) + "\n"
        git.text(
            tree, "notes", f"--ref={REF}", "add", "--force", "--file=-", commit,
            stdin=text.encode(),
        )  # fmt: skip
    return len(steps)
