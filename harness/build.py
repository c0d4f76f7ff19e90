# SPDX-License-Identifier: GPL-2.0-only
"""Builds the kernel out of tree, incrementally, and keeps the result in the store."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness import proc
from harness.apply import Applied
from harness.base import Base
from harness.buildlog import BuildLog, Warned, as_json, from_json
from harness.checkout import Source, source_tree
from harness.errors import HarnessError, MachineError, SeriesError
from harness.events import ConfigKnown, StageProgress
from harness.kconfig import KernelConfig, configure, load_flavour
from harness.stages import stage
from harness.store import digest
from harness.toolchain import Workbench, environment, find_toolchain, make_argv
from harness.workshop import build_folder, marked

if TYPE_CHECKING:
    from harness.session import Session

FORMAT = 1
STAGE = "build"
RECORDS = ".harness-objects.json"  # object: its warnings, across incremental builds


@dataclass(frozen=True)
class Kernel:
    """A built kernel, in the store.

    ``vmlinux`` is stripped, for booting; ``headers`` is the folder of installed
    uapi headers (an -isystem path); ``source`` is the worktree, which another run
    may have moved on; ``objects`` counts the objects of the whole kernel.
    """

    vmlinux: Path
    bzimage: Path | None
    system_map: Path
    config: Path
    log: Path
    headers: Path
    release: str
    source: Path
    cached: bool
    objects: int
    entry: Path


def build_kernel(session: Session, base: Base, applied: Applied, *, bzimage: bool) -> Kernel:
    """The stages config and build of a run.

    Raises:
        SeriesError, InvocationError, MachineError: see ``configure`` and ``build``.
    """
    settings, events = session.settings, session.events
    log = session.out / "build.log"
    with stage(events, "config") as outcome:
        bench = Workbench(session.store, events, find_toolchain(), settings.jobs)
        config = configure(bench, base, applied, load_flavour(settings.config), log)
        outcome.cached = config.cached
        outcome.detail = f"{config.name}: {config.sha256[:12]}"
        events.emit(ConfigKnown(config.name, config.sha256))
    with stage(events, STAGE) as outcome:
        kernel = build(bench, base, applied, config, log, bzimage=bzimage)
        outcome.cached = kernel.cached
        outcome.detail = f"{kernel.release}, {kernel.objects} objects"
    return kernel


def build(
    bench: Workbench,
    base: Base,
    applied: Applied,
    config: KernelConfig,
    log: Path,
    *,
    bzimage: bool = False,
) -> Kernel:
    """The kernel of a patched tree and a configuration, from the store or built now.

    The output of make is added to ``log``, and lies in the entry as well.

    Raises:
        SeriesError: it does not compile or link, or brings a new warning.
        MachineError: a tool or a header is missing here, or the disk is full.
    """
    key = digest(FORMAT, applied.tree, config.sha256, bench.toolchain.version, bzimage)

    def make(draft: Path) -> None:
        with (
            source_tree(bench.store, base, applied, bench.events) as source,
            build_folder(bench, base, config.name, source) as out,
        ):
            targets = ("vmlinux", *(("bzImage",) if bzimage else ()), "headers")
            place_config(config.path, out)
            job = Job(bench, base, applied, source, out, config.name, STAGE)
            run_make(job, targets, draft / "build.log", log)
            _collect(out, draft, bzimage)

    entry = bench.store.entry("kernel", key, make, bench.waiting)
    about = json.loads((entry.path / "kernel.json").read_text("utf-8"))
    return Kernel(
        vmlinux=entry.path / "vmlinux",
        bzimage=entry.path / "bzImage" if bzimage else None,
        system_map=entry.path / "System.map",
        config=entry.path / "kernel.config",
        log=entry.path / "build.log",
        headers=entry.path / "include",
        release=about["release"],
        source=bench.store.root / "work" / "source" / base.key / "tree",
        cached=entry.cached,
        objects=about["objects"],
        entry=entry.path,
    )


def _append(own: Path, log: Path) -> None:
    """Adds a build's output to the run's log, where it outlives a failed draft."""
    if own.is_file():
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(own, "rb") as new, open(log, "ab") as old:
            shutil.copyfileobj(new, old)


def place_config(config: Path, out: Path) -> None:
    """Puts the configuration in place, touching nothing where it is the same."""
    place = out / ".config"
    if not place.is_file() or place.read_bytes() != config.read_bytes():
        shutil.copyfile(config, place)


def read_records(out: Path) -> dict[str, list[Warned]]:
    """The warnings of every object in a build folder, as when it was compiled."""
    path = out / RECORDS
    return from_json(json.loads(path.read_text("utf-8"))) if path.is_file() else {}


@dataclass(frozen=True)
class Job:
    """One call of make: ``purpose`` names the build folder's use, ``stage`` the events."""

    bench: Workbench
    base: Base
    applied: Applied
    source: Source
    out: Path
    purpose: str
    stage: str


