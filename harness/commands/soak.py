# SPDX-License-Identifier: GPL-2.0-only
"""``make soak``: guest cases with fresh seeds, round after round, for a long time.

What a kind repeats stands in ``soak.yaml`` beside ``series.yaml``. A run leaves what its rounds
come to in ``soak.json`` of its folder, whole after each of them: a kill loses the round that was
under way. Run again, it goes on towards ``MINUTES=``: of one kernel, which is named by its entry
in the store (the patched tree, the configuration and the compiler), all runs below ``OUT=``
count. The first failure, or the first complaint of the kernel, ends it with the seed.
"""

from __future__ import annotations

import re
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import repeat
from pathlib import Path

from rich.console import Console, Group
from rich.markup import escape

from harness.build.fragments import read_values
from harness.cases.runner import CaseRunner
from harness.core import events as ev
from harness.core.errors import InternalError, InvocationError, SeriesError
from harness.core.jsondata import read_json, read_yaml, write_json
from harness.core.settings import Settings
from harness.core.stages import stage
from harness.core.tables import plain_table
from harness.image.programs import Case
from harness.run.assemble_guest import (
    assemble_guest,
    booted,
    case_runners,
    decode_splats,
    look_for_leaks,
)
from harness.run.session import Session, run_session
from harness.vm.protocol import SEED_VARIABLE

STAGE = "soak"
KINDS, FILE = "soak.yaml", "soak.json"
DEFAULT_MINUTES = 30
_COUNT = re.compile(r"^@count (?P<name>\w+) (?P<count>\d+)$")


@dataclass(frozen=True)
class SoakKind:
    """Guest cases, by their ids, of which the seed of a round picks one.

    A case finds its seed in ``VTEST_SEED`` and ``env`` beside it, and prints what it counted as
    ``# @count NAME N``. ``patience`` multiplies its time limit, for an ``env`` that has it do
    more than in the suite.
    """

    cases: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)
    patience: float = 1.0


@dataclass(frozen=True)
class Identity:
    """Which runs belong together. ``kernel``: the name of its entry in the store."""

    kind: str
    line: str
    flavour: str
    kernel: str


@dataclass
class SoakRun:
    """What the rounds of a run come to. ``seconds``: boots left out; ``cpus``: virtual ones.

    ``guests``: how many were booted or restored; ``leak_scans``: in how many of them kmemleak
    found nothing at the end; ``figures``: what the rounds counted, added up.
    """

    identity: Identity
    version: str
    cpus: int
    seconds: float = 0.0
    rounds: int = 0
    guests: int = 0
    leak_scans: int = 0
    figures: dict[str, int] = field(default_factory=dict)
    seeds: list[int] = field(default_factory=list)
    failure: str | None = None


def load_kinds(folder: Path) -> dict[str, SoakKind]:
    """The kinds of a series, by what KIND= calls them; none where it has no ``soak.yaml``.

    Raises InvocationError: the file makes no sense.
    """
    return read_yaml(dict[str, SoakKind], folder / KINDS, "see docs/soak.md", {})


def read_runs(out: Path) -> list[SoakRun]:
    """The runs below ``out`` that were soaks, oldest first; ``latest`` is only a link."""
    paths = (path for path in sorted(out.glob(f"*/{FILE}")) if not path.parent.is_symlink())
    return [read_json(SoakRun, path) for path in paths]


@dataclass
class Soak:
    """Runs rounds and judges them.

    ``strays`` emits what kernels said outside of cases. ``kept``: whether the run counts, as one
    does that was given no seed.
    """

    session: Session
    kind: SoakKind
    runner: CaseRunner
    cases: Sequence[Case]
    strays: Callable[[], None]
    run: SoakRun
    kept: bool
    clock: Callable[[], float] = time.monotonic

    def keep(self) -> None:
        """Leaves in the run's folder what it has come to."""
        if self.kept:
            write_json(self.session.out / FILE, self.run)

    def runs(self) -> list[SoakRun]:
        """The runs that belong together, this one among them once it has had a round."""
        if not self.kept:
            return [self.run]
        known = read_runs(self.session.settings.out)
        return [run for run in known if run.identity == self.run.identity]

    def round(self, seed: int) -> dict[str, int]:
        """One round: what its case counted.

        Raises:
            SeriesError: the case failed, or the kernel complained.
            InvocationError, InternalError: the case cannot run on this kernel, or is not there.
        """
        wanted = self.kind.cases[seed % len(self.kind.cases)]
        case = next((case for case in self.cases if str(case.id) == wanted), None)
        if case is None:
            raise InternalError(f"there is no case {wanted} to soak in")
        case = replace(case, timeout=case.timeout * self.kind.patience)
        env = {**self.kind.env, SEED_VARIABLE: str(seed)}
        record = self.runner.run(case, self.session.events.emit, env)
        if record.status in ("skip", "not_applicable"):
            raise InvocationError(f"{wanted} cannot run on this kernel: {record.reason}")
        if record.status != "pass":
            raise SeriesError("\n".join((f"{wanted}: {record.reason}", *record.diagnostics)))
        self.strays()
        if complaints := self.session.results.complaints():
            raise SeriesError(f"the kernel complained: {complaints[0]['title']}")
        counts = filter(None, map(_COUNT.match, record.diagnostics))
        return {match["name"]: int(match["count"]) for match in counts}

    def until(self, seconds: float, seeds: Iterator[int]) -> None:
        """Rounds with ``seeds`` until the kernel has had ``seconds`` of them.

        One round is run at least of a run that does not count.

        Raises:
            SeriesError: a round failed; it is on the run's record, with the seed, and what to type.
        """
        session, run = self.session, self.run
        runs = self.runs()
        while sum(one.seconds for one in runs) < seconds or not (self.kept or run.rounds):
            seed, start = next(seeds), self.clock()
            try:
                figures = self.round(seed)
            except SeriesError as error:
                what = f"seed {seed}: {error.what}"
                run.failure = what.splitlines()[0]
                self.keep()
                evidence = error.evidence or session.out / "console.log"
                typed = session.settings.command("soak", SEED=str(seed))
                typed += "   # MINUTES=10: that seed again and again"
                raise SeriesError(what, evidence=evidence, next_step=typed) from error
            run.seconds = round(run.seconds + self.clock() - start, 3)
            run.rounds += 1
            run.seeds.append(seed)
            run.guests = len(session.results.all(ev.GuestBooted))
            for name, count in figures.items():
                run.figures[name] = run.figures.get(name, 0) + count
            self.keep()
            runs = self.runs()
            note = f"{sum(one.rounds for one in runs)} rounds: {figures_in_words(runs)}"
            had = int(sum(one.seconds for one in runs))
            session.events.emit(ev.StageProgress(STAGE, had, int(seconds), "s", note))


