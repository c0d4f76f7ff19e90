# SPDX-License-Identifier: GPL-2.0-only
"""Mutants judged on other machines: what a worker gets, and what it sends back.

The job is a file of the store, and all that it names are entries of the store. A worker opens it
once, boots its guest, and keeps it for the batches that follow.
"""

from __future__ import annotations

import atexit
import contextlib
import math
import os
import pickle
import tempfile
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console

from harness.cases.runner import CaseRunner
from harness.core import events as ev
from harness.core.atomic import write_atomically
from harness.core.settings import Settings
from harness.core.store import Store
from harness.engine.cluster import Cluster
from harness.mutants.cases import Judges
from harness.mutants.judge import MutantJudge
from harness.mutants.mutant import Mutant
from harness.mutants.reach import ReachRecord
from harness.mutants.verdict import KeptVerdicts, MutantVerdict
from harness.report.results import Results
from harness.run.assemble_guest import Equipment, booted, case_runners
from harness.run.session import KnownSeries, Session

Told = Callable[[Mutant, MutantVerdict], None]
ENOUGH_S = 8.0  # of cases, as the control took them, in one piece of work


@dataclass(frozen=True)
class Part:
    """A mutant and the cases that are to judge it; none: those that are likeliest to notice it."""

    number: int
    cases: tuple[str, ...] = ()


@dataclass(frozen=True)
class JudgeJob:
    """All that judging takes; ``folder``: where verdicts are kept."""

    settings: Settings
    known: KnownSeries
    equipment: Equipment
    judges: Judges
    reach: ReachRecord
    codes: Mapping[int, str]
    mutants: Mapping[int, Mutant]
    folder: Path


@dataclass
class _OpenJob:
    """A job that this worker is at."""

    path: Path
    job: JudgeJob
    judge: MutantJudge
    runner: CaseRunner
    stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)


_open: list[_OpenJob] = []  # one at most; a worker has one thread for guests
_lock = threading.Lock()


def _close() -> None:
    while _open:
        _open.pop().stack.close()


def _opened(path: Path) -> _OpenJob:
    if _open and _open[0].path == path:
        return _open[0]
    _close()
    job: JudgeJob = pickle.loads(path.read_bytes())
    with contextlib.ExitStack() as stack:
        out = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mutants-")))
        settings = replace(job.settings, jobs=1)
        store = Store(settings.cache, settings.cache_limit)
        stack.callback(store.release)
        session = Session(
            settings, ev.Events(), Results(), store, job.known, out, Console(quiet=True)
        )
        guests = stack.enter_context(booted(session, job.equipment))
        (runner,) = case_runners(session, job.equipment, guests)
        judge = MutantJudge(job.judges, job.reach, job.codes, KeptVerdicts(job.folder))
        _open.append(_OpenJob(path, job, judge, runner, stack.pop_all()))
    atexit.register(_close)
    return _open[0]


def judge_batch(path: str, parts: Sequence[Part]) -> list[MutantVerdict]:
    """On a worker: the verdicts on parts of the job, in their order.

    Raises:
        HarnessError: no guest comes up there.
    """
    verdicts = []
    with _lock:
        here = _opened(Path(path))
        for part in parts:
            only = {part.number: part.cases} if part.cases else {}
            judge = here.judge.again(only, math.inf if only else ENOUGH_S)
            mutant = here.job.mutants[part.number]
            judge.judge([mutant], [here.runner], lambda mutant, verdict: None)
            verdicts.append(judge.verdicts[part.number])
    return verdicts


def parts_of(cases: Sequence[str], seconds: Callable[[str], float]) -> list[tuple[str, ...]]:
    """Cases in parts of about ``ENOUGH_S`` seconds each, in their order."""
    parts: list[list[str]] = []
    took_s = math.inf
    for case in cases:
        if took_s >= ENOUGH_S:
            parts.append([])
            took_s = 0.0
        parts[-1].append(case)
        took_s += seconds(case)
    return [tuple(part) for part in parts]


def merged(one: MutantVerdict | None, other: MutantVerdict) -> MutantVerdict:
    """What two parts of a mutant's cases have found: a kill, else that one was lost."""
    if one is None:
        return other
    first = min(
        one, other, key=lambda verdict: ("killed", "lost", "survived").index(verdict.outcome)
    )
    return replace(
        first, seconds=round(one.seconds + other.seconds, 3), ran={**one.ran, **other.ran}
    )


def judge_on_workers(cluster: Cluster, job: JudgeJob, left: Sequence[Mutant], told: Told) -> float:
    """Has the workers judge mutants; ``told`` of each, once. Seconds a mutant that the way costs.

    First each mutant gets the cases that are likeliest to notice it, which is the end of most.
    The cases that are left of the others are work of its own, in parts, so that the survivors,
    which run all cases, keep no worker longer than the rest.
    A part whose workers were lost again and again, or have no guest, makes its mutant lost.
    """
    cost = 0.0
    found: dict[int, MutantVerdict] = {}
    waits: Counter[int] = Counter()
    waiting = deque(Part(mutant.number) for mutant in left)

    def take(part: Part, verdict: MutantVerdict) -> None:
        number = part.number
        so_far = found[number] = merged(found.get(number), verdict)
        cases = [name for name in job.reach.of(number) if name not in so_far.ran]
        if not part.cases and so_far.outcome == "survived" and cases:
            parts = parts_of(cases, lambda name: job.reach.runs[name].seconds)
            waiting.extend(Part(number, its) for its in parts)
            waits[number] = len(parts)
            return
        waits[number] -= 1
        if waits[number] <= 0:
            KeptVerdicts(job.folder).keep(job.codes[number], so_far)
            told(job.mutants[number], so_far)

    path = job.folder / f"job-{os.getpid()}.pickle"
    write_atomically(path, pickle.dumps(job))
    try:
        for done in cluster.shared_out(waiting, judge_batch, str(path)):
            lost = MutantVerdict("lost", done.lost or "")
            verdicts = done.result or [lost] * len(done.batch)
            for part, verdict in zip(done.batch, verdicts, strict=True):
                take(part, verdict)
            cost += done.seconds - done.worked if done.result is not None else 0.0
    finally:
        path.unlink(missing_ok=True)
    return cost / max(1, len(left))
