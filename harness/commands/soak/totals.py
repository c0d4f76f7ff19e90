# SPDX-License-Identifier: GPL-2.0-only
"""What soaks add up to: one file a kind, kernel line and flavour, below ``out/soak/``.

A file belongs to one kernel, named by its entry in the store (the patched tree, the
configuration and the compiler). Another kernel starts a new file; the old one moves to
``earlier/``. A round is added under a lock, and the file is replaced whole: a kill loses
the round that was under way, and two soaks of the same kernel add to the same figures.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from harness.cases.soakers import Figures
from harness.core.atomic import write_atomically
from harness.core.jsondata import from_json

SCHEMA = 1
LAST_SEEDS = 16


@dataclass(frozen=True)
class Identity:
    """Which figures belong together. ``kernel``: the name of its entry in the store."""

    kind: str
    line: str
    flavour: str
    kernel: str

    @property
    def stem(self) -> str:
        """The file's name without its suffix, such as stress-6.1-kasan."""
        return f"{self.kind}-{self.line}-{self.flavour}"


@dataclass(frozen=True)
class Round:
    """One round that came to its end. ``guests``: booted or restored since the one before."""

    run: str
    seed: int
    seconds: float
    cpus: int
    guests: int
    figures: Figures


@dataclass(frozen=True)
class SoakFailure:
    """What ended a soak."""

    run: str
    seed: int
    what: str


@dataclass(frozen=True)
class Record:
    """The sum of all rounds. ``cpus``: virtual CPUs -> seconds; ``seeds``: the last ones.

    ``leak_scans``: how many guests kmemleak found nothing in at a soak's end.
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

    def plus(self, done: Round) -> Record:
        """With one round more."""
        names = dict.fromkeys((*self.figures, *done.figures))
        cpus = dict(self.cpus)
        cpus[str(done.cpus)] = round(cpus.get(str(done.cpus), 0.0) + done.seconds, 3)
        return replace(
            self,
            seconds=round(self.seconds + done.seconds, 3),
            rounds=self.rounds + 1,
            guests=self.guests + done.guests,
            cpus=cpus,
            figures={n: self.figures.get(n, 0) + done.figures.get(n, 0) for n in names},
            runs=tuple(dict.fromkeys((*self.runs, done.run))),
            seeds=(*self.seeds, done.seed)[-LAST_SEEDS:],
        )


def read_record(path: Path) -> Record | None:
    """The record in a file; None where there is none, or one of another schema."""
    if not path.is_file():
        return None
    data = json.loads(path.read_text())
    return from_json(Record, data) if data.pop("schema", None) == SCHEMA else None


@dataclass(frozen=True)
class Book:
    """The file of one identity below ``folder`` (``out/soak``)."""

    folder: Path
    identity: Identity
    version: str

    @property
    def path(self) -> Path:
        """The file of this soak's sums."""
        return self.folder / f"{self.identity.stem}.json"

    def read(self) -> Record:
        """The sum so far; an empty one for a kernel that has none."""
        with self._locked():
            return self._read()

    def add(self, done: Round) -> Record:
        """Adds a round; the new sum."""
        with self._locked():
            return self._write(self._read().plus(done))

    def add_failure(self, failure: SoakFailure) -> Record:
        """Adds what ended a soak: it stays in the record of this kernel."""
        with self._locked():
            old = self._read()
            runs = tuple(dict.fromkeys((*old.runs, failure.run)))
            return self._write(replace(old, runs=runs, failures=(*old.failures, failure)))

    def add_leak_scans(self, guests: int) -> Record:
        """Adds a soak's end at which kmemleak found nothing in ``guests`` guests."""
        with self._locked():
            old = self._read()
            return self._write(replace(old, leak_scans=old.leak_scans + guests))

    def _read(self) -> Record:
        old = read_record(self.path)
        if old is not None and old.identity == self.identity:
            return old
        return Record(self.identity, self.version)

    def _write(self, record: Record) -> Record:
        old = read_record(self.path)
        if old is not None and old.identity != record.identity:
            earlier = self.folder / "earlier"
            earlier.mkdir(exist_ok=True)
            os.replace(self.path, earlier / f"{old.identity.stem}-{old.identity.kernel[:12]}.json")
        data = {"schema": SCHEMA, **asdict(record)}
        write_atomically(self.path, json.dumps(data, indent=1) + "\n")
        return record

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / f".{self.identity.stem}.lock", "w", encoding="utf-8") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def all_records(folder: Path) -> list[Record]:
    """The records of all kinds and kernels below ``folder``, those of ``earlier/`` left out."""
    found = [read_record(path) for path in sorted(folder.glob("*.json"))]
    return [record for record in found if record is not None]
