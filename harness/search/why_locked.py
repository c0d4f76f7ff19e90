# SPDX-License-Identifier: GPL-2.0-only
"""Each protection taken away: the cases look for it, and then the search.

The search runs on the kernel of the mutants, each behind its number, with debug information; who
comes where is found once, without any of them.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.cases.pool import at_once
from harness.core import events as ev
from harness.core import git
from harness.core.jsondata import read_kept, write_json
from harness.core.stages import stage
from harness.core.store import digest, file_digest
from harness.mutants.mutant import Mutant
from harness.mutants.reach import SOUND, choose, reached
from harness.mutants.report import MutantReport
from harness.mutants.run import MutantRun
from harness.mutants.verdict import MutantVerdict
from harness.races.guests import KernelGuests, kernel_guests, race_context
from harness.races.scenario import Scenario
from harness.races.scenario_file import write_scenario
from harness.races.trace import RaceError
from harness.run.assemble_guest import assemble_guest
from harness.run.main_suite import MainSuite
from harness.run.session import Session
from harness.search.points import SearchedCode
from harness.search.program_search import ProgramSearch
from harness.search.protections import (
    Protection,
    ProtectionSearch,
    mutant_patch,
    protection_of,
)
from harness.search.run import STAGE, searched_programs
from harness.series.apply import Applied

# Of the cases of one protection, measured without a mistake. A mutant that a case kills is killed
# in 1 to 11 s; one that survives takes all of the suite, which is 60 s at rest and 450 s beside
# other work, and then the search is not begun.
CASES_S = 15.0
# What was searched by this code is not searched again.
_CODE = file_digest(
    *(
        Path(__file__).with_name(f"{n}.py")
        for n in ("orders_to_try", "points", "prober", "program_search")
    )
)
NOT_JUDGED = MutantVerdict("lost", "the run was ended before")


def judge_protections(session: Session, every: list[Protection]) -> None:
    """Each protection that the series adds: what the cases say, then what a search finds.

    ``every`` gets all of them before the search begins, or when the cases are interrupted.
    BUDGET= is for the search of one.
    Errors as of ``MutantRun`` and of guests.
    """
    main = MainSuite()
    equipment = assemble_guest(session, main.programs, at_once(session.settings.jobs))
    report = MutantReport([patch.subject for patch in equipment.prepared.applied.patches])
    run = MutantRun(
        session, equipment, main.tests, report, lambda m: protection_of(m) is not None, CASES_S
    )
    try:
        switched = run.judge_all()
    finally:  # of an interrupted run as well
        of = report.verdicts
        every += [Protection(m, of.get(m.number, NOT_JUDGED)) for m in report.mutants]
    left = [one for one in every if one.searched]
    if switched is None or not left:
        return
    line = equipment.prepared.base.line
    kernel, programs = run.traced(switched), searched_programs(session, line)
    context = race_context(session, equipment.prepared, kernel, programs)
    with run.kept() as folder:
        seed, budget = session.settings.seed, session.settings.budget
        how = digest(_CODE, context.programs.image.parent.name, seed, budget)
        for one in left:
            one.search = read_kept(ProtectionSearch, kept_in(folder, how, one))
            _keep_order(session, equipment.prepared.applied, programs, one)
        fresh = [one for one in left if one.search is None]
        if len(fresh) < len(left):
            session.events.note(f"{len(left) - len(fresh)} were searched for by an earlier run")
        if fresh:
            with kernel_guests(context, kernel, "races/search", session.events) as on:
                _search_all(on, programs, fresh, functools.partial(kept_in, folder, how))


def _search_all(
    on: KernelGuests,
    programs: Sequence[Scenario],
    left: Sequence[Protection],
    file_of: Callable[[Protection], Path],
) -> None:
    session, kernel = on.context.session, on.kernel
    on.guests.take_snapshot(on.guest())  # with no mistake made
    assert on.symbols is not None  # all are controlled
    code = SearchedCode(kernel.applied, kernel.build.compiled, on.symbols)
    each = (_reach(on, code, program) for program in programs)
    comes_to = [found for found in each if found is not None]
    for number, one in enumerate(left, 1):
        with stage(session.events, STAGE) as outcome:
            one.search = _search(on, one, comes_to)
            write_json(file_of(one), one.search)
            _keep_order(session, on.context.prepared.applied, programs, one)
            outcome.detail = f"{number} of {len(left)}: {one.name}: {one.answer}"


def kept_in(folder: Path, how: str, one: Protection) -> Path:
    """The file of what a search came to; ``how``: a digest of all else that it depends on."""
    return folder / f"search-{digest(how, one.mutant.key)}.json"


@dataclass(frozen=True)
class ReachedBy:
    """Where the threads of a program come with no mistake made.

    ``passed``: the numbers of the mutants on their way, in inline functions of headers too.
    """

    program: ProgramSearch
    passed: frozenset[int]

    def comes_to(self, mutant: Mutant) -> bool:
        """Whether a thread comes to the mutant's place, or into its function."""
        points = itertools.chain.from_iterable(self.program.reached.values())
        return mutant.number in self.passed or any(
            point.place.function == mutant.function for point in points
        )


