# SPDX-License-Identifier: GPL-2.0-only
"""Builds the kernel out of tree, incrementally, and keeps the result in the store."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness import proc
from harness.apply import Applied
from harness.base import Base
from harness.basewarnings import judge_warnings
from harness.checkout import source_tree
from harness.events import ConfigKnown
from harness.kconfig import KernelConfig, configure, load_flavour
from harness.kmake import Job, place_config, read_records, run_make
from harness.stages import stage
from harness.store import digest
from harness.toolchain import Workbench, find_toolchain
from harness.uapi import install_headers, installing
from harness.workshop import build_folder

if TYPE_CHECKING:
    from harness.session import Session

FORMAT = 2
STAGE = "build"


@dataclass(frozen=True)
class Kernel:
    """A built kernel, in the store.

    ``vmlinux`` is stripped, for booting; ``source`` is the worktree, which another run
    may have moved on; ``objects`` counts the objects of the whole kernel.
    """

    vmlinux: Path
    bzimage: Path | None
    system_map: Path
    config: Path
    log: Path
    release: str
    source: Path
    cached: bool
    objects: int
    entry: Path


def build_kernel(
    session: Session,
    base: Base,
    applied: Applied,
    *,
    bzimage: bool,
    on_headers: Callable[[Path], None],
) -> tuple[Kernel, Path]:
    """The stages config and build of a run: the kernel, and its installed uapi headers.

    Args:
        on_headers: hears of the headers before the kernel is built.

    Raises:
        SeriesError, InvocationError, MachineError: see ``configure`` and ``build``.
    """
    settings, events = session.settings, session.events
    log = session.out / "build.log"
    with stage(events, "config") as outcome:
        bench = Workbench(session.store, events, find_toolchain(), settings.jobs)
        flavour = load_flavour(settings.config)
        beside = partial(installing, bench, base, applied, log)
        config = configure(bench, base, applied, flavour, log, beside)
        # In the store by now, unless the configuration was and they were not.
        headers = install_headers(bench, base, applied, log)
        outcome.cached = config.cached
        outcome.detail = f"{config.name}: {config.sha256[:12]}"
        events.emit(ConfigKnown(config.name, config.sha256))
    on_headers(headers)
    with stage(events, STAGE) as outcome:
        kernel = build(bench, base, applied, config, log, bzimage=bzimage)
        outcome.cached = kernel.cached
        outcome.detail = f"{kernel.release}, {kernel.objects} objects"
    return kernel, headers


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
            targets = ("vmlinux", *(("bzImage",) if bzimage else ()))
            place_config(config.path, out)
            job = Job(bench, base, applied, source, out, config.name, STAGE)
            run_make(job, targets, draft / "build.log", log)
            judge_warnings(job, config, log)
            _collect(out, draft, bzimage)

    entry = bench.store.entry("kernel", key, make, bench.waiting)
    about = json.loads((entry.path / "kernel.json").read_text("utf-8"))
    return Kernel(
        vmlinux=entry.path / "vmlinux",
        bzimage=entry.path / "bzImage" if bzimage else None,
        system_map=entry.path / "System.map",
        config=entry.path / "kernel.config",
        log=entry.path / "build.log",
        release=about["release"],
        source=bench.store.root / "work" / "source" / base.key / "tree",
        cached=entry.cached,
        objects=about["objects"],
        entry=entry.path,
    )


def _collect(out: Path, draft: Path, bzimage: bool) -> None:
    """Copies what a run needs from the build folder into the entry."""
    proc.capture(("strip", "--strip-all", "-o", str(draft / "vmlinux"), str(out / "vmlinux")))
    for name, kept in ((".config", "kernel.config"), ("System.map", "System.map")):
        shutil.copyfile(out / name, draft / kept)
    if bzimage:
        shutil.copyfile(out / "arch/x86/boot/bzImage", draft / "bzImage")
    about = {
        "release": (out / "include/config/kernel.release").read_text("utf-8").strip(),
        "objects": len(read_records(out)),
    }
    (draft / "kernel.json").write_text(json.dumps(about) + "\n", "utf-8")