def run_make(job: Job, targets: tuple[str, ...], own_log: Path, log: Path) -> None:
    """Runs make in the job's folder and judges its output; ``log`` outlives a failure.

    Raises:
        SeriesError, MachineError: see ``build``.
    """
    out, events = job.out, job.bench.events
    records = {name: warned for name, warned in read_records(out).items() if (out / name).is_file()}
    whole = not (out / "vmlinux").is_file()
    total = _expected(job) if whole else 0
    reader = BuildLog(str(job.source.path), str(out))

    def on_line(line: str) -> None:
        name = reader.feed(line)
        if name is not None:
            done = len(records.keys() | reader.objects.keys()) if whole else len(reader.objects)
            known = max(done, total) if total else 0
            events.emit(StageProgress(job.stage, done, known, "objects", name))

    argv = make_argv(job.bench, job.source.path, out, *targets)
    try:
        with marked(out):
            done = proc.run(argv, env=environment(job.bench.store), log=own_log, on_line=on_line)
    finally:
        _append(own_log, log)
    records |= reader.objects
    (out / RECORDS).write_text(json.dumps(as_json(records)), "utf-8")
    if done.returncode != 0:
        raise _failure(reader, job, log)
    if whole:
        memo = _memo(job)
        memo.parent.mkdir(exist_ok=True)
        memo.write_text(str(len(records)), "utf-8")


def _memo(job: Job) -> Path:
    return job.bench.store.root / "counts" / f"{job.base.line}-{job.purpose}"


def _expected(job: Job) -> int:
    """How many objects a build from nothing will compile: as last time, or as the table says."""
    if _memo(job).is_file():
        return int(_memo(job).read_text("utf-8"))
    return dict(job.base.objects).get(job.purpose.removesuffix("-debug"), 0)


def _failure(reader: BuildLog, job: Job, log: Path) -> HarnessError:
    errors = reader.first_errors()
    said = "\n".join(errors)
    if any(sign in "\n".join(reader.tail) for sign in proc.FULL_DISK):
        return proc.failure(("make",), 2, "\n".join(reader.tail), log)
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
            next_step="python3 harness/bootstrap.py --for test-kernel   (lists what is missing)",
        )
    who = "the patched kernel" if job.applied.patches else f"the bare base {job.base.version}"
    return SeriesError(
        f"{who} does not build\n{said}", evidence=log, next_step="mend the first error first"
    )


def _collect(out: Path, draft: Path, bzimage: bool) -> None:
    """Copies what a run needs from the build folder into the entry."""
    proc.capture(("strip", "--strip-all", "-o", str(draft / "vmlinux"), str(out / "vmlinux")))
    for name, kept in ((".config", "kernel.config"), ("System.map", "System.map")):
        shutil.copyfile(out / name, draft / kept)
    if bzimage:
        shutil.copyfile(out / "arch/x86/boot/bzImage", draft / "bzImage")
    shutil.copytree(
        out / "usr/include",
        draft / "include",
        ignore=lambda _, names: [n for n in names if n.startswith(".") or n.endswith(".hdrtest")],
    )
    about = {
        "release": (out / "include/config/kernel.release").read_text("utf-8").strip(),
        "objects": len(read_records(out)),
    }
    (draft / "kernel.json").write_text(json.dumps(about) + "\n", "utf-8")
