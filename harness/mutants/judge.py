# SPDX-License-Identifier: GPL-2.0-only
"""Judges mutants, each in a guest of its own that is restored before the mistake was made.

The cases that reach the mutant's line run until one notices it: first those that noticed a
neighbour of the same line, then those of the same function, then the quickest.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.cases.pool import SHARED_FACTOR, shared_out
from harness.cases.runner import CaseRunner
from harness.core import events as ev
from harness.core.errors import HarnessError, InternalError
from harness.image.programs import Case
from harness.mutants.cases import Judges
from harness.mutants.mutant import Mutant
from harness.mutants.reach import ReachRecord, choose
from harness.mutants.verdict import KeptVerdicts, Killer, MutantVerdict
from harness.vm.channel import SshError
from harness.vm.guest import Guest

# A case that takes so many times its control's seconds, and these more, hangs: its own limit
# is for any machine, and a hang costs all of it.
HANG_FACTOR, HANG_SPARE_S = 10.0, 15.0
ENDED = "the run was ended"


def place_of(mutant: Mutant) -> str:
    """Where it is, for people."""
    return f"{mutant.path}:{mutant.line} {mutant.function}"


@dataclass
class MutantJudge:
    """Gives each mutant its verdict. ``codes``: number -> digest of the mutant's code.

    ``runner``: how cases are run here; its guests are of the switched kernel, restored by
    ``runner.fresh``. ``verdicts``: number -> verdict, filled as they come, whatever ends the run.
    ``only``: number -> the cases that may judge it, where not all that reach it may.
    ``enough_s``: no other case is begun behind cases that took so many seconds in the control.
    Either way a mutant has survived only what its verdict says that it ran.
    """

    judges: Judges
    reach: ReachRecord
    codes: Mapping[int, str]
    kept: KeptVerdicts
    verdicts: dict[int, MutantVerdict] = field(default_factory=dict)
    only: Mapping[int, Sequence[str]] = field(default_factory=dict)
    enough_s: float = math.inf
    _of_line: defaultdict[tuple[str, int], Counter[str]] = field(
        default_factory=lambda: defaultdict(Counter)
    )
    _of_function: defaultdict[tuple[str, str], Counter[str]] = field(
        default_factory=lambda: defaultdict(Counter)
    )
    _ended: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def settle(self, mutants: Sequence[Mutant]) -> list[Mutant]:
        """Takes the verdicts that need no guest; the mutants that do."""
        left = []
        for mutant in mutants:
            cases = {name: self.judges.identity[name] for name in self.reach.of(mutant.number)}
            if not cases:
                self._take(mutant, MutantVerdict("not reached"))
            elif known := self.kept.find(self.codes[mutant.number], cases, self._enough):
                self._take(mutant, known)
            else:
                left.append(mutant)
        return left

    def judge(
        self,
        mutants: Sequence[Mutant],
        runners: Sequence[CaseRunner],
        told: Callable[[Mutant, MutantVerdict], None],
    ) -> None:
        """Judges mutants in guests, as many at once as there are runners; ``told`` of each.

        Raises:
            InternalError: a defect; what befalls this machine costs the mutant, not the run.
        """
        workers = [self._worker(runner) for runner in runners]
        shared = shared_out(mutants, workers, lambda mutant: mutant.number)
        with contextlib.closing(shared):
            try:
                for mutant, verdict in shared:
                    told(mutant, verdict.result())
            finally:
                # Whatever a guest says from now on, it says because it is ended.
                with self._lock:
                    self._ended.set()

    def again(self, only: Mapping[int, Sequence[str]], enough_s: float) -> MutantJudge:
        """One for more mutants, when this one's are judged, with all that it has learned."""
        return replace(self, only=only, enough_s=enough_s, _ended=threading.Event())

    def _worker(self, runner: CaseRunner) -> Callable[[Mutant], MutantVerdict]:
        def work(mutant: Mutant) -> MutantVerdict:
            start = time.monotonic()
            try:
                found = self._in_guest(mutant, runner)
            except InternalError:
                raise
            except (HarnessError, SshError, TimeoutError) as error:
                found = MutantVerdict("lost", str(error).partition("\n")[0])
            found = replace(found, seconds=round(time.monotonic() - start, 3))
            with self._lock:
                if self._ended.is_set():
                    return MutantVerdict("lost", ENDED)
                self.kept.keep(self.codes[mutant.number], found)
                self._take(mutant, found)
            return found

        return work

    def _enough(self, names: Collection[str]) -> bool:
        """Whether no other case is begun behind these."""
        return sum(self.reach.runs[name].seconds for name in names) >= self.enough_s

    def _take(self, mutant: Mutant, verdict: MutantVerdict) -> None:
        self.verdicts[mutant.number] = verdict
        if verdict.case is not None:
            self._of_line[mutant.path, mutant.line][verdict.case] += 1
            self._of_function[mutant.path, mutant.function][verdict.case] += 1

    def _ordered(self, mutant: Mutant) -> list[str]:
        """The cases that reach a mutant, the likeliest to notice it first."""
        with self._lock:
            line = dict(self._of_line[mutant.path, mutant.line])
            function = dict(self._of_function[mutant.path, mutant.function])
        # Sorting keeps the order of those that are alike: the quickest first.
        reaching = self.reach.of(mutant.number)
        return sorted(
            self.only.get(mutant.number, reaching),
            key=lambda name: (-line.get(name, 0), -function.get(name, 0)),
        )

    def _in_guest(self, mutant: Mutant, runner: CaseRunner) -> MutantVerdict:
        ran: dict[str, str] = {}

        def killed(by: Killer, reason: str, case: str) -> MutantVerdict:
            return MutantVerdict("killed", reason, by, case, ran=ran)

        guest = runner.fresh()
        # KVM is not tried anew for a guest that a mutant has lost.
        mine = replace(runner, guest=guest, without_kvm=None)
        try:
            try:
                struck = choose(guest, mutant.number)
            except (SshError, TimeoutError) as error:  # it has answered a moment ago
                struck = str(error)
            if struck:
                guest.settle()
                struck = self._complaint(guest, runner) or struck
                return MutantVerdict("killed", struck, "lost guest")
            for name in self._ordered(mutant):
                if self._enough(ran):
                    break
                ran[name] = self.judges.identity[name]
                seen: list[ev.Event] = []
                record = mine.run(self._limited(name, guest), seen.append)
                known = self.reach.runs[name].failing
                if noticed := self.judges.noticed(record, seen, known):
                    return killed(*noticed, name)
                if complaint := self._complaint(guest, runner):
                    return killed("complaint", complaint, name)
                if not guest.trustworthy:
                    return killed("lost guest", "the guest died behind the case", name)
            return MutantVerdict("survived", ran=ran)
        finally:
            guest.close()

    @staticmethod
    def _complaint(guest: Guest, runner: CaseRunner) -> str | None:
        """What the kernel has said behind a case that counts."""
        splats = map(runner.sort_out, guest.take_stray_splats())
        return next((s.title for s in splats if not s.expected and not s.foreign), None)

    def _limited(self, name: str, guest: Guest) -> Case:
        """A case that is given up as soon as it is known to hang."""
        case = self.judges.cases[name]
        hangs = (self.reach.runs[name].seconds * HANG_FACTOR + HANG_SPARE_S) / guest.pace
        return replace(case, timeout=min(case.timeout * SHARED_FACTOR, hangs))
