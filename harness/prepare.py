# SPDX-License-Identifier: GPL-2.0-only
"""From a kernel and a series to a built kernel: the stages before any guest."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness import events as ev
from harness.apply import Applied, apply_series
from harness.base import Base, obtain_base
from harness.build import Kernel, build_kernel
from harness.errors import InvocationError
from harness.series import load_series
from harness.session import Session
from harness.stages import stage
from harness.variants import with_variant


@dataclass(frozen=True)
class Prepared:
    """A built kernel and where it came from; ``headers``: its installed uapi headers."""

    base: Base
    applied: Applied
    kernel: Kernel
    headers: Path


def prepare(
    session: Session,
    *,
    bzimage: bool = False,
    on_headers: Callable[[Path, Base], None] = lambda *_: None,
) -> Prepared:
    """Runs the stages tree, series, config and build.

    Args:
        on_headers: hears of the installed uapi headers before the kernel is built.

    Raises:
        SeriesError, InvocationError, MachineError: see each stage.
    """
    base, applied = apply_asked(session)
    kernel, headers = build_kernel(
        session, base, applied, bzimage=bzimage, on_headers=lambda path: on_headers(path, base)
    )
    shutil.copyfile(kernel.config, session.out / "kernel.config")
    if kernel.cached:
        shutil.copyfile(kernel.log, session.out / "build.log")
    return Prepared(base, applied, kernel, headers)


def obtain_asked(session: Session) -> Base:
    """The stage tree: the base that KERNEL= and REF= name.

    Raises:
        InvocationError, MachineError: see :func:`harness.base.obtain_base`.
    """
    settings, events = session.settings, session.events
    with stage(events, "tree") as outcome:
        base = obtain_base(settings, session.store, events)
        outcome.detail, outcome.cached = f"{base.version} ({base.name})", base.cached
        events.emit(ev.BaseKnown(base.version, settings.kernel, base.commit))
    return base


def apply_asked(session: Session) -> tuple[Base, Applied]:
    """The stages tree and series: SERIES=, PATCHES= and VARIANT= on their base.

    Raises:
        SeriesError, InvocationError, MachineError: see each stage.
    """
    settings, events = session.settings, session.events
    base = obtain_asked(session)
    with stage(events, "series") as outcome:
        series = load_series(settings, base)
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
    return base, applied
