# SPDX-License-Identifier: GPL-2.0-only
"""Runs the kernel's make in a build folder and reads what it says: objects, warnings, errors."""

from __future__ import annotations

import contextlib
import json
import re
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from harness.build.folder import marked
from harness.build.toolchain import compiling, inside, make_argv
from harness.build.tree import TreeUnderTest
from harness.core import proc
from harness.core.atomic import write_atomically
from harness.core.command_table import SET_UP
from harness.core.errors import HarnessError, InvocationError, MachineError, SeriesError
from harness.core.events import Events, StageProgress
from harness.core.machine_faults import check_output
from harness.core.sandbox import Inside, refused, taken
from harness.series.kernels import known_kernels
from harness.series.worktree import SourceTree

RECORDS = ".harness-objects.json"  # object: its warnings, across incremental builds
MANY_OBJECTS = 30
MAX_REFUSED = 3  # lines shown of what was tried in the sandbox
# User-space programs with makefiles and headers of their own: no part of any kernel.
APART = ("tools/", "scripts/", "samples/", "Documentation/")
_STEP = re.compile(r"^  ([A-Z][A-Z0-9_]*(?: \[M\])?) +(\S+)")
_WARNING = re.compile(r"^(?P<file>[^\s:]+):(?:(?P<line>\d+):)?(?:\d+:)? warning: (?P<text>.*)$")
_ERROR = re.compile(r"^(?P<file>[^\s:]+):(?P<line>\d+):(?:\d+:)? (?:fatal )?error: (?P<text>.*)$")
_OTHER_ERRORS = re.compile(
    r"undefined reference to|multiple definition of|^ld: |: \*\*\* |^ERROR: |^Error: |"
    r"No rule to make target|internal compiler error|Killed signal|[Ss]yntax error"
)
MAKE_STOPS = re.compile(r"^make(\[\d+\])?: \*\*\* ")


class Warned(NamedTuple):
    """A warning. ``file`` is relative to the source tree; ``line`` 0 where there is none."""

    file: str
    line: int
    text: str

    def same(self) -> tuple[str, str]:
        """What stays when lines above it come and go."""
        return self.file, re.sub(r"\b\d+\b", "N", re.sub(r"0x[0-9a-f]+", "N", self.text))

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: warning: {self.text}"


W = TypeVar("W", bound=Warned)


@dataclass
class BuildLog:
    """What one run of make did, line by line: make groups the lines of a target
    (``--output-sync=target``), so a warning belongs to the object named before it.

    ``source`` and ``out`` are the absolute folders, cut off the paths it names.
    """

    source: str
    out: str
    objects: dict[str, list[Warned]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=40))
    refused: list[str] = field(default_factory=list)  # what it tried in vain in the sandbox
    _current: str = ""

    def relative(self, path: str) -> str:
        """A path as the tree names it."""
        for folder in (self.source, self.out):
            path = path.removeprefix(f"{folder}/")
        return path.removeprefix("./")

    def feed(self, line: str) -> str | None:
        """Takes one line; the object whose compilation it announces, if it does."""
        self.tail.append(line)
        self.refused += refused([line])
        if step := _STEP.match(line):
            return self._step(step[1], step[2])
        if warning := _WARNING.match(line):
            place = self.relative(warning["file"])
            warned = Warned(place, int(warning["line"] or 0), warning["text"])
            owner = warned.file if warned.text.startswith("objtool:") else self._current
            if owner:
                self.objects.setdefault(owner, []).append(warned)
        elif error := _ERROR.match(line):
            place = f"{self.relative(error['file'])}:{error['line']}"
            self.errors.append(f"{place}: error: {error['text']}")
        elif _OTHER_ERRORS.search(line):
            self.errors.append(self.relative(line))
        return None

    def _step(self, step: str, target: str) -> str | None:
        self._current = ""
        compiled = step.split()[0] in ("CC", "AS") and target.endswith(".o")
        if not compiled or target.startswith(("/", "tools/", ".tmp_")):  # host's, symbol tables
            return None
        self._current = target
        self.objects[target] = []
        return target

    def first_errors(self, most: int = 6) -> list[str]:
        """The errors that matter, first ones first: make's own lines only where alone."""
        real = [line for line in self.errors if not MAKE_STOPS.match(line)]
        return list(dict.fromkeys(real or self.errors or list(self.tail)[-most:]))[:most]


def from_json(data: dict[str, list[list[Any]]]) -> dict[str, list[Warned]]:
    """Warnings by the name of what warns, as ``json`` gives them back."""
    return {name: [Warned(*one) for one in warned] for name, warned in data.items()}


def new_warnings(here: Iterable[W], base: Iterable[W]) -> list[W]:
    """The warnings that the base does not have, counting equal ones."""
    known = Counter(warned.same() for warned in base)
    fresh = []
    for warned in here:
        known[warned.same()] -= 1
        if known[warned.same()] < 0:
            fresh.append(warned)
    return fresh


