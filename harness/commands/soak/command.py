# SPDX-License-Identifier: GPL-2.0-only
"""``make soak``: one kind of random test, round after round, for a long time.

Each round has a fresh seed, and its figures are on disk before the next one begins.
Run again, it goes on towards ``MINUTES=`` on the same kernel. The first divergence, or
the first complaint of the kernel, ends it with the seed and what to type.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rich.console import Console

from harness.build.kconfig import read_values
from harness.cases.soakers import Ground, Soaker, load_soakers
from harness.commands.soak.table import figures_in_words, table
from harness.commands.soak.totals import Book, Identity, Record, Round, SoakFailure, all_records
from harness.core import events as ev
from harness.core.errors import InvocationError, SeriesError
from harness.core.settings import Settings
from harness.core.stages import stage
from harness.report.results import Results
from harness.run.assemble_guest import (
    assemble_guest,
    booted,
    decode_splats,
    labs_of,
    look_for_leaks,
)
from harness.run.session import Session, run_session

STAGE = "soak"
MINUTES = 30


def fresh_seeds() -> Iterator[int]:
    """Seeds of 32 bits that nobody chose."""
    while True:
        yield secrets.randbits(32)


def again(settings: Settings, seed: int) -> str:
    """What to type to see the round with ``seed`` again."""
    typed = settings.command("soak", SEED=str(seed))
    return f"{typed}   # MINUTES=10: that seed again and again"


@dataclass
class Rounds:
    """Runs rounds and judges them. ``strays`` emits what kernels said outside of cases."""

    soaker: Soaker
    ground: Ground
    settings: Settings
    results: Results
    strays: Callable[[], None]
    clock: Callable[[], float] = time.monotonic
    _boots: int = 0

    @property
    def run(self) -> str:
        """The id of the run that these rounds are part of."""
        return self.ground.out.name

    def one(self, seed: int) -> Round:
        """One round.

        Raises:
            SeriesError: it diverged, or the kernel complained; with the seed.
            InvocationError, MachineError: it could not be run.
        """
        start = self.clock()
        try:
            figures = self.soaker.round(self.ground, seed)
        except SeriesError as error:
            raise self._ended(seed, error.what, error) from error
        self.strays()
        if complaints := self.results.complaints():
            raise self._ended(seed, f"the kernel complained: {complaints[0].splat.title}")
        guests, self._boots = len(self.results.boots) - self._boots, len(self.results.boots)
        seconds = self.clock() - start
        return Round(self.run, seed, seconds, self.settings.cpus, guests, figures)

    def _ended(self, seed: int, what: str, error: SeriesError | None = None) -> SeriesError:
        evidence = error.evidence if error and error.evidence else self.ground.out / "console.log"
        return SeriesError(
            f"seed {seed}: {what}", evidence=evidence, next_step=again(self.settings, seed)
        )

    def until(self, seconds: float, book: Book, seeds: Iterator[int]) -> Record:
        """Rounds with ``seeds`` until the kernel of ``book`` has had ``seconds`` of them.

        Raises:
            as :meth:`one`; a failure of the series is in the book then.
        """
        record = book.read()
        while record.seconds < seconds:
            seed = next(seeds)
            try:
                record = book.add(self.one(seed))
            except SeriesError as error:
                book.add_failure(SoakFailure(self.run, seed, error.what.splitlines()[0]))
                raise
            self._tell(record, seconds)
        return record

    def again_and_again(self, seed: int, seconds: float) -> Record:
        """The same seed until ``seconds`` have passed, once at least; not in any book."""
        identity = Identity(self.settings.kind, "", self.settings.config, "")
        record = Record(identity).plus(self.one(seed))
        while record.seconds < seconds:
            record = record.plus(self.one(seed))
            self._tell(record, seconds)
        return record

    def _tell(self, record: Record, seconds: float) -> None:
        note = f"{record.rounds} rounds: {figures_in_words(record.figures)}"
        self.ground.events.emit(
            ev.StageProgress(STAGE, int(record.seconds), int(seconds), "s", note)
        )


def _soaker(session: Session) -> Soaker:
    """What KIND= names.

    Raises:
        InvocationError: the series has no such kind.
    """
    soakers = load_soakers(session.data.folder)
    kind = session.settings.kind
    if kind not in soakers:
        raise InvocationError(
            f"KIND={kind}: {session.data.name} has {', '.join(soakers) or 'nothing to soak in'}",
            next_step=session.settings.command("soak", KIND="KIND"),
        )
    return soakers[kind]


def _soak(session: Session) -> None:
    settings, soaker = session.settings, _soaker(session)
    equipment = assemble_guest(session)
    kernel, base = equipment.prepared.kernel, equipment.prepared.base
    identity = Identity(settings.kind, base.line, settings.config, kernel.entry.name)
    book = Book(settings.out / "soak", identity, base.version)
    minutes = settings.minutes or (MINUTES if settings.seed is None else 0)
    with booted(session, equipment) as guests:
        lab = labs_of(session, equipment, guests)[0]
        ground = Ground(lab, equipment.suite, session.out, session.events)
        rounds = Rounds(soaker, ground, settings, session.results, guests.report_strays)
        try:
            with stage(session.events, STAGE) as outcome:
                if settings.seed is None:
                    record = rounds.until(minutes * 60, book, fresh_seeds())
                else:
                    record = rounds.again_and_again(settings.seed, minutes * 60)
                outcome.detail = figures_in_words(record.figures)
        except SeriesError:
            decode_splats(session, equipment.prepared)
            raise
        scanned = look_for_leaks(session, guests, read_values(kernel.config))
        guests.report_strays()
    if session.results.complaints():
        decode_splats(session, equipment.prepared)
    elif settings.seed is None and scanned:
        book.add_leak_scans(scanned)
    session.console.print(table([record if settings.seed is not None else book.read()]))


def soak(settings: Settings) -> int:
    """``make soak KIND=...``, or without a kind the table of what has been soaked so far."""
    if not settings.kind:
        records = all_records(settings.out / "soak")
        if not records:
            raise InvocationError(
                f"nothing below {settings.out / 'soak'} yet",
                next_step=settings.command("soak", KIND="stress", MINUTES="30"),
            )
        Console(highlight=False).print(table(records))
        return 0
    return run_session(settings, "soak", _soak).code