def figures_in_words(runs: Sequence[SoakRun]) -> str:
    """'1,234 cycles, 56 purges' of all runs, in the order in which the rounds named them."""
    figures: Counter[str] = Counter()
    for run in runs:
        figures.update(run.figures)
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in figures.items())


def table(runs: Sequence[SoakRun]) -> Group:
    """One row a kind, kernel line and flavour, of the kernel that was last soaked.

    Below all rows, of each, what its rounds counted, and what failed.
    """
    names = ("kind", "kernel", "flavour", "minutes", "by CPUs", "rounds", "guests", "leak scans")
    shown = plain_table(*names, "failures")
    below: list[str] = []
    last = {(of.kind, of.line, of.flavour): of for of in (run.identity for run in runs)}
    for identity in last.values():
        mine = [run for run in runs if run.identity == identity]
        seconds: dict[int, float] = {}
        for run in mine:
            seconds[run.cpus] = seconds.get(run.cpus, 0.0) + run.seconds
        failed = [run.failure for run in mine if run.failure is not None]
        shown.add_row(
            identity.kind,
            mine[-1].version,
            identity.flavour,
            f"{sum(seconds.values()) / 60:.1f}",
            ", ".join(f"{cpus}: {had / 60:.1f}" for cpus, had in seconds.items()),
            str(sum(run.rounds for run in mine)),
            str(sum(run.guests for run in mine)),
            str(sum(run.leak_scans for run in mine)),
            f"[red]{len(failed)}[/]" if failed else "[green]0[/]",
        )
        named = f"{identity.kind}, {mine[-1].version}, {identity.flavour}"
        below.append(escape(f"{named}: {figures_in_words(mine)}"))
        below += [f"[red]{escape(failure)}[/]" for failure in failed]
    return Group(shown, "", *below)


def _soak(session: Session) -> None:
    settings, kinds = session.settings, dict[str, SoakKind]()
    for data in reversed(session.data.chain):
        kinds |= load_kinds(data.folder)
    if settings.kind not in kinds:
        have = f"{session.data.name} has {', '.join(kinds) or 'nothing to soak in'}"
        step = settings.command("soak", KIND="KIND")
        raise InvocationError(f"KIND={settings.kind}: {have}", next_step=step)
    equipment = assemble_guest(session)
    kernel, base = equipment.prepared.kernel, equipment.prepared.base
    identity = Identity(settings.kind, base.line, kernel.config.name, kernel.entry.name)
    run, kept = SoakRun(identity, base.version, settings.cpus), settings.seed is None
    seeds: Iterator[int] = repeat(settings.seed or 0)
    if kept:
        seeds = iter(lambda: secrets.randbits(32), -1)
    minutes = settings.minutes or (DEFAULT_MINUTES if kept else 0)
    with booted(session, equipment) as guests:
        runner, strays = case_runners(session, equipment, guests)[0], guests.report_strays
        kind, cases = kinds[settings.kind], equipment.suite.cases
        soak = Soak(session, kind, runner, cases, strays, run, kept)
        try:
            with stage(session.events, STAGE) as outcome:
                soak.until(minutes * 60, seeds)
                outcome.detail = figures_in_words(soak.runs())
        except SeriesError:
            decode_splats(session, equipment.prepared)
            raise
        scanned = look_for_leaks(session, guests, read_values(kernel.config.path))
        strays()
    if session.results.complaints():
        decode_splats(session, equipment.prepared)
    elif scanned:
        run.leak_scans = scanned
        soak.keep()
    session.console.print(table(soak.runs()))


def soak(settings: Settings) -> int:
    """``make soak KIND=...``, or without a kind the table of what has been soaked so far."""
    if settings.kind:
        return run_session(settings, "soak", _soak).code
    runs = read_runs(settings.out)
    if not runs:
        step = settings.command("soak", KIND="stress", MINUTES="30")
        raise InvocationError(f"no soak in {settings.out} yet", next_step=step)
    Console(highlight=False).print(table(runs))
    return 0
