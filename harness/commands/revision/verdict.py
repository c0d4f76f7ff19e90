# SPDX-License-Identifier: GPL-2.0-only
"""The verdict on a revision from the results of its runs. Pure.

A case that gives both verdicts on one kernel cannot be judged by one run before a patch
and one after it. It is run many times on both kernels, and Fisher's exact test says
whether the rates differ (rates.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from harness.commands.revision.inputs import Inputs
from harness.commands.revision.mutants import PatchScore, score, scores
from harness.commands.revision.previous_findings import PreviousFinding, fates, runs_of
from harness.commands.static_checks import OpenRemarks
from harness.core.errors import UNTESTED, SeriesError
from harness.core.events import BROKEN
from harness.core.rates import Rates
from harness.report.mutants import MutantsDocument
from harness.report.records import RunDocument
from harness.report.untested import figures
from harness.run.verdict import JUDGED, worst

FORMAT = 1  # of revision.json
# Runs of a flaky case on each kernel: always against three in four is a difference at the
# level of rates.py.
FLAKY_RUNS = 20
NO_EVIDENCE = "no evidence of a difference"
SAYS = frozenset({"pass", "fail"})  # untested, not applicable and absent say nothing of a kernel
Kind = Literal["broken", "fixed", "new", "gone"]
StateNumber = int | None  # a kernel of a revision: how many patches; None: the previous revision


@dataclass(frozen=True)
class Change:
    """One clause that says something else than before; '' is a clause that was not there."""

    clause: str
    kind: Kind
    before: str
    now: str


@dataclass(frozen=True)
class Blame:
    """What is broken after a patch: ``ours`` counts, ``before`` is broken on the base too.

    Both hold ids of cases and titles of the kernel's complaints. ``flaky`` cases are as
    flaky without the patch, as far as one can tell, and do not count either.
    """

    ours: tuple[str, ...]
    before: tuple[str, ...]
    flaky: tuple[str, ...] = ()


@dataclass(frozen=True)
class Flaky:
    """A case that passes sometimes: ``here`` with the patch, ``there`` on the baseline.

    ``against`` names the baseline: 'the base', 'the previous revision', or '' where the
    case is applicable on neither. ``p`` is the two-sided p-value of Fisher's exact test.
    """

    case: str
    passes_here: int
    runs_here: int
    against: str
    passes_there: int
    runs_there: int
    verdict: str
    p: float

    @property
    def excused(self) -> bool:
        """Whether the patch is not to blame: the baseline is as flaky, as far as one can tell."""
        return self.verdict in (NO_EVIDENCE, "better")


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
    change: str | None = None  # how much of the patches so far has run
    mutants: PatchScore | None = None  # of the patch's own lines; None without MUTANTS=

    @property
    def bad(self) -> bool:
        """Whether something is broken that the base does not break, or it could not be run."""
        return bool(self.blame.ours or self.error)

    @property
    def breaks(self) -> tuple[str, ...]:
        """The clauses that fail from here on."""
        return tuple(change.clause for change in self.changes if change.now == "fail")

    @property
    def repairs(self) -> tuple[str, ...]:
        """The clauses that failed up to here."""
        return tuple(change.clause for change in self.changes if change.kind == "fixed")


@dataclass(frozen=True)
class Revision:
    """``revision.json``: all that is said. ``previous``: how the whole series changed since.

    ``compared``: there is a previous revision, and both were run to their end. ``mutants``: of
    all patches, or ``mutants_error``; ``score``: the percent of them that SCORE= asks for.
    """

    format: int = field(default=FORMAT, kw_only=True)
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
    mutants: PatchScore | None = None
    mutants_error: tuple[str, ...] = ()
    score: int | None = None
    findings: tuple[PreviousFinding, ...] = ()

    @property
    def bad_patches(self) -> list[int]:
        """The numbers of the patches after which something is broken."""
        return [step.patches for step in self.steps[1:] if step.bad]

    @property
    def below_score(self) -> bool:
        """Whether fewer mutants are noticed than SCORE= asks for: of a patch, or of all."""
        found = (self.mutants, *(step.mutants for step in self.steps))
        return any(one.below(self.score) for one in found if one is not None)


@dataclass
class RevisionRuns:
    """The results of a revision's runs.

    ``steps``: of the bare base and of each patch, as far as they were run; ``previous``:
    of the whole previous revision; ``again``: those that repeat flaky cases, by their kernel;
    ``tried``: of the whole series, cases that failed in the previous revision.
    ``mutants``: of the whole series, ``score``: how many percent must be noticed;
    ``mutants_error``: why there are none, ``mutants_code``: of a run of them that came to no end.
    """

    steps: Sequence[RunDocument]
    previous: RunDocument | None = None
    again: dict[StateNumber, RunDocument] = field(default_factory=dict)
    statics: OpenRemarks = field(default_factory=dict)
    mutants: MutantsDocument | None = None
    mutants_error: tuple[str, ...] = ()
    mutants_code: int = 0
    score: int | None = None
    tried: RunDocument | None = None

    def baseline(self, case: str) -> tuple[str, StateNumber]:
        """The name and the state of the kernel that a case is measured against."""
        if runs_of(case, self.steps[0])[1]:
            return "the base", 0
        return ("the previous revision", None) if runs_of(case, self.previous)[1] else ("", 0)

    def to_repeat(self) -> dict[StateNumber, tuple[str, ...]]:
        """The flaky cases that can be measured: each where it is flaky and on its baseline."""
        wanted: dict[StateNumber, dict[str, None]] = {}
        for count, document in enumerate(self.steps[1:], 1):
            for case in flaky_cases(document):
                against, where = self.baseline(case)
                for state in (count, where) if against else ():
                    wanted.setdefault(state, {})[case] = None
        return {state: tuple(cases) for state, cases in wanted.items()}

    def flaky(self, case: str, state: int) -> Flaky:
        """What is said of a case that is flaky after ``state`` patches."""
        against, where = self.baseline(case)
        baseline = self.steps[0] if where == 0 else self.previous
        here, runs_here = runs_of(case, self.steps[state], self.again.get(state))
        there, runs_there = runs_of(case, baseline, self.again.get(where)) if against else (0, 0)
        # It was chosen because its first record is a failure, so that one does not count:
        # it would make the rate look worse than it is.
        rates = Rates(there, runs_there, here, runs_here - 1)
        verdict = str(rates.verdict()) if against else "no yardstick"
        on_baseline = against, there, runs_there
        return Flaky(case, here, rates.runs_b, *on_baseline, verdict, round(rates.p, 6))


def flaky_cases(document: RunDocument) -> tuple[str, ...]:
    """The broken cases of a run that passed when they were run again."""
    return tuple(r["id"] for r in document["repeats"] if r["passed"] > 0)


def clause_verdicts(document: RunDocument) -> dict[str, str]:
    """The verdicts of one ``results.json`` by their clauses."""
    return {clause: about["verdict"] for clause, about in document["clauses"].items()}


def kind_of(before: str, now: str) -> Kind | None:
    """How a verdict changed; None where it says the same, or nothing before and after."""
    if before == now or not {before, now} & SAYS:
        return None
    if {before, now} <= SAYS:
        return "fixed" if now == "pass" else "broken"
    return "new" if now in SAYS else "gone"


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[Change, ...]:
    """The clauses whose verdicts differ, in the order of ``now``, then those only in ``before``."""
    pairs = {clause: (before.get(clause, ""), now.get(clause, "")) for clause in (*now, *before)}
    return tuple(
        Change(clause, kind, *pair) for clause, pair in pairs.items() if (kind := kind_of(*pair))
    )


def broken(document: RunDocument) -> tuple[str, ...]:
    """Ids of the broken cases, then titles of the kernel's complaints, each once."""
    cases = [test["id"] for test in document["tests"] if test["status"] in BROKEN]
    return tuple(dict.fromkeys((*cases, *(splat["title"] for splat in document["splats"]))))


