# SPDX-License-Identifier: GPL-2.0-only
"""All mutants of our own series, on 6.1 or on the kernel that HARNESS_TEST_MUTANTS names.

The kernel is built where the user's store has none: minutes for the first time, and
`make test-kernel` finds it there.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from harness.build.flavours import load_flavour
from harness.build.kconfig import configure
from harness.build.kernel import build
from harness.build.toolchain import BuildTools, find_toolchain
from harness.build.tree import TreeUnderTest
from harness.core.events import Events
from harness.core.settings import from_environment
from harness.core.store import Store
from harness.coverage.changed_lines import changed_files
from harness.mutants.find import find_mutants
from harness.mutants.operators import operator_table
from harness.mutants.switched_tree import switched_tree
from harness.series.apply import apply_series
from harness.series.on_top import obtain_base
from harness.series.patches import load_series

KERNEL = os.environ.get("HARNESS_TEST_MUTANTS", "6.1")


@pytest.mark.slow
def test_one_kernel_has_every_mutant_of_our_series_behind_a_switch(tmp_path: Path) -> None:
    """It compiles, links, and has no warning that the bare base does not have."""
    settings = from_environment({**os.environ, "KERNEL": KERNEL})
    store, events = Store(settings.cache, settings.cache_limit), Events()
    bench = BuildTools(store, events, find_toolchain(), settings.jobs)
    base = obtain_base(settings, store, events)
    applied = apply_series(base, load_series(settings, base), None, store, events)
    under_test = TreeUnderTest(bench, base, applied, tmp_path / "build.log")
    config = configure(under_test, load_flavour("default"))
    sound = build(under_test, config)
    tree = applied
    unread: list[str] = []
    mutants = find_mutants(tree, changed_files(tree), sound.compiled, unread.append)
    assert not unread
    assert len(mutants) > 500
    planted = {mutant.operator for mutant in mutants}
    assert set(operator_table().operators) - planted <= {
        "barrier-dropped", "reference-dropped", "gfp-changed", "loop-once-less",
    }  # fmt: skip
    made = switched_tree(base, applied, mutants, store)
    switched = build(replace(under_test, applied=made), config)
    assert set(sound.compiled) <= set(switched.compiled)
    assert " harness_mutant_reached\n" in switched.system_map.read_text()
