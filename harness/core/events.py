# SPDX-License-Identifier: GPL-2.0-only
"""A run as a sequence of typed events.

Everything that happens in a run is emitted here once; the screen, the event
log, ``results.json``, ``junit.xml`` and the harness's own tests are consumers.
Times are seconds; ids of cases are ``program::case``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Literal

Status = Literal["pass", "fail", "error", "timeout", "skip", "not_applicable"]
Verdict = Literal["pass", "fail", "usage", "infra"]


@dataclass(frozen=True)
class PatchInfo:
    """One applied patch: its subject and ``git patch-id --stable``."""

    subject: str
    patch_id: str


@dataclass(frozen=True)
class RunStarted:
    """A run begins; ``out`` is the directory that will hold its results."""

    run_id: str
    out: str
    command: str
    asked: dict[str, str]


@dataclass(frozen=True)
class StageStarted:
    """A stage of the run begins."""

    name: str


@dataclass(frozen=True)
class StageProgress:
    """``done`` of ``total`` units (0: unknown total), ``unit`` such as 'objects'."""

    name: str
    done: int
    total: int
    unit: str
    note: str = ""


@dataclass(frozen=True)
class StageFinished:
    """``cached``: the result came from the store and nothing was done."""

    name: str
    seconds: float
    cached: bool
    detail: str = ""


@dataclass(frozen=True)
class StageFailed:
    """It ended with an error of that kind, after ``seconds``."""

    name: str
    seconds: float
    kind: str
    message: str


@dataclass(frozen=True)
class Note:
    """One line the user should read, such as why TCG is used."""

    text: str
    level: Literal["info", "warning"] = "info"


@dataclass(frozen=True)
class BaseKnown:
    """The base kernel: ``version`` as its Makefile says, ``base`` as the user named it."""

    version: str
    base: str
    commit: str


@dataclass(frozen=True)
class SeriesKnown:
    """The patches that were applied, in order, and how many the whole series has."""

    source: str
    patches: tuple[PatchInfo, ...]
    total: int


@dataclass(frozen=True)
class ConfigKnown:
    """The flavour, and the hash of the configuration that came of it."""

    name: str
    sha256: str


@dataclass(frozen=True)
class AccelChosen:
    """``accel`` is 'kvm' or 'tcg'; ``reason`` says why in one line."""

    accel: str
    reason: str


@dataclass(frozen=True)
class GuestBooted:
    """``seconds`` from QEMU's start to the first command's result over SSH."""

    boot_id: str
    seconds: float
    machine: str
    restored: bool


@dataclass(frozen=True)
class PaceMeasured:
    """How fast the guest is: a fixed work load took ``seconds``, on the reference ``reference``.

    Time limits are multiplied by ``factor``, which is never below 1.
    """

    seconds: float
    reference: float
    factor: float


@dataclass(frozen=True)
class GuestLost:
    """The guest hung, died or stopped answering; ``evidence`` is the state dump."""

    reason: str
    test: str
    evidence: str


@dataclass(frozen=True)
class CasesChosen:
    """The ids of all cases that TESTS= selects, in order, of which this run takes one shard."""

    shard: int
    of: int
    cases: tuple[str, ...]


@dataclass(frozen=True)
class CaseStarted:
    """A case begins; ``attempt`` counts from 1."""

    id: str
    clauses: tuple[str, ...]
    attempt: int = 1


@dataclass(frozen=True)
class CaseFinished:
    """One case's record; ``diagnostics`` are the guest's own lines."""

    id: str
    status: Status
    reason: str
    seconds: float
    clauses: tuple[str, ...]
    attempt: int = 1
    diagnostics: tuple[str, ...] = ()
    about: str = ""


@dataclass(frozen=True)
class CaseRepeated:
    """A case was run ``runs`` times more than its record tells, and passed ``passed`` times."""

    id: str
    passed: int
    runs: int


@dataclass(frozen=True)
class SplatSeen:
    """The kernel complained. ``test`` is '' where no case was running (boot, shutdown).

    ``foreign`` says why it does not count against the series ('' where it does).
    """

    title: str
    category: str
    test: str
    text: str
    expected: bool = False
    foreign: str = ""


@dataclass(frozen=True)
class SplatDecoded:
    """The text of the ``index``-th splat of the run, with source lines; ``how`` says by what."""

    index: int
    text: str
    how: str


@dataclass(frozen=True)
class CanaryFinished:
    """A detector was tried on this kernel: what was provoked, and what was reported."""

    name: str
    expected: str
    seen: str
    ok: bool
    seconds: float


@dataclass(frozen=True)
class RunFinished:
    """The last event. ``error``: the lines that say what ended the run early."""

    verdict: Verdict
    exit_code: int
    seconds: float
    error: tuple[str, ...] = ()


Event = (
    RunStarted
    | StageStarted
    | StageProgress
    | StageFinished
    | StageFailed
    | Note
    | BaseKnown
    | SeriesKnown
    | ConfigKnown
    | AccelChosen
    | GuestBooted
    | PaceMeasured
    | GuestLost
    | CasesChosen
    | CaseStarted
    | CaseFinished
    | CaseRepeated
    | SplatSeen
    | SplatDecoded
    | CanaryFinished
    | RunFinished
)

Consumer = Callable[[Event], None]


@dataclass
class Events:
    """Hands each event to every consumer, in order, one at a time.

    Safe to call from the console's thread as well as the main one.
    """

    consumers: list[Consumer] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def subscribe(self, consumer: Consumer) -> None:
        """Adds a consumer; it sees the events emitted from now on."""
        with self._lock:
            self.consumers.append(consumer)

    def note(self, text: str) -> None:
        """Emits a plain note."""
        self.emit(Note(text))

    def emit(self, event: Event) -> None:
        """Hands one event to all consumers before returning."""
        with self._lock:
            for consumer in self.consumers:
                consumer(event)


def as_record(event: Event) -> dict[str, object]:
    """The event as one JSON object, its type under ``event``."""
    return {"event": type(event).__name__, **asdict(event)}