@dataclass(frozen=True)
class Job:
    """One call of make: ``purpose`` names the build folder's use, ``stage`` the events."""

    tree: TreeUnderTest
    source: SourceTree
    out: Path
    purpose: str
    stage: str

    @property
    def memo(self) -> Path:
        """Where it is kept how many objects a build from nothing has compiled."""
        return self.tree.tools.store.root / "counts" / f"{self.tree.base.line}-{self.purpose}"

    def expected_objects(self) -> int:
        """How many objects a build from nothing will compile; 0: nobody knows."""
        with contextlib.suppress(OSError, ValueError):  # none yet, or being written just now
            return int(self.memo.read_text("utf-8"))
        about = known_kernels().get(self.tree.base.line)
        return about.objects.get(self.purpose.removesuffix("-debug"), 0) if about else 0

    def run(self, targets: tuple[str, ...], draft: Path) -> None:
        """Makes ``targets``; build.log in ``draft``, and the tree's own log, get the output.

        Raises:
            HarnessError: see ``failure``.
        """
        out, tools, log = self.out, self.tree.tools, self.tree.log
        records = {n: warned for n, warned in read_records(out).items() if has_source(out, n)}
        whole = not (out / "vmlinux").is_file()
        total = self.expected_objects()
        reader = BuildLog(str(self.source.path), str(out))

        def on_line(line: str) -> None:
            name = reader.feed(line)
            if name is not None:
                done = len(records.keys() | reader.objects.keys()) if whole else len(reader.objects)
                # Where many are made again, nearly all will be: a header or the configuration.
                known = max(done, total) if total and (whole or done > MANY_OBJECTS) else 0
                tools.events.emit(StageProgress(self.stage, done, known, "objects", name))

        argv = make_argv(tools, self.source.path, out, *targets)
        own_log = draft / "build.log"
        own_log.touch()
        try:
            with marked(out):
                env, box = compiling(tools), inside(tools, self.source.path, out)
                done = proc.run(argv, env=env, inside=box, log=own_log, on_line=on_line)
                # Still marked: objects without their records must not survive a kill.
                records |= reader.objects
                write_records(out, records)
        finally:
            log.parent.mkdir(parents=True, exist_ok=True)
            with open(log, "ab") as whole_log:
                whole_log.write(own_log.read_bytes())
        if done.returncode != 0:
            raise failure(reader, self.tree, log)
        tell_refused(tools.events, reader.refused, log)
        if whole:
            self.memo.parent.mkdir(exist_ok=True)
            self.memo.write_text(str(len(records)), "utf-8")


def run_on(tree: TreeUnderTest, source: SourceTree, out: Path, *what: str) -> list[str]:
    """What make says for ``what``, past what cannot be compiled; the caller marks ``out``.

    Raises:
        MachineError: the disk is full.
    """
    lines: list[str] = []
    argv = make_argv(tree.tools, source.path, out, "-k", *what)
    env, box = compiling(tree.tools), inside(tree.tools, source.path, out)
    proc.run(argv, env=env, inside=box, log=tree.log, on_line=lines.append)
    check_said(argv[0], lines[-40:], tree.log)
    return lines


def check_said(program: str, lines: Iterable[str], log: Path) -> None:
    """``check_output`` of what was said in the sandbox, less what only the sandbox refuses.

    Raises:
        MachineError: the disk is full, say.
    """
    lines = list(lines)
    tried = refused(lines)
    check_output(program, "\n".join(line for line in lines if line not in tried), log)


def told_refused(line: str) -> str:
    """What a program of the tree said when the sandbox refused something, as it is shown."""
    return f"tried in the sandbox, and refused: {line.strip()}"


def tell_refused(events: Events, lines: Sequence[str], log: Path) -> None:
    """Says what a build that went well all the same has tried to do, as far as it said so."""
    for line in lines[:MAX_REFUSED]:
        events.note(f"{told_refused(line)} ({log.name})")


def write_records(out: Path, records: dict[str, list[Warned]]) -> None:
    """Keeps the records of a build folder's objects beside them."""
    write_atomically(out / RECORDS, json.dumps(records, sort_keys=True))


def read_records(out: Path) -> dict[str, list[Warned]]:
    """The warnings of every object in a build folder, as when it was compiled."""
    path = taken(out, RECORDS)
    return from_json(json.loads(path.read_text("utf-8"))) if path.is_file() else {}


def has_source(out: Path, name: str) -> bool:
    """Whether an object is there and its source, as kbuild noted it, still is.

    Objects of files that the series no longer adds stay behind in a build folder.
    """
    place = out / name
    command = place.with_name(f".{place.name}.cmd")
    if not place.is_file() or not command.is_file():
        return place.is_file()
    with open(command, encoding="utf-8", errors="replace") as text:
        source = re.search(r"^source_\S+ := (\S+)", text.read(1 << 16), re.M)
    return source is None or (out / source[1]).exists()


def is_linked(out: Path, name: str) -> bool:
    """Whether its directory's archive holds the object; a configuration may have dropped it."""
    folder = (out / name).parent
    archives = [folder / a for a in ("built-in.a", "lib.a") if (folder / a).is_file()]
    box = Inside(reads=(out,))
    members = b"".join(proc.capture(("ar", "t", str(a)), inside=box) for a in archives)
    names = {Path(line).name for line in members.decode().splitlines()}
    return not archives or Path(name).name in names


def failure(reader: BuildLog, tree: TreeUnderTest, log: Path) -> HarnessError:
    """Who is at fault for a make of the kernel that failed: the series, the base, this machine."""
    said = "\n".join([*reader.first_errors(), *map(told_refused, reader.refused[:MAX_REFUSED])])
    check_said("make", reader.tail, log)
    if "Killed signal" in said:
        what = f"the compiler was killed: not enough memory?\n{said}"
        return MachineError(what, evidence=log, next_step="JOBS=1")
    if said.startswith(("scripts/", "tools/")):
        what = f"a program that the build itself needs does not compile here\n{said}"
        return MachineError(what, evidence=log, next_step=SET_UP)
    if not tree.applied.patches:
        what = f"KERNEL={tree.base.name} does not build even without patches\n{said}"
        step = "choose another KERNEL= or CONFIG="
        return InvocationError(what, evidence=log, next_step=step)
    what = f"the patched kernel does not build\n{said}"
    step = "mend the first error first; PATCHES=0 shows whether the base builds"
    return SeriesError(what, evidence=log, next_step=step)