def _reach(on: KernelGuests, code: SearchedCode, scenario: Scenario) -> ReachedBy | None:
    """Who comes where with a program, and no mistake made; None where it does not run."""
    session, settings = on.context.session, on.context.session.settings
    one = ProgramSearch(on, scenario, code, settings.runs, settings.seed or 0)
    with stage(session.events, "threads") as outcome:
        try:
            choose(on.guest(), SOUND)
            one.reach()
            passed = reached(on.guest())
        except RaceError as error:
            session.events.emit(ev.Note(f"{scenario.name} is not used: {error}", "warning"))
            return None
        counts = ", ".join(f"{name} {len(points)}" for name, points in one.reached.items())
        outcome.detail = f"{scenario.name}: points reached: {counts}"
    return ReachedBy(one, passed)


def _search(on: KernelGuests, one: Protection, every: Sequence[ReachedBy]) -> ProtectionSearch:
    """Searches with each program whose threads come to the protection."""
    session, function = on.context.session, one.mutant.function
    able = [found.program for found in every if found.comes_to(one.mutant)]
    names = [program.scenario.name for program in able]
    search = ProtectionSearch(names)
    on.ready = functools.partial(choose, number=one.mutant.number)
    left_s = 60.0 * session.settings.budget
    for number, program in enumerate(able):
        on.discard()
        about = ProgramSearch(on, program.scenario, program.code, program.runs, program.seed)
        for thread, points in program.reached.items():
            about.reached[thread] = [
                replace(p, origin="asked" if p.place.function == function else "called")
                for p in points
            ]

        def progress(tries: int, name: str = names[number]) -> None:
            told = ev.StageProgress(STAGE, tries, 0, "tries", f"{one.name}, {name}")
            session.events.emit(told)

        about.search(left_s / (len(able) - number), progress)
        left_s -= about.seconds
        search.tries += about.tries
        search.seconds += about.seconds
        if about.found is not None:
            search.found, search.programs = about.found, names[: number + 1]
            break
    return search


def _keep_order(
    session: Session, applied: Applied, programs: Sequence[Scenario], one: Protection
) -> None:
    """The order as a scenario, and beside it the patch that is its variant."""
    if one.search is None or one.found is None:
        return
    folder = session.out / "races" / "found"
    folder.mkdir(parents=True, exist_ok=True)
    source = git.raw(applied.repo, "cat-file", "blob", f"{applied.commit}:{one.mutant.path}")
    (folder / f"{one.name}.patch").write_text(mutant_patch(source, one.mutant), "utf-8")
    if one.found.points:
        scenario = next(s for s in programs if s.name == one.search.programs[-1])
        about = f"Found by why-locked: what the {one.kind} in {one.mutant.function}() is for."
        points = one.found.points
        one.scenario = write_scenario(folder, one.name, about, scenario, points, one.name)
