# SPDX-License-Identifier: GPL-2.0-only
"""Runs the kernel's make: progress, the objects' records, and who is at fault."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.build.build_dir import build_dir, marked
from harness.build.make_log import BuildLog, Warned, as_json, from_json
from harness.build.toolchain import Workbench, compiling, environment, make_argv
from harness.core import proc
from harness.core.atomic import write_atomically
from harness.core.errors import HarnessError, InvocationError, MachineError, SeriesError
from harness.core.events import StageProgress
from harness.core.usage import SET_UP
from harness.series.apply import Applied
from harness.series.base import Base, known_kernels
from harness.series.worktree import SourceTree, source_tree

RECORDS = ".harness-objects.json"  # object: its warnings, across incremental builds
MANY_OBJECTS = 30


@dataclass(frozen=True)
class Job:
    """One call of make: ``purpose`` names the build folder's use, ``stage`` the events."""

    bench: Workbench
    base: Base
    applied: Applied
    source: SourceTree
    out: Path
    purpose: str
    stage: str


@contextlib.contextmanager
def made(
    bench: Workbench,
    base: Base,
    applied: Applied,
    config: str,
    purpose: str,
    stage: str,
    draft: Path,
    log: Path,
    *,
    bzimage: bool = False,
    settle: bool = False,
) -> Iterator[Job]:
    """A patched tree's vmlinux, made; tree and build folder are ours until the block ends.

    Args:
        config: text of the .config; with ``settle`` kbuild may answer what it leaves open.
        purpose, stage: see :class:`Job`.
        draft: its build.log gets what make says; ``log`` gets it too, and outlives a failure.

    Raises:
        SeriesError, InvocationError, MachineError: see ``failure``.
    """
    with (
        source_tree(bench.store, base, applied, bench.events) as source,
        build_dir(bench, base, purpose, source) as out,
    ):
        own_log = draft / "build.log"
        place_config(config, out)
        if settle:
            argv = make_argv(bench, source.path, out, "olddefconfig")
            with marked(out):
                done = proc.run(argv, env=environment(), log=own_log)
            if done.returncode != 0:
                text = own_log.read_text("utf-8", "replace")
                raise proc.failure(argv, done.returncode, text, own_log)
        job = Job(bench, base, applied, source, out, purpose, stage)
        _run_make(job, ("vmlinux", "bzImage") if bzimage else ("vmlinux",), own_log, log)
        yield job


def run_on(
    bench: Workbench,
    source: SourceTree,
    out: Path,
    log: Path,
    on_line: Callable[[str], object],
    *what: str,
) -> None:
    """Runs make for ``what``, past all that cannot be compiled; ``out`` is marked by the caller.

    Raises:
        MachineError: the disk is full.
    """
    tail: deque[str] = deque(maxlen=40)

    def take(line: str) -> None:
        tail.append(line)
        on_line(line)

    argv = make_argv(bench, source.path, out, "-k", *what)
    proc.run(argv, env=compiling(bench), log=log, on_line=take)
    proc.check_disk(argv, "\n".join(tail), log)


def _run_make(job: Job, targets: tuple[str, ...], own_log: Path, log: Path) -> None:
    """Runs make in the job's folder and judges its output; ``log`` outlives a failure."""
    out, events = job.out, job.bench.events
    records = {n: warned for n, warned in read_records(out).items() if has_source(out, n)}
    whole = not (out / "vmlinux").is_file()
    total = _expected(job)
    reader = BuildLog(str(job.source.path), str(out))

    def on_line(line: str) -> None:
        name = reader.feed(line)
        if name is not None:
            done = len(records.keys() | reader.objects.keys()) if whole else len(reader.objects)
            # Where many are made again, nearly all will be: a header or the configuration.
            known = max(done, total) if total and (whole or done > MANY_OBJECTS) else 0
            events.emit(StageProgress(job.stage, done, known, "objects", name))

    argv = make_argv(job.bench, job.source.path, out, *targets)
    try:
        with marked(out):
            done = proc.run(argv, env=compiling(job.bench), log=own_log, on_line=on_line)
            # Still marked: objects without their records must not survive a kill.
            records |= reader.objects
            write_records(out, records)
    finally:
        _append(own_log, log)
    if done.returncode != 0:
        raise failure(reader, job.base, job.applied, log)
    if whole:
        memo = _memo(job)
        memo.parent.mkdir(exist_ok=True)
        memo.write_text(str(len(records)), "utf-8")


