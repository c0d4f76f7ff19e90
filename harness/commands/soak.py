# SPDX-License-Identifier: GPL-2.0-only
"""``make soak``: one kind of random test, round after round, for a long time.

Each round has a fresh seed, and its figures are on disk before the next one begins.
Run again, it goes on towards ``MINUTES=`` on the same kernel. The first divergence, or
the first complaint of the kernel, ends it with the seed and what to type.

Rounds add up in one file a kind, kernel line and flavour, below ``out/soak/``. It belongs
to one kernel, named by its entry in the store (the patched tree, the configuration and the
compiler). Another kernel starts a new file; the old one moves to ``earlier/``. A round is
added under a lock, and the file is replaced whole: a kill loses the round that was under
way, and two soaks of the same kernel add to the same figures.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import repeat
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.build.fragments import read_values
from harness.cases.soakers import SoakContext, Soaker, load_soakers
from harness.core import events as ev
from harness.core.atomic import write_atomically
from harness.core.errors import InvocationError, SeriesError
from harness.core.jsondata import of_file, read_json
from harness.core.settings import Settings
from harness.core.stages import stage
from harness.report.results import Results
from harness.run.assemble_guest import (
    assemble_guest,
    booted,
    case_runners,
    decode_splats,
    look_for_leaks,
)
from harness.run.session import Session, run_session

STAGE = "soak"
DEFAULT_MINUTES = 30
SCHEMA = 1
MAX_SEEDS_KEPT = 16
N = TypeVar("N", int, float)


@dataclass(frozen=True)
class Identity:
    """Which figures belong together. ``kernel``: the name of its entry in the store."""

    kind: str
    line: str
    flavour: str
    kernel: str


@dataclass(frozen=True)
class SoakFailure:
    """What ended a soak."""

    run: str
    seed: int
    what: str


@dataclass(frozen=True)
class Record:
    """A sum of rounds. ``cpus``: virtual CPUs -> seconds; ``seeds``: the last ones.

    ``guests``: how many were booted or restored; ``leak_scans``: in how many of them
    kmemleak found nothing at a soak's end.
    """

    identity: Identity
    version: str = ""
    seconds: float = 0.0
    rounds: int = 0
    guests: int = 0
    leak_scans: int = 0
    cpus: dict[str, float] = field(default_factory=dict)
    figures: dict[str, int] = field(default_factory=dict)
    runs: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    failures: tuple[SoakFailure, ...] = ()

    def plus(self, more: Record) -> Record:
        """Both sums together, as this one's."""
        return replace(
            self,
            seconds=round(self.seconds + more.seconds, 3),
            rounds=self.rounds + more.rounds,
            guests=self.guests + more.guests,
            leak_scans=self.leak_scans + more.leak_scans,
            cpus=_added(self.cpus, more.cpus),
            figures=_added(self.figures, more.figures),
            runs=tuple(dict.fromkeys((*self.runs, *more.runs))),
            seeds=(*self.seeds, *more.seeds)[-MAX_SEEDS_KEPT:],
            failures=(*self.failures, *more.failures),
        )


def _added(a: Mapping[str, N], b: Mapping[str, N]) -> dict[str, N]:
    return {name: round(a.get(name, 0) + b.get(name, 0), 3) for name in {**a, **b}}


def read_record(path: Path) -> Record | None:
    """The record in a file; None where there is none, or one of another schema."""
    if not path.is_file():
        return None
    data = read_json(dict[str, object], path)
    return of_file(Record, data, path) if data.pop("schema", None) == SCHEMA else None


def all_records(folder: Path) -> list[Record]:
    """The records of all kinds and kernels below ``folder``, those of ``earlier/`` left out."""
    return [record for path in sorted(folder.glob("*.json")) if (record := read_record(path))]


@dataclass(frozen=True)
class TotalsFile:
    """The sums of one identity below ``folder``, such as out/soak/stress-6.1-kasan.json."""

    folder: Path
    identity: Identity
    version: str

    @property
    def _path(self) -> Path:
        of = self.identity
        return self.folder / f"{of.kind}-{of.line}-{of.flavour}.json"

    def read(self) -> Record:
        """The sum so far; an empty one for a kernel that has none."""
        old = read_record(self._path)
        return old if old and old.identity == self.identity else Record(self.identity, self.version)

    def add(self, more: Record) -> Record:
        """Adds to the sum, of whatever ``more`` has some; the new sum."""
        path = self._path
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / f".{path.stem}.lock", "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            record, old = self.read().plus(more), read_record(path)
            if old is not None and old.identity != self.identity:
                earlier = self.folder / "earlier"
                earlier.mkdir(exist_ok=True)
                os.replace(path, earlier / f"{path.stem}-{old.identity.kernel[:12]}.json")
            data = {"schema": SCHEMA, **asdict(record)}
            write_atomically(path, json.dumps(data, indent=1) + "\n")
        return record


