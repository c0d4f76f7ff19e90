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
from harness.series.base import Base

STAGE = "build"


@dataclass(frozen=True)
class KernelBuild:
    """A built kernel, in the store.

    ``vmlinux`` is stripped, for booting; ``objects`` counts those of the whole kernel.
    """

    entry: Path
    vmlinux: Path
    bzimage: Path | None
    system_map: Path
    config: Path
    log: Path
    cached: bool
    release: str
    objects: int


def build(
    bench: Workbench,
    base: Base,
    applied: Applied,
    config: KernelConfig,
    log: Path,
    *,
    bzimage: bool = False,
) -> KernelBuild:
    """The kernel of a patched tree and a configuration, from the store or built now.

    The output of make is added to ``log``, and lies in the entry as well.

    Raises:
        SeriesError: it does not compile or link, or brings a new warning.
        MachineError: a tool or a header is missing here, or the disk is full.
    """

    def make(draft: Path) -> None:
        with made(
            bench, base, applied, config.text, config.name, STAGE, draft, log, bzimage=bzimage
        ) as job:
            judge_warnings(job, config, log)
            out = job.out
            stripped = ("strip", "--strip-all", "-o", str(draft / "vmlinux"))
            proc.capture((*stripped, str(out / "vmlinux")))
            shutil.copyfile(out / ".config", draft / "kernel.config")
            shutil.copyfile(out / "System.map", draft / "System.map")
            if bzimage:
                shutil.copyfile(out / "arch/x86/boot/bzImage", draft / "bzImage")
            release = (out / "include/config/kernel.release").read_text("utf-8").strip()
            about = {"release": release, "objects": len(read_records(out))}
            (draft / "kernel.json").write_text(json.dumps(about) + "\n", "utf-8")

    inputs = applied.tree, config.sha256, bench.toolchain.version, bzimage
    entry = bench.store.entry("kernel", inputs, make, bench.events.note)
    return KernelBuild(
        entry.path,
        entry.path / "vmlinux",
        entry.path / "bzImage" if bzimage else None,
        entry.path / "System.map",
        entry.path / "kernel.config",
        entry.path / "build.log",
        entry.cached,
        **json.loads((entry.path / "kernel.json").read_text("utf-8")),
    )
