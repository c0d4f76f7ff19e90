# SPDX-License-Identifier: GPL-2.0-only
"""``make mutants``: which of the changed lines could be wrong, and no case would say so."""

from __future__ import annotations

import time
from dataclasses import replace

from harness.cases.pool import at_once
from harness.core.jsondata import write_json
from harness.core.settings import Settings
from harness.mutants.report import MutantReport
from harness.mutants.run import MutantRun
from harness.report.mutants import FILE
from harness.run.assemble_guest import assemble_guest
from harness.run.main_suite import MainSuite
from harness.run.session import RunResult, Session, run_session

SEED = 1  # where SEED= is not given


def mutants(settings: Settings) -> int:
    """``make mutants``: a sample of them, each compiled alone, and judged in a guest of its own."""
    settings.refuse_bare_base("mutants")
    return run_mutants(settings).code


def run_mutants(settings: Settings) -> RunResult:
    """The run of ``make mutants``, which ``make revision`` makes as well."""
    # Cases with something random in them do the same for each mutant, and in a later run.
    settings = replace(settings, seed=SEED if settings.seed is None else settings.seed)
    return run_session(settings, "mutants", _mutants)


def _mutants(session: Session) -> None:
    start, main = time.monotonic(), MainSuite()
    equipment = assemble_guest(session, main.programs, at_once(session.settings.jobs))
    report = MutantReport([patch.subject for patch in equipment.prepared.applied.patches])
    try:
        MutantRun(session, equipment, main.tests, report).judge_all()
    finally:  # of an interrupted run as well
        if report.mutants:
            report.seconds = time.monotonic() - start
            write_json(session.out / FILE, report.document())
            report.print_on(session.console, session.settings)
    if problem := report.problem(session.out, session.settings):
        raise problem
