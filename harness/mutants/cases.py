# SPDX-License-Identifier: GPL-2.0-only
"""The cases that judge mutants: what each is, how a run of it is read, and what each reaches.

The control is every case once on the switched kernel with no mutant chosen. What fails there
proves nothing and is not used; a workload is used as long as a result of it passes.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from harness.cases.runner import CaseRunner
from harness.cases.selection import run_cases
from harness.core import events as ev
from harness.core.atomic import write_atomically
from harness.core.errors import InvocationError
from harness.core.jsondata import read_json
from harness.core.store import digest, file_digest
from harness.image.programs import GUEST_TESTS, Case, Suite
from harness.mutants.switch import SOUND, choose, reached
from harness.mutants.verdict import Killer
from harness.report.results import BROKEN
from harness.series.contract import SeriesData
from harness.vm.channel import SshError
from harness.vm.guest import Guest
from harness.workloads.judge import failing, seen
from harness.workloads.selftests import RUNNER, Selftest, case_of

STAGE = "reach"


@dataclass(frozen=True)
class ControlRun:
    """A case on the sound kernel.

    Args:
        unused: why it says nothing of mutants; None where it does.
        failing: the results of a workload that fail without any mutant.
        reached: the numbers of the mutants whose places it passes.
    """

    seconds: float
    unused: str | None
    failing: tuple[str, ...] = ()
    reached: tuple[int, ...] = ()


@dataclass(frozen=True)
class ReachRecord:
    """The control run of each case, by its id."""

    runs: dict[str, ControlRun] = field(default_factory=dict)

    def of(self, number: int) -> list[str]:
        """The cases that can tell a mutant, as far as they reach it, the quickest first."""
        found = [n for n, run in self.runs.items() if run.unused is None and number in run.reached]
        return sorted(found, key=lambda name: self.runs[name].seconds)

    @property
    def unused(self) -> dict[str, str]:
        """The cases that are not used, with the reasons."""
        return {name: run.unused for name, run in self.runs.items() if run.unused is not None}


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
            return (by, record.reason) if record.status in BROKEN else None
        fresh = sorted(failing(seen(record, test.points)) - set(known))
        return (by, f"{fresh[0]} fails: {record.reason}".rstrip(": ")) if fresh else None


def judges_of(suite: Suite, tests: Sequence[Selftest], data: SeriesData) -> Judges:
    """Those of a run's suite; ``tests``: its workloads."""
    workloads = {str(case_of(test, RUNNER).id): test for test in tests}
    folder = GUEST_TESTS / data.guest_tests if data.guest_tests else None
    lib = file_digest(
        *(p for p in (GUEST_TESTS / "lib", folder and folder / "lib") if p and p.is_dir())
    )
    identity = {}
    for case in suite.cases:
        if str(case.id) in workloads:
            what = suite.image.parent.name  # with the plan and all programs
        else:
            files = [
                case.program.source,
                *(sorted(data.folder.rglob("*.py")) if case.driver else ()),
            ]
            what = digest(lib, case.name, case.timeout, case.needs, file_digest(*files))
        identity[str(case.id)] = what
    return Judges({str(case.id): case for case in suite.cases}, workloads, identity)


def _control(
    record: ev.CaseFinished,
    said: Sequence[ev.Event],
    test: Selftest | None,
    numbers: frozenset[int],
) -> ControlRun:
    """What a run without a mutant makes of a case."""
    lost = any(isinstance(event, ev.GuestLost) for event in said)
    if test is None or lost or record.status == "not_applicable":
        unused = None if record.status == "pass" else f"{record.status}: {record.reason}"
        return ControlRun(record.seconds, unused, (), tuple(sorted(numbers)))
    run = seen(record, test.points)
    wrong = failing(run)
    good = any(outcome == "pass" for outcome in run.outcomes.values())
    unused = None if good else f"{run.status}: {run.reason}"
    return ControlRun(record.seconds, unused, tuple(sorted(wrong)), tuple(sorted(numbers)))


@dataclass
class _Watch:
    """Hears of the control's cases, and asks their guests."""

    events: ev.Events
    judges: Judges
    total: int
    numbers: dict[str, frozenset[int]] = field(default_factory=dict)
    said: dict[str, list[ev.Event]] = field(default_factory=dict)
    runs: dict[str, ControlRun] = field(default_factory=dict)

    def observe(self, guest: Guest, case: ev.CaseId | None) -> None:
        """Forgets before a case what was reached, and asks behind it; see ``CaseRunner``."""
        # Of a guest that does not answer the record of the case will tell.
        with contextlib.suppress(SshError, TimeoutError):
            if case is None:
                choose(guest, SOUND)
            elif guest.trustworthy:
                self.numbers[str(case)] = reached(guest)

    def take(self, event: ev.Event) -> None:
        """Hears of a case."""
        if isinstance(event, ev.CaseFinished):
            name = str(event.id)
            numbers = self.numbers.get(name, frozenset())
            test, said = self.judges.workloads.get(name), self.said.get(name, [])
            self.runs[name] = _control(event, said, test, numbers)
            done = len(self.runs), self.total, "cases", name
            self.events.emit(ev.StageProgress(STAGE, *done))
        elif isinstance(event, (ev.SplatSeen, ev.GuestLost)):
            self.said.setdefault(str(event.test), []).append(event)


def kept_reach(path: Path) -> ReachRecord | None:
    """What an earlier run has found of the same kernel and cases; None: nothing."""
    try:
        return read_json(ReachRecord, path) if path.is_file() else None
    except InvocationError:  # of another version
        return None


def find_reach(
    events: ev.Events,
    judges: Judges,
    runners: Sequence[CaseRunner],
    cases: Sequence[Case],
    path: Path,
) -> ReachRecord:
    """Runs each case once without a mutant; leaves what came of it in ``path``.

    Args:
        runners: their guests run the switched kernel.

    Raises:
        HarnessError: whatever kept the guests from going on.
    """
    watch = _Watch(events, judges, len(cases))
    watched = [replace(runner, observe=watch.observe) for runner in runners]
    try:
        run_cases(cases, watched, watch.take, "")
    finally:
        for runner in watched:
            if runner.guest is not None:
                runner.guest.close()
    found = ReachRecord(watch.runs)
    write_atomically(path, json.dumps(asdict(found)) + "\n")
    return found
