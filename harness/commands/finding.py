# SPDX-License-Identifier: GPL-2.0-only
"""``make finding ID=``: a failure of a run as one file that replays it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.core import events as ev
from harness.core.command_table import command
from harness.core.errors import InvocationError, SeriesError
from harness.core.jsondata import read_json
from harness.core.settings import Settings
from harness.core.stages import stage
from harness.findings.failures import Failure, failures
from harness.findings.finding import Rate
from harness.findings.gather import gather_case, gather_race
from harness.findings.pack import add_rate, write_finding
from harness.run.again import asked_again
from harness.run.session import RunResult, Session, read_results, run_session

STAGE = "finding"
CASE_REPLAYS = 5  # that measure a case's rate, where REPEAT= does not say how many
GATHER = {"guest": gather_case, "races": gather_race}


def choose_failure(runs: Sequence[RunResult], wanted: str | None) -> tuple[RunResult, Failure]:
    """The failure whose id begins with ``wanted``, of the latest run that has it.

    Raises InvocationError: none does, or several of one run; what there is, is listed.
    """
    for run in reversed(runs):
        known = failures(run.document)
        matching = [f for f in known if f.id.startswith(wanted)] if wanted else []
        if len(matching) == 1:
            return run, matching[0]
        if known and (matching or not wanted):
            listed = "\n".join(f"{f.id}  {f.title}" for f in matching or known)
            step = command("finding", ID=(matching or known)[0].id)
            raise InvocationError(
                f"ID= is to name one of\n{listed}", evidence=run.out, next_step=step
            )
    what = f"no run has a failure with the id {wanted}" if wanted else "no run has a failure"
    raise InvocationError(what, next_step="FROM=out/RUN says where; results.json has the ids")


def _results(settings: Settings) -> list[RunResult]:
    """The runs that may have it: FROM='s, or all of OUT=."""
    given = settings.claim
    if given is None:
        return read_results(settings.out.glob("*/results.json"))
    path = given / "results.json" if given.is_dir() else given
    if not path.is_file():
        raise InvocationError(f"FROM={given} is no run's folder and no results.json")
    return read_results([path.resolve()])


def finding(settings: Settings) -> int:
    """``make finding``: writes ``finding-ID.pyz`` into the run's folder, and replays it here."""
    run, failure = choose_failure(_results(settings), settings.id)
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
