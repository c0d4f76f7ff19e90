# SPDX-License-Identifier: GPL-2.0-only
"""The cases that judge mutants: what each is, and what a run of it has noticed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.core import events as ev
from harness.core.store import digest, file_digest
from harness.image.programs import Case, Suite
from harness.mutants.verdict import Killer
from harness.races.programs import libraries_of
from harness.series.contract import SeriesData
from harness.workloads.judge import failing, seen
from harness.workloads.regression_selftests import RUNNER, Selftest, case_of


@dataclass(frozen=True)
class Judges:
    """The cases by their ids, in order; ``workloads``: those of them that are programs.

    ``identity``: a digest of what each case is: its program, its modules, what drives it.
    """

    cases: Mapping[str, Case]
    workloads: Mapping[str, Selftest]
    identity: Mapping[str, str]

    def noticed(
        self, record: ev.CaseFinished, said: Sequence[ev.Event], known: Sequence[str]
    ) -> tuple[Killer, str] | None:
        """What a run of a case has noticed and how, in words; None: nothing.

        Args:
            said: what else was seen of it.
            known: the results of a workload that fail without a mutant.
        """
        if lost := next((e for e in said if isinstance(e, ev.GuestLost)), None):
            return "lost guest", lost.reason
        splats = (event for event in said if isinstance(event, ev.SplatSeen))
        if splat := next((s for s in splats if not s.expected and not s.foreign), None):
            return "complaint", splat.title
        by: Killer = "time limit" if record.status == "timeout" else "check"
        test = self.workloads.get(str(record.id))
        if test is None:
            return (by, record.reason) if record.status in ev.BROKEN else None
        fresh = sorted(failing(seen(record, test.points)) - set(known))
        return (by, f"{fresh[0]} fails: {record.reason}".rstrip(": ")) if fresh else None


def judges_of(suite: Suite, tests: Sequence[Selftest], data: SeriesData) -> Judges:
    """Those of a run's suite; ``tests``: its workloads."""
    workloads = {str(case_of(test, RUNNER).id): test for test in tests}
    lib, identity = file_digest(*libraries_of(data)), {}
    for case in suite.cases:
        if str(case.id) in workloads:
            what = suite.image.parent.name  # with the plan and all programs
        else:
            owner = data.owner(case.program.source)
            files = [
                case.program.source,
                *(sorted(owner.folder.rglob("*.py")) if case.driver else ()),
            ]
            what = digest(lib, case.name, case.timeout, case.needs, file_digest(*files))
        identity[str(case.id)] = what
    return Judges({str(case.id): case for case in suite.cases}, workloads, identity)
