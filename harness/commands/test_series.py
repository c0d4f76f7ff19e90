# SPDX-License-Identifier: GPL-2.0-only
"""``make test-series``: the tree after each patch, from none to all, one table.

A series that only works as a whole cannot be bisected. Each state is a run of its
own, with its own directory of results; builds are incremental.
"""

from __future__ import annotations

from rich.console import Console

from harness.core.events import Events
from harness.core.settings import Settings
from harness.core.store import Store
from harness.run.session import RunKernel
from harness.run.states import every_state, refuse_patches, table
from harness.run.verdict import worst_of_states
from harness.series.on_top import obtain_base
from harness.series.patches import load_series


def test_series(settings: Settings, run: RunKernel, console: Console) -> int:
    """A revision's states without blame; the worst exit status. InvocationError for PATCHES=."""
    refuse_patches(settings, "test-series")
    base = obtain_base(settings, Store(settings.cache, settings.cache_limit), Events())
    subjects = [patch.subject for patch in load_series(settings, base).patches]
    states = list(every_state(settings, run, subjects, console))
    console.print()
    console.print(table(states))
    return worst_of_states([state.document["exit_code"] for state in states])