def _memo(job: Job) -> Path:
    return job.bench.store.root / "counts" / f"{job.base.line}-{job.purpose}"


def _expected(job: Job) -> int:
    """How many objects a build from nothing will compile: as last time, or as the table says."""
    with contextlib.suppress(OSError, ValueError):  # none yet, or being written just now
        return int(_memo(job).read_text("utf-8"))
    objects: dict[str, int] = known_kernels().get(job.base.line, {}).get("objects", {})
    return objects.get(job.purpose.removesuffix("-debug"), 0)


def write_records(out: Path, records: dict[str, list[Warned]]) -> None:
    """Keeps the records of a build folder's objects beside them."""
    write_atomically(out / RECORDS, json.dumps(as_json(records)))


def read_records(out: Path) -> dict[str, list[Warned]]:
    """The warnings of every object in a build folder, as when it was compiled."""
    path = out / RECORDS
    return from_json(json.loads(path.read_text("utf-8"))) if path.is_file() else {}


def has_source(out: Path, name: str) -> bool:
    """Whether an object is there and its source, as kbuild noted it, still is.

    Objects of files that the series no longer adds stay behind in a build folder.
    """
    place = out / name
    command = place.with_name(f".{place.name}.cmd")
    if not place.is_file():
        return False
    if not command.is_file():
        return True
    with open(command, encoding="utf-8", errors="replace") as text:
        found = re.search(r"^source_\S+ := (\S+)", text.read(1 << 16), re.M)
    return found is None or (out / found[1]).exists()


def is_linked(out: Path, name: str) -> bool:
    """Whether its directory's archive holds the object; a configuration may have dropped it."""
    folder = (out / name).parent
    archives = [folder / a for a in ("built-in.a", "lib.a") if (folder / a).is_file()]
    if not archives:
        return True
    members = b"".join(proc.capture(("ar", "t", str(archive))) for archive in archives)
    return Path(name).name in {Path(line).name for line in members.decode().splitlines()}


def place_config(config: str, out: Path) -> None:
    """Puts the text of a configuration in place, touching nothing where it is the same."""
    place = out / ".config"
    if not place.is_file() or place.read_text("utf-8") != config:
        place.write_text(config, "utf-8")


def _append(own: Path, log: Path) -> None:
    """Adds a build's output to the run's log, where it outlives a failed draft."""
    if own.is_file():
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(own, "rb") as new, open(log, "ab") as old:
            shutil.copyfileobj(new, old)


def failure(reader: BuildLog, base: Base, applied: Applied, log: Path) -> HarnessError:
    """Who is at fault for a make of the kernel that failed: the series, the base, this machine."""
    errors = reader.first_errors()
    said = "\n".join(errors)
    try:
        proc.check_disk(("make",), "\n".join(reader.tail), log)
    except MachineError as error:
        return error
    if "Killed signal" in said:
        return MachineError(
            f"the compiler was killed: not enough memory?\n{said}",
            evidence=log,
            next_step="JOBS=1",
        )
    if errors and errors[0].startswith(("scripts/", "tools/")):
        return MachineError(
            f"a program that the build itself needs does not compile here\n{said}",
            evidence=log,
            next_step=SET_UP,
        )
    if not applied.patches:
        return InvocationError(
            f"KERNEL={base.name} does not build even without patches\n{said}",
            evidence=log,
            next_step="choose another KERNEL= or CONFIG=",
        )
    return SeriesError(
        f"the patched kernel does not build\n{said}",
        evidence=log,
        next_step="mend the first error first; PATCHES=0 shows whether the base builds",
    )
