# SPDX-License-Identifier: GPL-2.0-only
"""From a kernel and a series to a built kernel: the stages before any guest."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness.build.debuginfo import DebugKernel, build_debug
from harness.build.flavours import load_flavour
from harness.build.headers import install_headers, installing
from harness.build.kconfig import configure, remarks
from harness.build.kernel import STAGE, KernelBuild, build
from harness.build.toolchain import BuildTools, find_toolchain
from harness.core import events as ev
from harness.core.errors import InvocationError
from harness.core.stages import stage
from harness.run.session import Session
from harness.series.apply import Applied, PatchedTree, apply_series
from harness.series.base import Base, obtain_base
from harness.series.contract import with_variant
from harness.series.patches import load_series
from harness.vm.machine import choose_machine


@dataclass(frozen=True)
class Prepared:
    """A built kernel, where it came from, and the ``machine`` that boots it (machines.yaml).

    ``headers``: its installed uapi headers.
    """

    base: Base
    applied: Applied
    kernel: KernelBuild
    headers: Path
    machine: str

    @property
    def patched_tree(self) -> PatchedTree:
        """What the series makes of the base."""
        return PatchedTree(self.applied.repo, self.applied.commit, self.base.commit)


def workbench(session: Session) -> BuildTools:
    """What a run's builds work with: this machine's own compiler."""
    return BuildTools(session.store, session.events, find_toolchain(), session.settings.jobs)


def base_stage(session: Session) -> Base:
    """The stage tree.

    Raises:
        InvocationError, MachineError: see ``obtain_base``.
    """
    settings, events = session.settings, session.events
    with stage(events, "tree") as outcome:
        base = obtain_base(settings, session.store, events)
        outcome.detail = f"{base.version} ({base.source})"
        outcome.cached = base.cached
        events.emit(ev.BaseKnown(base.version, settings.kernel, base.commit))
    return base


def series_stage(session: Session, base: Base) -> Applied:
    """The stage series: the series, with VARIANT= on top of it, applied.

    Raises:
        SeriesError, InvocationError: see ``load_series``, ``with_variant``, ``apply_series``.
    """
    settings, events = session.settings, session.events
    with stage(events, "series") as outcome:
        series = load_series(settings, base)
        for remark in series.remarks:
            events.note(remark)
        if settings.variant:
            if settings.patches is not None:
                raise InvocationError(
                    "VARIANT= goes on top of the whole series, and PATCHES= takes a part of it",
                    next_step="leave one of them out",
                )
            series = with_variant(series, settings.variant, settings.project, base.line)
        applied = apply_series(base, series, settings.patches, session.store, events)
        outcome.cached = applied.cached
        outcome.detail = f"{len(applied.patches)} of {applied.total} patches from {series.source}"
        events.emit(ev.SeriesKnown(series.source, applied.patches, applied.total))
    return applied


def prepare(
    session: Session, on_headers: Callable[[Path, Base], None] = lambda *_: None
) -> Prepared:
    """Runs the stages tree, series, config and build.

    The configuration decides which machine can boot the kernel, and so which image is built.

    Args:
        on_headers: hears of the installed uapi headers before the kernel is built.

    Raises:
        SeriesError, InvocationError, MachineError: see each stage.
    """
    events, log = session.events, session.out / "build.log"
    base = base_stage(session)
    applied = series_stage(session, base)
    with stage(events, "config") as outcome:
        bench = workbench(session)
        flavour = load_flavour(session.settings.config)
        beside = partial(installing, bench, base, applied, log)
        config = configure(bench, base, applied, flavour, log, beside)
        for remark in remarks(flavour, base, config):
            events.note(remark)
        # In the store by now, unless the configuration was and they were not.
        headers = install_headers(bench, base, applied, log)
        outcome.cached = config.cached
        outcome.detail = f"{config.name}: {config.sha256[:12]}"
        events.emit(ev.ConfigKnown(config.name, config.sha256))
    machine, why = choose_machine(session.settings.machine, config.text)
    if why != machine:
        events.note(why)
    on_headers(headers, base)
    with stage(events, STAGE) as outcome:
        kernel = build(bench, base, applied, config, log, bzimage=machine != "microvm")
        outcome.cached = kernel.cached
        outcome.detail = f"{kernel.release}, {kernel.objects} objects"
    shutil.copyfile(kernel.config, session.out / "kernel.config")
    if kernel.cached:
        shutil.copyfile(kernel.log, log)
    return Prepared(base, applied, kernel, headers, machine)


def debug_twin(session: Session, prepared: Prepared) -> DebugKernel:
    """The prepared kernel once more, with debug information.

    Raises:
        SeriesError, MachineError: as for any build.
    """
    bench, log = workbench(session), session.out / "build.log"
    base, applied, kernel = prepared.base, prepared.applied, prepared.kernel
    flavour = load_flavour(session.settings.config).name
    return build_debug(bench, base, applied, kernel, flavour, log)
