# SPDX-License-Identifier: GPL-2.0-only
"""The verdict on a revision from the results of its runs. Pure functions.

It makes no difference whether the runs were made one after the other by ``make
revision`` or one by one on many machines and merged: both end here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from harness.commands.revision.compare import Blame, Change, blame, changes, clause_verdicts
from harness.commands.revision.flaky import Flaky, Yardsticks, flaky_cases
from harness.commands.revision.inputs import Inputs
from harness.commands.static_checks.remarks import OpenRemarks
from harness.core.errors import SeriesError
from harness.core.jsondata import from_json
from harness.report.results import RunDocument
from harness.run.session import JUDGED, worst

FORMAT = 1  # of revision.json


@dataclass(frozen=True)
class Step:
    """The tree after ``patches`` patches (0: the base), against the tree before it.

    ``statics``: of each static checker that ran, its remarks that nothing justifies.
    They are shown and change no verdict: whether a remark matters is the reader's call,
    and make static-checks is the gate for the project's own series.
    """

    patches: int
    subject: str
    patch_id: str
    message_id: str
    exit_code: int
    run: str
    error: tuple[str, ...]
    blame: Blame
    changes: tuple[Change, ...]
    flaky: tuple[Flaky, ...] = ()
    statics: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Revision:
    """All that is said of a revision. ``previous``: how the whole series changed since.

    ``compared``: there is a previous revision, and both were run to their end.
    """

    base: str
    why: str
    source: str
    previous_source: str
    cover: str
    steps: tuple[Step, ...]
    compared: bool
    previous: tuple[Change, ...]
    range_diff: str
    exit_code: int


def as_json(whole: Revision) -> str:
    """``revision.json``."""
    return json.dumps({"format": FORMAT, **asdict(whole)}, indent=1) + "\n"


def read_revision(path: Path) -> Revision:
    """The verdict that a ``revision.json`` tells of."""
    given = json.loads(path.read_text())
    del given["format"]
    return from_json(Revision, given)


@dataclass(frozen=True)
class RevisionRuns:
    """The results of a revision's runs.

    ``steps``: of the bare base and of each patch, as far as they were run; ``previous``:
    of the whole previous revision; ``again``: those that repeat flaky cases, by the
    number of patches, None for the previous revision; ``statics``: see remarks.py.
    """

    steps: tuple[RunDocument, ...]
    previous: RunDocument | None
    again: Mapping[int | None, Sequence[RunDocument]]
    statics: OpenRemarks = field(default_factory=dict)

    @property
    def yardsticks(self) -> Yardsticks:
        """What flaky cases are measured against."""
        return Yardsticks(self.steps[0], self.previous, self.again)


def judge(runs: RevisionRuns, inputs: Inputs) -> tuple[Step, ...]:
    """A step for each ``results.json``; the first is that of the bare base."""
    steps = []
    documents, sticks = runs.steps, runs.yardsticks
    for count, document in enumerate(documents):
        before = clause_verdicts(documents[count - 1]) if count else {}
        # The base is the yardstick, and is not measured against itself.
        cases = flaky_cases(document) if count else ()
        flaky = tuple(sticks.statement(case, count, document) for case in cases)
        excused = frozenset(one.case for one in flaky if one.excused)
        patch = inputs.patches[count - 1] if count else None
        steps.append(
            Step(
                count,
                inputs.name_of(count),
                patch.patch_id if patch else "",
                patch.message_id if patch else "",
                document["exit_code"],
                document["run"],
                tuple(document["error"]),
                blame(document, documents[0], excused),
                changes(before, clause_verdicts(document)),
                flaky,
                runs.statics.get(count, {}),
            )
        )
    return tuple(steps)


def exit_status(steps: Sequence[Step], previous: int = 0) -> int:
    """0 where all that is broken was broken before.

    An end for which not the series is at fault counts first, in the order of the
    runs. What ends a run early (it does not apply, build or boot) is excused by nothing.
    """
    if (code := worst((*(step.exit_code for step in steps), previous))) not in JUDGED:
        return code
    failed = any(step.error for step in steps) or any(step.blame.ours for step in steps[1:])
    return SeriesError.exit_code if failed else 0


def conclude(inputs: Inputs, runs: RevisionRuns) -> Revision:
    """The whole verdict. ``runs`` has at least the bare base."""
    steps = judge(runs, inputs)
    last, previous = runs.steps[-1], runs.previous
    whole = len(runs.steps) == len(inputs.patches) + 1
    compared = previous is not None and whole and not previous["error"] and not last["error"]
    found: tuple[Change, ...] = ()
    if compared and previous is not None:
        found = changes(clause_verdicts(previous), clause_verdicts(last))
    code = previous["exit_code"] if previous else 0
    return Revision(
        inputs.base,
        inputs.why,
        inputs.source,
        inputs.previous_source,
        inputs.cover,
        steps,
        compared,
        found,
        inputs.range_diff,
        exit_status(steps, code),
    )
