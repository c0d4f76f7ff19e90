# SPDX-License-Identifier: GPL-2.0-only
"""``make finding ID=``: a failure of a run as one file that replays it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from harness.core import events as ev
from harness.core.errors import InvocationError, SeriesError
from harness.core.jsondata import read_json
from harness.core.settings import Settings
from harness.core.stages import stage
from harness.findings.failures import Failure, choose_failure, runs_of
from harness.findings.finding import Rate
from harness.findings.gather import gather_case, gather_race
from harness.findings.pyz_file import add_rate, write_finding
from harness.run.earlier_run import asked_again
from harness.run.session import RunResult, Session, run_session

STAGE = "finding"
CASE_REPLAYS = 5  # that measure a case's rate, where REPEAT= does not say how many
GATHER = {"guest": gather_case, "races": gather_race}


def finding(settings: Settings) -> int:
    """``make finding``: writes ``finding-ID.pyz`` into the run's folder, and replays it here."""
    run, failure = choose_failure(runs_of(settings), settings.id)
    then = asked_again(run.document, settings)
    return run_session(then, "finding", lambda session: _make(session, run, failure)).code


def _make(session: Session, run: RunResult, failure: Failure) -> None:
    test = failure.test
    gather = GATHER.get(ev.CaseId.parse(test["id"]).kind) if test else None
    if gather is None or test is None:
        raise InvocationError(
            f"{failure.title}: no program of a guest shows it by itself",
            evidence=run.out / "report.html",
        )
    made, parts = gather(session, run, failure, test)
    target = session.out / f"finding-{failure.id}.pyz"
    with stage(session.events, STAGE) as outcome:
        write_finding(made, parts, session.out / "draft", target)
        outcome.detail = f"{target.name}, {target.stat().st_size / (1 << 20):.1f} MiB"
    settings = session.settings
    runs = settings.runs if made.mode != "case" else settings.repeat or CASE_REPLAYS
    with stage(session.events, "replay") as outcome:
        rate = _replay(session, target, runs)
        add_rate(target, rate)
        outcome.detail = f"same {rate.same} of {rate.runs}"
        if rate.other:
            outcome.detail += f", other {rate.other}"
    session.console.print(f"python3 {target}", soft_wrap=True, markup=False)


def _replay(session: Session, target: Path, runs: int) -> Rate:
    """Replays the file as anybody would; what it prints is shown. SeriesError: it cannot."""
    told = session.out / "rate.json"
    argv = [sys.executable, "-I", str(target), "-n", str(runs), "--json", str(told)]
    argv += ["--keep", str(session.out / "replay")]
    with subprocess.Popen(argv, text=True, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line.rstrip())
            session.events.note(line.rstrip())
    if not told.is_file():
        what = "the file does not replay:\n" + "\n".join(said[-20:])
        raise SeriesError(what, evidence=target)
    rate = read_json(Rate, told)
    told.unlink()
    return rate
