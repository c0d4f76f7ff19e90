# SPDX-License-Identifier: GPL-2.0-only
"""What a revision is before anything runs: its base and why that, its patches, what changed."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace

from harness.change.whose_series import take
from harness.core import git
from harness.core.errors import InvocationError, SeriesError
from harness.core.events import Events
from harness.core.settings import Settings
from harness.core.store import Store
from harness.run.states import BASE, refuse_patches
from harness.series.apply import Applied, apply_series
from harness.series.base import Base
from harness.series.on_top import obtain_base, stand_on
from harness.series.patches import Patch, Series, load_series

_BASE_COMMIT = re.compile(rb"(?m)^base-commit: ([0-9a-f]{12,64})\s*$")


@dataclass(frozen=True)
class Inputs:
    """``base``: which kernel, ``why``: what chose it; ``ref``: what REF= must be for it.

    ``cover`` is the message-id of the cover letter. ``range_diff`` is empty without a
    previous revision, and a sentence where this one does not apply.
    """

    base: str
    why: str
    ref: str
    source: str
    previous_source: str
    patches: tuple[Patch, ...]
    range_diff: str
    cover: str = ""

    @property
    def subjects(self) -> tuple[str, ...]:
        """The subjects of the patches, in order."""
        return tuple(patch.subject for patch in self.patches)

    def name_of(self, count: int) -> str:
        """The state after ``count`` patches: the subject of the last one."""
        return self.patches[count - 1].subject if count else BASE


def read_inputs(settings: Settings) -> Inputs:
    """Reads base and series, and compares the code of both revisions where there are two.

    Raises:
        InvocationError: SERIES=, PREVIOUS= or KERNEL= names none, or PATCHES= is given.
        SeriesError: the previous revision does not apply to this base.
        MachineError: a series by message-id cannot be fetched.
    """
    refuse_patches(settings, "revision")
    store, events = Store(settings.cache, settings.cache_limit), Events()
    base, series, why = choose_base(settings, store, events)
    if settings.notes and not all(patch.commit for patch in series.patches):
        raise InvocationError(
            f"NOTES=1 adds notes to commits, and SERIES={settings.series} has none",
            next_step="SERIES= must be a branch or a range a..b of KERNEL=/a/git/tree",
        )
    shown = ""
    if settings.previous:
        before = load_series(replace(settings, series=settings.previous), base)
        old = apply_series(base, before, None, store, events)
        try:
            shown = range_diff(base, old, apply_series(base, series, None, store, events))
        except SeriesError:  # its run will explain why
            shown = "this revision does not apply"
    kernel = base.chain[-1]
    return Inputs(
        base=f"Linux {base.version}, {kernel.commit[:12]} (KERNEL={settings.kernel})",
        why=why,
        ref=kernel.commit if base.origin else "",
        source=settings.series or "the project's own series",
        previous_source=settings.previous or "",
        patches=series.patches,
        range_diff=shown,
        cover=(series.letter and series.letter.message_id) or "",
    )


def choose_base(settings: Settings, store: Store, events: Events) -> tuple[Base, Series, str]:
    """The base of a revision, the series on it, and why this base.

    REF= is the user's own word and comes first. Then the trailer ``base-commit:`` that
    git format-patch --base writes, where KERNEL= is a git tree that has that commit.
    """
    base = obtain_base(settings, store, events)
    series = load_series(settings, base)
    named = base_commit(series)
    here = f"KERNEL={settings.kernel}"
    looked_up = "rev-parse", "--verify", "--quiet", f"{named}^{{commit}}"
    if settings.ref:
        why = f"REF={settings.ref} says so"
        if named:
            why += f", whatever the series' base-commit: {named[:12]}"
    elif not named:
        why = f"{here}: the series names no base-commit"
    elif base.origin is None:
        why = f"{here}: it is no git tree to look up base-commit: {named[:12]} in"
    elif not git.text(base.origin, *looked_up, expect=(0, 1)):
        why = f"{here}, its HEAD: it does not have base-commit: {named[:12]}"
    else:
        why = f"base-commit: {named[:12]} of the series"
        settings = replace(settings, ref=named)
        base = obtain_base(settings, store, events)
        series = load_series(settings, base)
    base = stand_on(settings, take(settings, series).data, base, store, events)
    return base, series, why


def base_commit(series: Series) -> str:
    """The commit that the series says it is made for; '' where it says none."""
    for mail in (series.letter, *series.patches):
        if mail and (found := _BASE_COMMIT.search(mail.text)):
            return found[1].decode()
    return ""


def range_diff(base: Base, old: Applied, new: Applied) -> str:
    """``git range-diff`` of two series on one base, without colours."""
    both = (f"{base.commit}..{applied.commit}" for applied in (old, new))
    # In quotes a path may hold the colon that divides two.
    env = {"GIT_ALTERNATE_OBJECT_DIRECTORIES": json.dumps(str(old.repo / "objects"))}
    return git.text(new.repo, "range-diff", "--no-color", *both, env=env)
