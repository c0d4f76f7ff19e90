# SPDX-License-Identifier: GPL-2.0-only
"""The two kernels of a race: the series as it is, and the variant that lacks a protection.

The series is booted as `make test-kernel` builds it; its twin with debug information only
says where things are. A variant is built once, with debug information, and stripped for
booting: that changes no instruction, and halves the time. Where nothing is held, as in
scenarios without control, both are ordinary builds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.build.debuginfo import STAGE, build_debug
from harness.build.flavours import load_flavour
from harness.build.kconfig import configure
from harness.build.kernel import KernelBuild, build
from harness.core import events as ev
from harness.core.errors import InvocationError
from harness.core.settings import PROJECT
from harness.core.stages import stage
from harness.core.store import Store
from harness.debugger.dwarf import DebugInfo
from harness.debugger.symbols import KernelSource, Symbols
from harness.races.scenario import Scenario
from harness.run.pipeline import Prepared
from harness.run.session import Session
from harness.series.apply import Applied, apply_series
from harness.series.base import Base, worktree
from harness.series.contract import FOLDER, find_patch, with_variant
from harness.series.patches import load_series


@dataclass(frozen=True)
class RaceKernel:
    """A kernel to boot and its commit; ``debug``: the ELF file that tells where things are."""

    build: KernelBuild
    applied: Applied
    debug: Path | None = None

    @property
    def source(self) -> KernelSource:
        """Its source lines."""
        return KernelSource(self.applied.repo, self.applied.commit)

    def symbols(self, store: Store, base: Base) -> Symbols | None:
        """Its symbols, read anew, of the tree of ``base``; None without debug information."""
        if self.debug is None:
            return None
        kept = store.root / "work" / "dwarf" / self.debug.parent.name
        debug = DebugInfo(self.debug, worktree(store, base.key), kept)
        return Symbols(self.build.system_map.read_text("utf-8"), debug, self.source)


def series_kernel(session: Session, prepared: Prepared, *, debug: bool) -> RaceKernel:
    """The series' own kernel; with ``debug`` the stage ``debuginfo``.

    Raises:
        InvocationError: with debug information its code would be elsewhere.
        SeriesError, MachineError: as for any build.
    """
    if not debug:
        return RaceKernel(prepared.kernel, prepared.applied)
    with stage(session.events, STAGE) as outcome:
        twin = build_debug(prepared.tree, prepared.kernel)
        outcome.cached, outcome.detail = twin.cached, twin.verdict
    if twin.differences:
        raise InvocationError(
            "debug information cannot be had for this kernel: with it the code is elsewhere\n"
            + "\n".join(twin.differences),
            next_step="use a configuration that does not depend on DEBUG_INFO",
        )
    return RaceKernel(prepared.kernel, prepared.applied, twin.vmlinux)


def variant_patch(scenario: Scenario, folders: Sequence[Path], line: str) -> Path | None:
    """The patch of a scenario's variant for a kernel line; None where there is none for that.

    It is beside the scenario, where a search has written both, or in one of the projects' folders.
    """
    beside = scenario.source.with_name(f"{scenario.variant}.patch")
    every = (find_patch(folder, line, scenario.variant) for folder in folders)
    return beside if beside.is_file() else next(filter(None, every), None)


def variant_kernel(session: Session, prepared: Prepared, scenario: Scenario) -> RaceKernel:
    """The series with a variant, its own or one of the project's, on top; the stage ``variant``.

    Raises:
        InvocationError: there is no such variant for this kernel line.
        SeriesError, MachineError: it does not apply or build.
    """
    settings, base, name = session.settings, prepared.base, scenario.variant
    bzimage, debug = prepared.kernel.bzimage is not None, scenario.controlled
    folders = *(data.folder for data in session.data.chain), PROJECT / "patches"
    found = variant_patch(scenario, folders, base.line)
    if found is None:
        where = f"{session.data.name}/{FOLDER}/{base.line} or patches/{FOLDER}/{base.line}"
        raise InvocationError(f"there is no {name}.patch for Linux {base.line} in patches/{where}")
    with stage(session.events, "variant") as outcome:
        whole = load_series(settings, base)
        series = with_variant(whole, str(found), settings.project, base.line)
        applied = apply_series(base, series, None, session.store, ev.Events())
        log = session.out / "variants.log"
        tree = replace(prepared.tree, applied=applied, log=log)
        config = configure(tree, load_flavour(settings.config))
        kernel = build(tree, config, bzimage=bzimage, debug=debug)
        outcome.cached, outcome.detail = kernel.cached, name
    return RaceKernel(kernel, applied, kernel.entry / "debug" if debug else None)
