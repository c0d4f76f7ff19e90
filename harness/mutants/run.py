# SPDX-License-Identifier: GPL-2.0-only
"""The stages of a run of mutants behind the sound kernel's: find, compile, switch, reach, mutants.

One kernel has all mutants that are to be judged, each behind its number (``switched_tree.py``), so
that a mutant costs no build: a guest is restored, and the number is written.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.build.kernel import build
from harness.cases.runner import CaseRunner
from harness.cases.selection import select_cases
from harness.core import events as ev
from harness.core.errors import InvocationError
from harness.core.jsondata import read_kept
from harness.core.stages import stage
from harness.core.store import digest
from harness.core.words import counted
from harness.coverage.changed_lines import changed_files
from harness.engine.cluster import connected
from harness.image.programs import Case
from harness.mutants.argued import argument_for, load_arguments, outlived
from harness.mutants.cases import Judges, judges_of
from harness.mutants.compiler_verdict import compile_alone
from harness.mutants.find import find_mutants, sample
from harness.mutants.judge import MutantJudge, place_of
from harness.mutants.mutant import Mutant
from harness.mutants.on_workers import JudgeJob, judge_on_workers
from harness.mutants.reach import STAGE as REACH
from harness.mutants.reach import ReachRecord, find_reach
from harness.mutants.report import MutantReport
from harness.mutants.schedule import ScheduleSearch, scenarios_for
from harness.mutants.switched_tree import switched_tree
from harness.mutants.verdict import KeptVerdicts, Killer, MutantVerdict
from harness.races.kernels import RaceKernel
from harness.run.assemble_guest import Equipment, booted, case_runners
from harness.run.session import Session
from harness.workloads.regression_selftests import Selftest

STAGE = "mutants"
FORM = 1  # of what is kept in the store


@dataclass(frozen=True)
class MutantRun:
    """``equipment``: guests of the sound kernel. ``report`` hears of each verdict as it comes.

    ``wanted``: which mutants are. ``enough_s``: of cases for each, as in ``MutantJudge``.
    """

    session: Session
    equipment: Equipment
    workloads: Sequence[Selftest]
    report: MutantReport
    wanted: Callable[[Mutant], bool] = lambda mutant: True
    enough_s: float = math.inf

    def judge_all(self) -> Equipment | None:
        """Runs all stages; guests of the switched kernel, None where no mutant has code.

        Raises:
            InvocationError: there is nothing to mutate, or nothing to judge it by.
            SeriesError, MachineError: as for any build and any boot.
        """
        codes = self._compile(self._find())
        return self._in_guests(codes) if codes else None

    def _find(self) -> list[Mutant]:
        """The stage find: chooses mutants, and takes away those that mutants.yaml argues about."""
        settings, prepared = self.session.settings, self.equipment.prepared
        with stage(self.session.events, "find") as outcome:
            tree = prepared.applied
            compiled, note = prepared.kernel.compiled, self.session.events.note
            every = find_mutants(tree, changed_files(tree), compiled, note)
            arguments = load_arguments(self.session.data.folder, prepared.base.line)
            self.report.outlived = [str(argument) for argument in outlived(arguments, every)]
            every = [mutant for mutant in every if self.wanted(mutant)]
            if settings.patch is not None:
                every = [mutant for mutant in every if mutant.patch == settings.patch - 1]
            if settings.function is not None:
                every = [mutant for mutant in every if mutant.function == settings.function]
            size = None if settings.sample == "all" else settings.sample
            chosen = sample(every, size, settings.seed or 0, each_patch=settings.each_patch)
            outcome.detail = f"{len(chosen)} of {len(every)} mutants"
        if not chosen:
            raise InvocationError(
                "there is no mutant: no changed line of what was asked for is code in this kernel",
                next_step="leave out PATCH= and FUNCTION=, or look at what ran of the change:\n"
                f"{settings.command('test-kernel')}",
            )
        self.report.found, self.report.mutants = len(every), chosen
        for mutant in chosen:
            if argument := argument_for(mutant, arguments):
                self._tell(mutant, MutantVerdict("argued", argument.why.strip()))
        return [mutant for mutant in chosen if mutant.number not in self.report.verdicts]

    def _compile(self, chosen: Sequence[Mutant]) -> dict[int, str]:
        """The stage compile: each mutant alone; number -> digest of the code of those alive."""
        session, prepared = self.session, self.equipment.prepared
        codes: dict[int, str] = {}

        def progress(done: int, total: int) -> None:
            session.events.emit(ev.StageProgress("compile", done, total, "mutants"))

        with stage(session.events, "compile") as outcome:
            tree = replace(prepared.tree, log=session.out / "compile.log")
            compiled = compile_alone(tree, prepared.kernel.config, chosen, progress)
            for mutant in chosen:
                found = compiled[mutant.number]
                if found.outcome == "alive":
                    codes[mutant.number] = found.code
                else:
                    by: Killer | None = "build" if found.outcome == "killed by the build" else None
                    self._tell(mutant, MutantVerdict(found.outcome, found.said, by))
            outcome.detail = f"{len(codes)} of {len(chosen)} have code of their own"
        return codes

    def _tell(self, mutant: Mutant, verdict: MutantVerdict) -> None:
        self.report.verdicts[mutant.number] = verdict
        said = ": ".join(filter(None, (verdict.case, verdict.reason)))
        place, operator, outcome = place_of(mutant), mutant.operator, verdict.outcome
        told = mutant.number, operator, place, outcome, said, verdict.seconds, verdict.kept
        self.session.events.emit(ev.MutantJudged(*told))

    def _switched(self, alive: Sequence[Mutant]) -> Equipment:
        """The stage switch: guests of the kernel that has these mutants, each behind its number."""
        session, prepared = self.session, self.equipment.prepared
        with stage(session.events, "switch") as outcome:
            applied = switched_tree(prepared.base, prepared.applied, alive, session.store)
            tree = replace(prepared.tree, applied=applied, log=session.out / "switch.log")
            bzimage = prepared.kernel.bzimage is not None
            kernel = build(
                tree, prepared.kernel.config, bzimage=bzimage, stage="switch", warnings="ignore"
            )
            outcome.cached = kernel.cached
            outcome.detail = f"{counted(len(alive), 'mutant')} in one kernel"
        spec = replace(self.equipment.spec, kernel=kernel.image)
        # The mutants are no patch more: what holds from which patch on is as it was.
        tree = replace(tree, applied=replace(applied, patches=prepared.applied.patches))
        switched = replace(prepared, tree=tree, kernel=kernel)
        return replace(self.equipment, prepared=switched, spec=spec)

    def _in_guests(self, codes: Mapping[int, str]) -> Equipment:
        """The stages switch, boot, reach and mutants. What is in the store takes no guest."""
        session = self.session
        alive = [mutant for mutant in self.report.mutants if mutant.number in codes]
        judges = judges_of(self.equipment.suite, self.workloads, session.data)
        cases = select_cases(list(judges.cases.values()), session.settings.tests or "")
        if not cases:
            raise InvocationError(
                "no case is there to judge a mutant",
                next_step=f"{session.settings.command('list-tests')}   (what TESTS= selects from)",
            )
        equipment = self._switched(alive)
        with self.kept() as folder, contextlib.ExitStack() as stack:

            @functools.cache
            def runners() -> list[CaseRunner]:
                return stack.enter_context(_runners(session, equipment))

            reach = self._reach(equipment, judges, cases, folder, runners)
            # Whatever ends the run: the report has the verdicts of which nobody has heard yet, too.
            kept, verdicts = KeptVerdicts(folder), self.report.verdicts
            judge = MutantJudge(judges, reach, codes, kept, verdicts, enough_s=self.enough_s)
            left = judge.settle(alive)
            for mutant in alive:
                if mutant.number in verdicts:
                    self._tell(mutant, verdicts[mutant.number])
            if left and session.settings.engine == "dask":
                self._judge_on_workers(judge, left, equipment)
            elif left:
                self._judge(judge, left, runners())
            stack.close()  # the guests of the cases make room for those of the races
            self._schedules(equipment, codes, folder)
        return equipment

    def _schedules(self, switched: Equipment, codes: Mapping[int, str], folder: Path) -> None:
        """The stage schedule: which survivors a race scenario strikes on."""
        session, prepared = self.session, switched.prepared
        # What no case reaches, a scenario may: the other value of a re-test, above all.
        survivors = self.report.having("survived", "not reached")
        scenarios = scenarios_for(session, prepared.base.line)
        if not survivors or not scenarios:
            return

        traced = functools.partial(self.traced, switched)
        search = ScheduleSearch(session, scenarios, prepared, traced, codes, folder)
        for mutant, scenario, said in search.run(survivors):
            known = self.report.verdicts[mutant.number]
            race = str(scenario.id)
            verdict = replace(known, outcome="needs a schedule", by="race", case=race, reason=said)
            self._tell(mutant, verdict)

    def traced(self, switched: Equipment) -> RaceKernel:
        """The stage debuginfo: the switched kernel's twin, which tells where things are.

        Errors as of a build.
        """
        prepared = switched.prepared
        with stage(self.session.events, "debuginfo") as outcome:
            bzimage = prepared.kernel.bzimage is not None
            twin = build(
                prepared.tree, prepared.kernel.config, bzimage=bzimage, debug=True,
                stage="debuginfo", warnings="ignore",
            )  # fmt: skip
            outcome.cached = twin.cached
        # The lines of the sound series: those of the kernel with switches have its numbers.
        return RaceKernel(twin, self.equipment.prepared.applied, twin.entry / "debug")

    @contextlib.contextmanager
    def kept(self) -> Iterator[Path]:
        """The folder of what earlier runs have found of the sound kernel, in guests like these."""
        session, spec = self.session, self.equipment.spec
        kernel, rootfs = self.equipment.prepared.kernel.entry.name, spec.rootfs.parent.name
        key = digest(FORM, kernel, rootfs, spec.machine, spec.accel, spec.cpus, spec.env)
        with session.store.work_dir("verdicts", key, session.events.note) as folder:
            yield folder

    def _reach(
        self,
        equipment: Equipment,
        judges: Judges,
        cases: Sequence[Case],
        folder: Path,
        runners: Callable[[], list[CaseRunner]],
    ) -> ReachRecord:
        """The stage reach: which case reaches which mutant, from the store or found now."""
        identity = {str(case.id): judges.identity[str(case.id)] for case in cases}
        path = folder / f"reach-{digest(equipment.prepared.kernel.entry.name, identity)}.json"
        reach = read_kept(ReachRecord, path)
        events, cached = self.session.events, reach is not None
        ready = [] if reach else runners()  # the stage boot is one of its own
        with stage(events, REACH) as outcome:
            if reach is None:
                reach = find_reach(events, judges, ready, cases, path)
            numbers = {number for run in reach.runs.values() for number in run.reached}
            outcome.cached = cached
            outcome.detail = (
                f"{len(numbers)} mutants by {len(reach.runs) - len(reach.unused)} cases"
            )
        self.report.reach = reach
        self.report.about = {name: case.about for name, case in judges.cases.items()}
        return reach

    def _judge(
        self, judge: MutantJudge, left: Sequence[Mutant], runners: Sequence[CaseRunner]
    ) -> None:
        """The stage mutants: those that need a guest."""
        with stage(self.session.events, STAGE) as outcome:
            judge.judge(left, runners, self._progress(left))
            outcome.detail = f"{len(left)} judged in guests, {len(runners)} at once"

    def _judge_on_workers(
        self, judge: MutantJudge, left: Sequence[Mutant], equipment: Equipment
    ) -> None:
        """The stage mutants on the workers of a scheduler."""
        session, events = self.session, self.session.events
        told, mutants = self._progress(left), {mutant.number: mutant for mutant in left}
        folder = judge.kept.folder
        job = JudgeJob(
            session.settings, session.known, equipment, judge.judges, judge.reach,
            judge.codes, mutants, folder,
        )  # fmt: skip
        asked = session.settings.scheduler, session.settings.cache, events.note
        with stage(events, STAGE) as outcome, connected(*asked) as cluster:
            cost = judge_on_workers(cluster, job, left, told)
            workers = sum(cluster.workers().values())
            outcome.detail = (
                f"{len(left)} judged by {workers} workers, {cost:.2f} s a mutant for the way"
            )

    def _progress(self, left: Sequence[Mutant]) -> Callable[[Mutant, MutantVerdict], None]:
        """Tells a verdict, and how many are there."""
        done: Counter[str] = Counter()

        def told(mutant: Mutant, verdict: MutantVerdict) -> None:
            self._tell(mutant, verdict)
            done[verdict.outcome] += 1
            note = ", ".join(f"{count} {outcome}" for outcome, count in done.items())
            count = done.total()
            progress = ev.StageProgress(STAGE, count, len(left), "mutants", note)
            self.session.events.emit(progress)

        return told


@contextlib.contextmanager
def _runners(session: Session, equipment: Equipment) -> Iterator[list[CaseRunner]]:
    """What runs cases on the switched kernel; that each guest comes up again is no news."""
    out = session.out / "guests"
    out.mkdir()
    events = ev.filtered(
        session.events, lambda event: not (isinstance(event, ev.GuestBooted) and event.restored)
    )
    mine = replace(session, out=out, events=events)
    with booted(mine, equipment) as guests:
        yield case_runners(mine, equipment, guests)
