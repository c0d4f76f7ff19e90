# SPDX-License-Identifier: GPL-2.0-only
"""A run as a sequence of typed events.

Everything that happens is emitted here once; the screen, the event log, ``results.json``,
``junit.xml`` and our tests consume. Times are seconds. None stands for what there is not.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, dataclass_transform, get_args

Status = Literal["pass", "fail", "error", "timeout", "skip", "not_applicable"]
# Those that break a run; and those of a case that has run, and says something of its kernel.
BROKEN = frozenset({"fail", "error", "timeout"})
RAN = BROKEN | {"pass"}
Verdict = Literal["pass", "fail", "untested", "usage", "infra"]
FileKind = Literal[
    "code", "header", "configuration", "documentation", "selftest", "tool", "comments"
]
OtherKind = Literal[
    "host", "kernel", "regression", "static", "matrix", "races", "search", "canary", "cost"
]
Kind = Literal["guest"] | OtherKind


@dataclass(frozen=True)
class CaseId:
    """What a record is of: ``program::name`` of a guest case, ``kind::name`` of any other.

    ``program``: a guest case's source file. ``attempt`` counts from 1 and is not in the text.
    """

    kind: Kind
    program: str | None
    name: str
    attempt: int = 1

    def __str__(self) -> str:
        head = self.program if self.kind == "guest" else self.kind
        return f"{head}::{self.name}" if head else self.name

    @staticmethod
    def parse(text: str) -> CaseId:
        """The id whose text this is, as ``results.json`` has it."""
        head, separator, name = text.partition("::")
        for kind in get_args(OtherKind):
            if separator and head == kind:
                return CaseId(kind, None, name)
        program, name = (head, name) if separator else (None, head)
        return CaseId("guest", program, name)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class Event:
    """What can happen in a run; the classes below, each a frozen dataclass."""

    def __init_subclass__(cls) -> None:
        dataclass(frozen=True)(cls)


@dataclass(frozen=True)
class PatchInfo:
    """One applied patch: its subject and ``git patch-id --stable``."""

    subject: str
    patch_id: str


@dataclass(frozen=True)
class TouchedFile:
    """One file that the series changes, and what becomes of it in the kernel under test.

    ``compiled``: None for what is not compiled into any kernel, such as documentation. ``said``:
    which objects have it, or what keeps it out, in words.
    """

    path: str
    kind: FileKind
    compiled: bool | None
    said: str


class RunStarted(Event):
    """A run begins; ``out`` is the directory that will hold its results."""

    run_id: str
    out: str
    command: str
    asked: dict[str, str]


class StageStarted(Event):
    """A stage of the run begins."""

    name: str


class StageProgress(Event):
    """``done`` of ``total`` units (0: unknown total), ``unit`` such as 'objects'."""

    name: str
    done: int
    total: int
    unit: str
    note: str = ""


class StageEnded(Event):
    """A stage has ended, after ``seconds``; how, the two classes below say."""

    name: str
    seconds: float


class StageFinished(StageEnded):
    """``cached``: the result came from the store and nothing was done."""

    cached: bool
    detail: str = ""


class StageFailed(StageEnded):
    """It ended with an error of that kind."""

    kind: str
    message: str


class Note(Event):
    """One line the user should read, such as why TCG is used."""

    text: str
    level: Literal["info", "warning"] = "info"


class BaseKnown(Event):
    """The base kernel: ``version`` as its Makefile says, ``base`` as the user named it."""

    version: str
    base: str
    commit: str


class SeriesKnown(Event):
    """The patches that were applied, in order, and how many the whole series has."""

    source: str
    patches: tuple[PatchInfo, ...]
    total: int


class ConfigKnown(Event):
    """The flavour, and the hash of the configuration that came of it."""

    name: str
    sha256: str


class ChangeKnown(Event):
    """The files that the series changes, once a kernel of it is built."""

    files: tuple[TouchedFile, ...]


class AccelChosen(Event):
    """``accel`` is 'kvm' or 'tcg'; ``reason`` says why in one line."""

    accel: str
    reason: str


class GuestBooted(Event):
    """``seconds`` from QEMU's start to the first command's result over SSH."""

    boot_id: str
    seconds: float
    machine: str
    restored: bool


class PaceMeasured(Event):
    """How fast the guest is: a fixed work load took ``seconds``, on the reference ``reference``.

    Time limits are multiplied by ``factor``, which is never below 1.
    """

    seconds: float
    reference: float
    factor: float


class GuestLost(Event):
    """The guest hung, died or stopped answering; ``evidence`` is the state dump."""

    reason: str
    test: CaseId | None
    evidence: str | None


class CaseStarted(Event):
    """A case begins."""

    id: CaseId
    clauses: tuple[str, ...]


class CaseFinished(Event):
    """One case's record; ``diagnostics`` are the guest's own lines."""

    id: CaseId
    status: Status
    reason: str
    seconds: float
    clauses: tuple[str, ...]
    diagnostics: tuple[str, ...] = ()
    about: str = ""


def judged(
    case: CaseId,
    wrong: Sequence[str],
    said: Sequence[str] = (),
    seconds: float = 0.0,
    clauses: tuple[str, ...] = (),
    about: str = "",
) -> CaseFinished:
    """The record of a case that passes where nothing is ``wrong``; ``said``: more diagnostics."""
    status: Status = "fail" if wrong else "pass"
    reason = wrong[0] if wrong else ""
    return CaseFinished(case, status, reason, seconds, clauses, (*wrong, *said), about)


class CaseRepeated(Event):
    """A case was run ``runs`` times more than its record tells, and passed ``passed`` times."""

    id: CaseId
    passed: int
    runs: int


_splat_ids = itertools.count(1)


class SplatSeen(Event):
    """The kernel complained. ``test`` is None where no case was running (boot, shutdown).

    ``foreign`` says why it does not count against the series, None where it does. ``id``
    is no other complaint's of the run.
    """

    title: str
    category: str
    test: CaseId | None
    text: str
    expected: bool = False
    foreign: str | None = None
    id: int = field(default_factory=lambda: next(_splat_ids), compare=False)


class SplatDecoded(Event):
    """The text of a splat with source lines; ``how`` says by what."""

    splat: int  # its id
    text: str
    how: str


class SplatBlamed(Event):
    """A complaint names a line of the series: at ``place``, of the patch ``number`` (from 1)."""

    splat: int  # its id
    number: int
    subject: str
    place: str


class ChangeCoverage(Event):
    """How much of what the series changes has run in the guests of this run.

    ``functions``: those that it adds or changes and that this kernel has; ``lines``: of the
    source, with code in this kernel, that it adds or changes. ``not_reached``: what of it
    did not run, one place a text, such as 'mm/mincore.c:213 mincore_page'; ``lines_not_run``:
    as 'mm/mincore.c:220: text of the line'. ``excused``: functions that were not entered and
    need not be, each with the reason, as the project says. ``whole``: all of the series was
    applied, and all cases were selected; else what did not run proves nothing. ``least``:
    percent of the lines that have to run, None: each function, no more. ``run_by``: ids of the
    cases that ran such lines, or entered a function from which lines were taken.
    """

    functions_entered: int
    functions: int
    lines_run: int
    lines: int
    not_reached: tuple[str, ...] = ()
    lines_not_run: tuple[str, ...] = ()
    excused: tuple[str, ...] = ()
    whole: bool = True
    least: int | None = None
    run_by: tuple[str, ...] = ()


class MutantJudged(Event):
    """One mistake that was planted in a changed line, and whether anything has noticed it.

    ``outcome``: as ``mutants/mutant.py:Outcome``. ``place``: file, line and function. ``said``:
    what noticed it and how, or why it could not be judged. ``kept``: an earlier run has found it.
    """

    number: int
    operator: str
    place: str
    outcome: str
    said: str
    seconds: float
    kept: bool


class CanaryFinished(Event):
    """A detector was tried on this kernel: what was provoked, and what was reported."""

    name: str
    expected: str
    seen: str
    ok: bool
    seconds: float


class RunFinished(Event):
    """The last event. ``error``: the lines that say what ended the run early."""

    verdict: Verdict
    exit_code: int
    seconds: float
    error: tuple[str, ...] = ()


Consumer = Callable[[Event], None]


@dataclass
class Events:
    """Hands each event to every consumer, in order, one at a time; from any thread."""

    consumers: list[Consumer] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def __reduce__(self) -> tuple[type[Events], tuple[()]]:
        """What goes to another process tells nobody there: consumers stay where they are."""
        return Events, ()

    def note(self, text: str) -> None:
        """Emits a plain note."""
        self.emit(Note(text))

    def emit(self, event: Event) -> None:
        """Hands one event to all consumers before returning."""
        with self._lock:
            for consumer in self.consumers:
                consumer(event)


def filtered(events: Events, keep: Callable[[Event], bool]) -> Events:
    """Events of which those that are to be kept are passed on to others."""
    return Events([lambda event: events.emit(event) if keep(event) else None])