@dataclass
class Rounds:
    """Runs rounds and judges them. ``strays`` emits what kernels said outside of cases."""

    identity: Identity
    soaker: Soaker
    context: SoakContext
    settings: Settings
    results: Results
    strays: Callable[[], None]
    clock: Callable[[], float] = time.monotonic
    _boots: int = 0

    def one(self, seed: int) -> Record:
        """One round; a SeriesError where it diverged, or where the kernel complained."""
        start = self.clock()
        figures = self.soaker.round(self.context, seed)
        self.strays()
        if complaints := self.results.complaints():
            raise SeriesError(f"the kernel complained: {complaints[0]['title']}")
        boots = len(self.results.all(ev.GuestBooted))
        guests, self._boots = boots - self._boots, boots
        seconds = self.clock() - start
        return Record(
            self.identity,
            seconds=seconds,
            rounds=1,
            guests=guests,
            cpus={str(self.settings.cpus): seconds},
            figures=dict(figures),
            runs=(self.context.out.name,),
            seeds=(seed,),
        )

    def until(self, seconds: float, seeds: Iterator[int], totals: TotalsFile | None) -> Record:
        """Rounds with ``seeds`` until the kernel of ``totals`` has had ``seconds`` of them.

        Without totals nothing is kept, and one round is run at least.

        Raises:
            SeriesError: a round failed; it is in the totals, with the seed and what to type.
        """
        out = self.context.out
        record = totals.read() if totals else Record(self.identity)
        while record.seconds < seconds or not (totals or record.rounds):
            seed = next(seeds)
            try:
                done = self.one(seed)
            except SeriesError as error:
                what = f"seed {seed}: {error.what}"
                if totals:
                    failure = SoakFailure(out.name, seed, what.splitlines()[0])
                    totals.add(Record(self.identity, runs=(out.name,), failures=(failure,)))
                evidence = error.evidence or out / "console.log"
                typed = self.settings.command("soak", SEED=str(seed))
                typed += "   # MINUTES=10: that seed again and again"
                raise SeriesError(what, evidence=evidence, next_step=typed) from error
            record = totals.add(done) if totals else record.plus(done)
            note = f"{record.rounds} rounds: {figures_in_words(record.figures)}"
            progress = ev.StageProgress(STAGE, int(record.seconds), int(seconds), "s", note)
            self.context.events.emit(progress)
        return record


def figures_in_words(figures: Mapping[str, int]) -> str:
    """'1,234 cycles, 56 purges', in the order in which the rounds named them."""
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in figures.items())


def table(records: Sequence[Record]) -> Table:
    """One row a kind, kernel and flavour, and below it what its rounds counted."""
    names = ("kind", "kernel", "flavour", "minutes", "by CPUs", "rounds", "guests", "leak scans")
    shown = Table(*names, "failures", "figures", box=None, pad_edge=False, header_style="bold")
    for record in records:
        identity, failed = record.identity, record.failures
        shown.add_row(
            identity.kind,
            record.version or identity.line,
            identity.flavour,
            f"{record.seconds / 60:.1f}",
            ", ".join(f"{cpus}: {seconds / 60:.1f}" for cpus, seconds in record.cpus.items()),
            str(record.rounds),
            str(record.guests),
            str(record.leak_scans),
            f"[red]{len(failed)}[/]" if failed else "[green]0[/]",
            escape(figures_in_words(record.figures)),
        )
        for failure in failed:
            shown.add_row(*[""] * 9, f"[red]{escape(failure.what)}[/]")
    return shown


def _soak(session: Session) -> None:
    settings, soakers = session.settings, dict[str, Soaker]()
    for data in reversed(session.data.storeys):
        soakers |= load_soakers(data.folder)
    if settings.kind not in soakers:
        have = f"{session.data.name} has {', '.join(soakers) or 'nothing to soak in'}"
        step = settings.command("soak", KIND="KIND")
        raise InvocationError(f"KIND={settings.kind}: {have}", next_step=step)
    equipment = assemble_guest(session)
    kernel, base = equipment.prepared.kernel, equipment.prepared.base
    identity = Identity(settings.kind, base.line, kernel.config.name, kernel.entry.name)
    totals, minutes = None, settings.minutes or 0
    seeds: Iterator[int] = repeat(settings.seed or 0)
    if settings.seed is None:
        totals = TotalsFile(settings.out / "soak", identity, base.version)
        minutes = settings.minutes or DEFAULT_MINUTES
        seeds = iter(lambda: secrets.randbits(32), -1)
    with booted(session, equipment) as guests:
        runner = case_runners(session, equipment, guests)[0]
        context = SoakContext(runner, equipment.suite, session.out, session.events)
        soaker, strays = soakers[settings.kind], guests.report_strays
        rounds = Rounds(identity, soaker, context, settings, session.results, strays)
        try:
            with stage(session.events, STAGE) as outcome:
                record = rounds.until(minutes * 60, seeds, totals)
                outcome.detail = figures_in_words(record.figures)
        except SeriesError:
            decode_splats(session, equipment.prepared)
            raise
        scanned = look_for_leaks(session, guests, read_values(kernel.config.path))
        strays()
    if session.results.complaints():
        decode_splats(session, equipment.prepared)
    elif totals and scanned:
        totals.add(Record(identity, leak_scans=scanned))
    session.console.print(table([totals.read() if totals else record]))


def soak(settings: Settings) -> int:
    """``make soak KIND=...``, or without a kind the table of what has been soaked so far."""
    if settings.kind:
        return run_session(settings, "soak", _soak).code
    folder = settings.out / "soak"
    records = all_records(folder)
    if not records:
        step = settings.command("soak", KIND="stress", MINUTES="30")
        raise InvocationError(f"nothing below {folder} yet", next_step=step)
    Console(highlight=False).print(table(records))
    return 0
