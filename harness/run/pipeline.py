# SPDX-License-Identifier: GPL-2.0-only
"""From a kernel and a series to a built kernel: the stages before any guest."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from harness.build.flavours import load_flavour
from harness.build.headers import install_headers, installing
from harness.build.kconfig import remarks
from harness.build.kernel import STAGE, KernelBuild, build
from harness.build.toolchain import BuildTools, find_toolchain
from harness.build.tree import TreeUnderTest
from harness.change import objects
from harness.change.autoconfig import WholeChange, configure_for
from harness.change.touched import fates, touched_files, without_object
from harness.change.whose_series import take
from harness.core import events as ev
from harness.core.errors import InvocationError, SeriesError
from harness.core.settings import KUNIT, Settings
from harness.core.stages import stage
from harness.run.answer import with_answer
from harness.run.session import Session
from harness.series.apply import Applied, apply_series
from harness.series.base import Base
from harness.series.contract import with_variant
from harness.series.on_top import obtain_base, stand_on
from harness.series.patches import load_series
from harness.vm.machine import choose_machine, machine_table
from harness.workloads.choose import kinds_of


@dataclass(frozen=True)
class Prepared:
    """A built kernel, where it came from, and the ``machine`` that boots it (machines.yaml).

    ``headers``: its installed uapi headers. ``missing``: file of the series -> what keeps it out.
    """

    tree: TreeUnderTest
    kernel: KernelBuild
    headers: Path
    machine: str
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def base(self) -> Base:
        """The base of the tree."""
        return self.tree.base

    @property
    def applied(self) -> Applied:
        """The patches on it."""
        return self.tree.applied


def workbench(session: Session) -> BuildTools:
    """What a run's builds work with: this machine's own compiler, or that of LLVM=."""
    settings = session.settings
    toolchain = find_toolchain(llvm=settings.llvm)
    return BuildTools(session.store, session.events, toolchain, settings.jobs)


def base_stage(session: Session) -> Base:
    """The stage tree."""
    settings, events = session.settings, session.events
    with stage(events, "tree") as outcome:
        base = obtain_base(settings, session.store, events)
        outcome.detail = f"{base.version} ({base.source})"
        outcome.cached = base.cached
        events.emit(ev.BaseKnown(base.version, settings.kernel, base.commit))
    return base


def check_parts(settings: Settings, total: int) -> None:
    """Refuses parts of a series of ``total`` patches that do not exist, or not together.

    Raises:
        InvocationError: VARIANT= or FIX= with PATCHES=; PATCH= that the series does not have.
    """
    on_top = [n for n, v in (("VARIANT", settings.variant), ("FIX", settings.fix)) if v]
    if on_top and settings.patches is not None:
        raise InvocationError(
            f"{on_top[0]}= goes on top of the whole series, and PATCHES= takes a part of it",
            next_step="leave one of them out",
        )
    if settings.patch is not None and settings.patch > total:
        raise InvocationError(
            f"PATCH={settings.patch}: the series has only {total} patches",
            next_step=f"PATCH= takes 1 to {total}; leave it out for all of them",
        )


def series_stage(session: Session, base: Base) -> tuple[Base, Applied]:
    """The stage series: the series, with VARIANT= on top of it, applied; and what it stands on.

    That is another base than the one given where SERIES= turns out to be of a series that
    stands on one more.

    Raises:
        SeriesError, InvocationError: see ``load_series``, ``with_variant``, ``apply_series``.
    """
    settings, events = session.settings, session.events
    with stage(events, "series") as outcome:
        series = load_series(settings, base)
        for remark in series.remarks:
            events.note(remark)
        taken = take(settings, series)
        session.known.data = taken.data
        if settings.series:
            events.note(f"taken for {taken.why}")
            before, base = base, stand_on(settings, taken.data, base, session.store, events)
            if base.commit != before.commit:
                events.emit(ev.BaseKnown(base.version, settings.kernel, base.commit))
        check_parts(settings, len(series.patches))
        if settings.variant:
            series = with_variant(series, settings.variant, settings.project, base.line)
        if settings.fix:
            series = with_answer(series, settings, base)
            events.note(f"FIX={settings.fix}: {series.patches[-1].subject}")
        session.known.series = series
        applied = apply_series(base, series, settings.patches, session.store, events)
        session.known.applied = applied
        outcome.cached = applied.cached
        outcome.detail = f"{len(applied.patches)} of {applied.total} patches from {series.source}"
        events.emit(ev.SeriesKnown(series.source, applied.patches, applied.total))
    return base, applied


def prepare(
    session: Session, on_headers: Callable[[Path, Base], None] = lambda *_: None
) -> Prepared:
    """Runs the stages tree, series, config and build.

    The configuration decides which machine can boot the kernel, and so which image is built.

    Args:
        on_headers: hears of the installed uapi headers before the kernel is built.
    """
    events, log = session.events, session.out / "build.log"
    base, applied = series_stage(session, base_stage(session))
    with stage(events, "config") as outcome:
        tree = TreeUnderTest(workbench(session), base, applied, log)
        flavour = load_flavour(session.settings.config)
        change, on = _change(session, base, applied), session.settings.autoconfig
        made = configure_for(tree, change, flavour, partial(installing, tree), switch_on=on)
        config = made.config
        for remark in remarks(flavour, base, config):
            events.note(remark)
        # In the store by now, unless the configuration was and they were not.
        headers = install_headers(tree)
        outcome.cached = config.cached
        outcome.detail = f"{config.name}: {config.sha256[:12]}"
        if made.symbols:
            symbols = " ".join(f"CONFIG_{name}=y" for name in made.symbols)
            outcome.detail += f", with {symbols} for the change (AUTOCONFIG=0: without)"
        events.emit(ev.ConfigKnown(config.name, config.sha256))
    machine, why = choose_machine(session.settings.machine, config.text)
    if why != machine:
        events.note(why)
    on_headers(headers, base)
    with stage(events, STAGE) as outcome:
        bzimage = machine_table()["machines"][machine]["kernel"] == "bzimage"
        kernel = build(tree, config, bzimage=bzimage, warnings=session.settings.warnings)
        outcome.cached = kernel.cached
        outcome.detail = f"{kernel.release}, {len(kernel.compiled)} objects"
    if kernel.warned is not None:
        events.emit(ev.Note(kernel.warned, "warning"))
    shutil.copyfile(kernel.config.path, session.out / "kernel.config")
    if kernel.cached:
        shutil.copyfile(kernel.log, log)
    return Prepared(tree, kernel, headers, machine, made.missing)


def _change(session: Session, base: Base, applied: Applied) -> WholeChange:
    """The whole series, where PATCHES= takes a part; that part, where the whole does not apply."""
    series = session.known.series
    kunit = KUNIT in kinds_of(session.settings, session.data)
    whole = applied
    if session.settings.patches is not None and series is not None:
        with contextlib.suppress(SeriesError):
            whole = apply_series(base, series, None, session.store, session.events)
    return WholeChange(base, whole, kunit)


def change_stage(session: Session, prepared: Prepared) -> None:
    """The stage change: what has become of each file that the series touches in this kernel.

    Raises:
        SeriesError, MachineError: as for any build.
    """
    if not prepared.applied.patches:
        return
    with stage(session.events, objects.STAGE) as outcome:
        files, kernel = touched_files(prepared.applied), prepared.kernel
        used = objects.made_from(prepared.tree, kernel, without_object(files, kernel.compiled))
        arch = prepared.tree.tools.toolchain.arch
        known = tuple(fates(files, kernel.compiled, used, prepared.missing, arch))
        code = [file.compiled for file in known if file.compiled is not None]
        outcome.detail = f"{sum(code)} of {len(code)} files with code are in this kernel"
        if rest := len(known) - len(code):
            outcome.detail += f", {rest} others"
        session.events.emit(ev.ChangeKnown(known))
