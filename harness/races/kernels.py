# SPDX-License-Identifier: GPL-2.0-only
"""The two kernels of a race: the series as it is, and the variant that lacks a protection.

The series is booted as `make test-kernel` builds it; its twin with debug information only
says where things are. A variant is built once, with debug information, and stripped for
booting: that changes no instruction, and halves the time. Where nothing is held, as in
scenarios without control, both are ordinary builds.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from harness.build.debuginfo import STAGE, debug_config, purpose
from harness.build.kconfig import configure, load_flavour
from harness.build.kernel import build
from harness.build.make import made
from harness.core import events as ev
from harness.core.errors import InvocationError
from harness.core.settings import PROJECT
from harness.core.stages import stage
from harness.core.store import Store
from harness.debugger.dwarf import DebugInfo
from harness.debugger.symbols import KernelSource, Symbols
from harness.run.pipeline import Prepared, debug_twin, workbench
from harness.run.session import Session
from harness.series.apply import Applied, apply_series
from harness.series.base import Base, worktree
from harness.series.contract import FOLDER, find_patch, with_variant
from harness.series.patches import load_series


@dataclass(frozen=True)
class RaceKernel:
    """A kernel to boot, and where in it things are.

    Args:
        vmlinux, bzimage: as in :class:`harness.vm.machine.GuestSpec`.
        applied: the commit that it was built from.
        debug: the ELF file with debug information of the same code, in an entry of the store;
            None where nobody asks.
    """

    vmlinux: Path
    bzimage: Path | None
    system_map: Path
    applied: Applied
    debug: Path | None = None

    @property
    def source(self) -> KernelSource:
        """Its source lines."""
        return KernelSource(self.applied.repo, self.applied.commit)

    def symbols(self, store: Store, base: Base) -> Symbols | None:
        """Its symbols, read anew; None without debug information.

        Args:
            base: builds read one tree for each, which the debug information's paths are below.

        Raises:
            InternalError: the debug information cannot be read.
        """
        if self.debug is None:
            return None
        kept = store.root / "work" / "dwarf" / self.debug.parent.name
        debug = DebugInfo(self.debug, worktree(store, base.key), kept)
        return Symbols(self.system_map.read_text("utf-8"), debug, self.source)


def series_kernel(session: Session, prepared: Prepared, *, debug: bool) -> RaceKernel:
    """The series' own kernel; with ``debug`` the stage ``debuginfo``.

    Raises:
        InvocationError: with debug information its code would be elsewhere.
        SeriesError, MachineError: as for any build.
    """
    kernel = prepared.kernel
    ordinary = RaceKernel(kernel.vmlinux, kernel.bzimage, kernel.system_map, prepared.applied)
    if not debug:
        return ordinary
    with stage(session.events, STAGE) as outcome:
        twin = debug_twin(session, prepared)
        outcome.cached = twin.cached
        outcome.detail = twin.verdict
    if twin.differences:
        raise InvocationError(
            "debug information cannot be had for this kernel: with it the code is elsewhere\n"
            + "\n".join(twin.differences),
            next_step="use a configuration that does not depend on DEBUG_INFO",
        )
    return replace(ordinary, debug=twin.vmlinux)


def variant_patch(session: Session, base: Base, name: str) -> Path:
    """The patch of a variant: of the series, or one of the project's own.

    Raises:
        InvocationError: there is none for this kernel line.
    """
    for folder in (session.settings.project, PROJECT / "patches"):
        if (path := find_patch(folder, base.line, name)) is not None:
            return path
    places = f"patches/{session.data.name}/{FOLDER}/{base.line} or patches/{FOLDER}/{base.line}"
    raise InvocationError(f"there is no patch {name}.patch for Linux {base.line} in {places}")


def variant_kernel(
    session: Session, prepared: Prepared, name: str, *, bzimage: bool, debug: bool
) -> RaceKernel:
    """The series with a variant on top of it; the stage ``variant``.

    Raises:
        InvocationError: there is no such variant.
        SeriesError, MachineError: it does not apply or build.
    """
    settings, store, base = session.settings, session.store, prepared.base
    patch = variant_patch(session, base, name)
    bench = workbench(session)
    log = session.out / "variants.log"
    with stage(session.events, "variant") as outcome:
        series = with_variant(load_series(settings, base), str(patch), settings.project, base.line)
        applied = apply_series(base, series, None, store, ev.Events())
        config = configure(bench, base, applied, load_flavour(settings.config), log)
        outcome.detail = name
        if not debug:
            kernel = build(bench, base, applied, config, log, bzimage=bzimage)
            outcome.cached = kernel.cached
            return RaceKernel(kernel.vmlinux, kernel.bzimage, kernel.system_map, applied)
        wanted = debug_config(config.text)
        sha = hashlib.sha256(wanted.encode()).hexdigest()
        inputs = applied.tree, sha, bench.toolchain.version, bzimage

        def make(draft: Path) -> None:
            kind = purpose(settings.config)
            with made(
                bench, base, applied, wanted, kind, STAGE, draft, log, bzimage=bzimage, settle=True
            ) as job:
                shutil.copyfile(job.out / "vmlinux", draft / "debug")
                shutil.copyfile(job.out / "System.map", draft / "System.map")
                job.keep(draft, bzimage=bzimage)

        entry = store.entry("variant", inputs, make, bench.events.note, also=("build",))
        outcome.cached = entry.cached
    at = entry.path
    image = at / "bzImage" if bzimage else None
    return RaceKernel(at / "vmlinux", image, at / "System.map", applied, at / "debug")
