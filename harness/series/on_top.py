# SPDX-License-Identifier: GPL-2.0-only
"""A base that is a kernel, or a kernel with the series that another one stands on.

``on_top_of`` of a ``series.yaml`` names that series. Applied, it is the base that everything
else sees: patches are counted from 1 above it, blamed and measured against it, and none of
them (``PATCHES=0``) leaves it. The source tree and the build folders are the kernel's, as for
any series on it.
"""

from __future__ import annotations

from dataclasses import replace

from harness.core import git
from harness.core.errors import InvocationError
from harness.core.events import Events
from harness.core.settings import Settings
from harness.core.store import Store
from harness.series.apply import apply_series
from harness.series.base import Base, obtain_kernel
from harness.series.contract import SeriesData, load
from harness.series.patches import load_series

RECENT = 200  # commits of a tree, in which the series may be by its subjects


def obtain_base(settings: Settings, store: Store, events: Events) -> Base:
    """The base that ``settings`` names for PROJECT='s series, from the store or made now.

    Raises:
        InvocationError, MachineError, SeriesError: see ``obtain_kernel`` and ``stand_on``.
    """
    kernel = obtain_kernel(settings, store, events)
    return stand_on(settings, load(settings.project), kernel, store, events)


def stand_on(
    settings: Settings, data: SeriesData, base: Base, store: Store, events: Events
) -> Base:
    """The base of a series on the kernel of ``base``, whatever else is part of that.

    Raises:
        InvocationError: the series that it stands on is not there for this kernel line.
        SeriesError: that series does not apply.
    """
    if data.below is None:
        return base.chain[-1]
    under = stand_on(settings, data.below, base, store, events)
    recent = git.text(under.repo, "log", "--format=%s", f"-n{RECENT}", under.commit).splitlines()
    if set(data.below.subjects) <= set(recent):  # a git tree of the user's, from behind it on
        return under
    own = replace(
        settings, project=data.below.folder, claimed=True, series=None, patches=None, variant=None
    )
    try:
        below = load_series(own, under)
    except InvocationError as error:
        raise InvocationError(
            f"{data.name} stands on {data.below.name}: {error.what}",
            evidence=data.folder / "series.yaml",
            next_step=f"KERNEL= another line, or write {data.below.folder / under.line}/",
        ) from error
    applied = apply_series(under, below, None, store, events)
    return replace(
        under, repo=applied.repo, commit=applied.commit, tree=applied.tree,
        source=f"{under.source}, with {applied.total} patches of {data.below.name}",
        cached=under.cached and applied.cached, under=under,
    )  # fmt: skip