def blame(document: RunDocument, base: RunDocument, excused: frozenset[str] = frozenset()) -> Blame:
    """Sorts what is broken by whether the bare base breaks it as well.

    A case that is not applicable on the base is no record of a failure there, and
    so excuses nothing. ``excused``: flaky cases that do not count.
    """
    known, here = set(broken(base)), broken(document)
    return Blame(
        ours=tuple(name for name in here if name not in known | excused),
        before=tuple(name for name in here if name in known),
        flaky=tuple(name for name in here if name in excused - known),
    )


def judge(runs: RevisionRuns, inputs: Inputs) -> tuple[Step, ...]:
    """A step for each ``results.json``; the first is that of the bare base."""
    steps = []
    mutants = scores(runs.mutants) if runs.mutants is not None else {}
    for count, document in enumerate(runs.steps):
        before = clause_verdicts(runs.steps[count - 1]) if count else {}
        # The base is the baseline, and is not measured against itself.
        flaky = tuple(runs.flaky(case, count) for case in flaky_cases(document) if count)
        excused = frozenset(one.case for one in flaky if one.excused)
        patch = inputs.patches[count - 1] if count else None
        steps.append(
            Step(
                count,
                inputs.name_of(count),
                patch.patch_id if patch else "",
                (patch and patch.message_id) or "",
                document["exit_code"],
                document["run"],
                tuple(document["error"]),
                blame(document, runs.steps[0], excused),
                changes(before, clause_verdicts(document)),
                flaky,
                runs.statics.get(count, {}),
                figures(document["coverage"]),
                mutants.get(count),
            )
        )
    return tuple(steps)


def exit_status(steps: Sequence[Step], *others: int) -> int:
    """0 where all that is broken was broken before, and the whole series has run.

    An end for which not the series is at fault counts first, in the order of the
    runs: of the steps, and of ``others``. What ends a run early (it does not apply, build or
    boot) is excused by nothing.
    """
    if (code := worst((*(step.exit_code for step in steps), *others))) not in JUDGED:
        return code
    failed = steps[0].error or any(step.bad for step in steps[1:])
    if failed:
        return SeriesError.exit_code
    return UNTESTED if steps[-1].exit_code == UNTESTED else 0


def conclude(inputs: Inputs, runs: RevisionRuns) -> Revision:
    """The whole verdict. ``runs`` has at least the bare base."""
    steps, last, previous = judge(runs, inputs), runs.steps[-1], runs.previous
    whole = len(steps) == len(inputs.patches) + 1 and not last["error"]
    compared = previous if whole and previous is not None and not previous["error"] else None
    now = [last, *([runs.tried] if runs.tried else [])]
    said = Revision(
        inputs.base,
        inputs.why,
        inputs.source,
        inputs.previous_source,
        inputs.cover,
        steps,
        compared is not None,
        changes(clause_verdicts(compared), clause_verdicts(last)) if compared else (),
        inputs.range_diff,
        exit_status(steps, previous["exit_code"] if previous else 0, runs.mutants_code),
        score(runs.mutants["mutants"]) if runs.mutants is not None else None,
        runs.mutants_error,
        runs.score,
        findings=fates(compared, now) if compared else (),
    )
    if said.exit_code in (0, UNTESTED) and said.below_score:
        return replace(said, exit_code=SeriesError.exit_code)
    return said
