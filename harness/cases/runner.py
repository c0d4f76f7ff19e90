# SPDX-License-Identifier: GPL-2.0-only
"""Where cases run: keeps a trustworthy guest at hand and judges one case at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness.cases.outcome import judge_end
from harness.cases.plugins import Dialogue, Judgement, load_driver
from harness.core import events as ev
from harness.core.command_table import command
from harness.image.programs import Case
from harness.series.contract import SeriesData
from harness.vm.guest import CaseRun, Guest
from harness.vm.protocol import Ask
from harness.vm.splats import Splat

# Runs a case in a guest under TCG, given why KVM may have lost the one it ran in.
Trial = Callable[[str, Callable[[Guest], CaseRun]], tuple[Guest, CaseRun]]

_KERNEL_NEED = re.compile(r"^linux-(?P<major>\d+)\.(?P<minor>\d+)$")


def unmet_kernel(needs: tuple[str, ...], version: str) -> str:
    """The need of a case, written ``linux-6.10``, that a kernel of ``version`` is too old for.

    Such a case is about something that older kernels do not have. The version
    decides and no probe: on a kernel that has it, a series that breaks it must fail.
    """
    have = [int(number) for number in version.split(".")[:2]]
    for since in filter(None, map(_KERNEL_NEED.match, needs)):
        if have < [int(since["major"]), int(since["minor"])]:
            return since[0].removeprefix("linux-")
    return ""


def judge_case(
    case: Case, run: CaseRun, swap_image: Path
) -> tuple[ev.Status, str, tuple[str, ...]]:
    """Status, reason and diagnostics of one case, from all that was seen of it."""
    complaints = [s.title for s in run.splats if not s.expected and not s.foreign]
    disk = swap_image if "swapimage" in case.host_checks else None
    return judge_end(run, complaints, case.name, disk)


@dataclass
class CaseRunner:
    """Runs cases, replacing the guest whenever it can no longer be trusted.

    ``fresh`` gives a new guest (restored from the snapshot, or booted where
    there is none); ``applied`` is the number of patches in the kernel, and
    ``version`` what its Makefile says; ``sort_out`` marks a splat that does not
    count against the series; ``without_kvm`` has a guest under TCG do what one that KVM
    may have lost was at; ``again`` is what to type for this run again. ``observe`` is
    called before each case, without one, and behind it with its id.
    """

    data: SeriesData
    applied: int
    version: str
    fresh: Callable[[], Guest]
    guest: Guest | None = None
    sort_out: Callable[[Splat], Splat] = lambda splat: splat
    without_kvm: Trial | None = None
    again: str = command("test-kernel")
    observe: Callable[[Guest, ev.CaseId | None], None] = lambda guest, case: None

    def run(
        self, case: Case, emit: ev.Consumer, env: Mapping[str, str] | None = None
    ) -> ev.CaseFinished:
        """Runs one case, with ``env`` beside what every case has.

        ``emit`` hears what is seen of the case, its record at last.
        """
        record = self.not_applicable(case.id, case.clauses, case.about, case.needs)
        record = record or self._run_in_guest(case, emit, env or {})
        emit(record)
        return record

    def not_applicable(
        self, case_id: ev.CaseId, clauses: tuple[str, ...], about: str, needs: tuple[str, ...] = ()
    ) -> ev.CaseFinished | None:
        """The record of a case that asks more than these patches or this kernel have; else None."""
        early = next((c for c in clauses if not self.data.applicable(c, self.applied)), None)
        if early is not None:
            since = self.data.clauses[early].holds_from
            reason = f"{early} holds from patch {since}; {self.applied} applied"
        elif line := unmet_kernel(needs, self.version):
            reason = f"needs Linux {line}; this is {self.version}"
        else:
            return None
        return ev.CaseFinished(case_id, "not_applicable", reason, 0.0, clauses, about=about)

    def ready(self) -> Guest:
        """The guest for the next case: the one there is, or a new one for one that is spoilt."""
        if self.guest is not None and not self.guest.trustworthy:
            self.guest.close()
            self.guest = None
        if self.guest is None:
            self.guest = self.fresh()
        return self.guest

    def _run_in_guest(
        self, case: Case, emit: ev.Consumer, env: Mapping[str, str]
    ) -> ev.CaseFinished:
        guest = self.ready()
        emit(ev.CaseStarted(case.id, case.clauses))
        self.observe(guest, None)
        judgements: list[Judgement] = []
        driver = None
        if case.driver:
            driver = load_driver(self.data.owner(case.program.source).folder, case.driver)

        def run_in(guest: Guest) -> CaseRun:
            judgements.clear()

            def talk(ask: Ask) -> None:
                assert driver is not None
                env_of_case = {**dict(guest.spec.env), **env}
                dialogue = Dialogue(ask, env_of_case, guest.folder, self.again, guest.pace)
                judgements.append(driver(dialogue))

            return guest.run_case(
                str(case.id),
                (*case.program.argv, "--run", case.name),
                case.timeout * guest.pace,
                env=dict(env),
                oom_expected="oom" in case.needs,
                talk=talk if driver else None,
            )

        run = run_in(guest)
        if run.kvm_suspect and self.without_kvm is not None:
            guest.close()
            self.guest = None  # whatever the trial raises
            guest, run = self.without_kvm(run.kvm_suspect, run_in)
            self.guest = guest
        self.observe(guest, case.id)
        run = replace(run, splats=tuple(map(self.sort_out, run.splats)))
        for splat in run.splats:
            emit(splat.seen(case.id))
        if run.lost:
            emit(ev.GuestLost(run.lost, case.id, str(run.evidence) if run.evidence else None))
        status, reason, notes = judge_case(case, run, guest.swap_image)
        for judgement in judgements:
            notes += judgement.notes
            if status == "pass":
                status, reason = judgement.status, judgement.reason
        return ev.CaseFinished(
            case.id, status, reason, run.seconds, case.clauses, notes, case.about
        )
