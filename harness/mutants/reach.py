# SPDX-License-Identifier: GPL-2.0-only
"""Which case reaches which mutant: the switch of a guest's kernel, and the control.

The control is every case once on the switched kernel with no mutant chosen. What fails there
proves nothing and is not used; a workload is used as long as a result of it passes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.cases.runner import CaseRunner
from harness.cases.selection import run_cases
from harness.core import events as ev
from harness.core.errors import InternalError
from harness.core.jsondata import write_json
from harness.image.programs import Case
from harness.mutants.cases import Judges
from harness.vm.channel import SshError
from harness.vm.guest import Guest
from harness.workloads.judge import failing, seen
from harness.workloads.regression_selftests import Selftest

STAGE = "reach"
PARAMETER = "/sys/module/kernel/parameters/harness_mutant"
SOUND = 0  # the number with which the kernel has no mistake
TIMEOUT_S = 20.0  # of a guest of the reference's pace; it takes 0.1 s


def choose(guest: Guest, number: int) -> str | None:
    """Makes the kernel of ``guest`` the mutant ``number``, and forgets what was reached.

    None, or how the shell ended that wrote the number: a mistake may strike it at once.

    Raises:
        SshError, TimeoutError: the guest does not answer.
        InternalError: this kernel has no such mutant.
    """
    done = guest.exec(f"echo {number} >{PARAMETER}", TIMEOUT_S * guest.pace)
    if done.exit_code and done.stderr.strip():
        raise InternalError(f"{PARAMETER} does not take {number}: {done.stderr.strip()}")
    return f"no program runs: a shell ended with {done.exit_code}" if done.exit_code else None


def reached(guest: Guest) -> frozenset[int]:
    """The mutants whose place the kernel has passed since ``choose``.

    Raises:
        SshError, TimeoutError: the guest does not answer.
        InternalError: this kernel has no mutants.
    """
    done = guest.exec(["/bin/cat", PARAMETER], TIMEOUT_S * guest.pace)
    if done.exit_code:
        raise InternalError(f"{PARAMETER} cannot be read: {done.stderr.strip()}")
    bits = int(done.stdout.strip().replace(",", "") or "0", 16)
    return frozenset(number for number in range(bits.bit_length()) if bits >> number & 1)


@dataclass(frozen=True)
class ControlRun:
    """A case, or a scenario, on the sound kernel.

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
    write_json(path, found)
    return found
