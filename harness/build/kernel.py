# SPDX-License-Identifier: GPL-2.0-only
"""Builds the kernel out of tree, incrementally, and keeps the result in the store."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from harness.build.kconfig import KernelConfig
from harness.build.make import made, read_records
from harness.build.new_warnings import judge_warnings
from harness.build.toolchain import Workbench
from harness.core import proc
from harness.series.apply import Applied
from harness.series.base import Base, worktree

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
    inputs = applied.tree, config.sha256, bench.toolchain.version, bzimage

    def make(draft: Path) -> None:
        with made(
            bench, base, applied, config.text, config.name, STAGE, draft, log, bzimage=bzimage
        ) as job:
            judge_warnings(job, config, log)
            _collect(job.out, draft, bzimage)

    entry = bench.store.entry("kernel", inputs, make, bench.events.note)
    about = json.loads((entry.path / "kernel.json").read_text("utf-8"))
    return Kernel(
        vmlinux=entry.path / "vmlinux",
        bzimage=entry.path / "bzImage" if bzimage else None,
        system_map=entry.path / "System.map",
        config=entry.path / "kernel.config",
        log=entry.path / "build.log",
        release=about["release"],
        source=worktree(bench.store, base.key),
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
