# SPDX-License-Identifier: GPL-2.0-only
"""Installed uapi headers, on the toy kernel."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.build.headers import install_headers, installing
from harness.core.errors import InvocationError, MachineError, SeriesError
from harness.series.worktree import source_tree
from tests.support.toy import Toy, grow

HEADER = "include/uapi/linux/mman.h"


def advice(text: str) -> str:
    return text + "#define MADV_VOLATILE 40\n"


def installed(toy: Toy, folder: Path | None) -> Path:
    base, applied = toy.apply(folder)
    return install_headers(toy.under_test(base, applied))


def test_what_the_series_adds_is_there(toy: Toy) -> None:
    headers = installed(toy, toy.series(("advice", {HEADER: advice})))
    assert "MADV_VOLATILE 40" in (headers / "linux/mman.h").read_text()
    assert sorted(path.name for path in headers.parent.iterdir()) == ["include"]
    bare = installed(toy, None)
    assert "MADV_VOLATILE" not in (bare / "linux/mman.h").read_text()


def test_made_again_only_where_a_file_changes_that_they_depend_on(toy: Toy) -> None:
    first = installed(toy, toy.series(("advice", {HEADER: advice})))
    body = installed(toy, toy.series(("advice", {HEADER: advice}), ("b", {"mm/swap.c": grow})))
    assert body == first
    other = installed(toy, toy.series(("other", {HEADER: lambda text: advice(advice(text))})))
    assert other != first


@pytest.mark.parametrize("patched", [True, False])
def test_who_is_at_fault_where_they_cannot_be_installed(toy: Toy, patched: bool) -> None:
    broken = {"Makefile": lambda text: text.replace("include/uapi/linux/*.h", "nowhere/*.h")}
    base, applied = toy.apply(toy.series(("broken", broken)))
    if not patched:
        applied = replace(applied, patches=(), total=0)
    with pytest.raises(SeriesError if patched else InvocationError) as caught:
        install_headers(toy.under_test(base, applied))
    assert "*** [Makefile" in caught.value.what
    assert caught.value.evidence == toy.log.with_name("headers.log")


def test_beside_something_that_holds_the_tree(toy: Toy) -> None:
    base, applied = toy.apply(toy.series(("advice", {HEADER: advice})))
    with (
        source_tree(toy.store, base, applied, toy.events) as source,
        installing(toy.under_test(base, applied), source),
    ):
        pass
    assert list(toy.store.root.glob("headers/*/include/linux/mman.h"))


def test_what_goes_wrong_beside_is_raised_at_the_end(toy: Toy) -> None:
    broken = {"Makefile": lambda text: text.replace("include/uapi/linux/*.h", "nowhere/*.h")}
    base, applied = toy.apply(toy.series(("broken", broken)))
    with (
        source_tree(toy.store, base, applied, toy.events) as source,
        pytest.raises(SeriesError),
        installing(toy.under_test(base, applied), source),
    ):
        pass


def test_a_full_disk_is_not_the_series_fault(toy: Toy) -> None:
    full = {"Makefile": lambda text: text.replace("\t@mkdir -p usr/include/linux\n",
            "\t@echo 'cp: error writing: No space left on device'; false\n")}  # fmt: skip
    base, applied = toy.apply(toy.series(("full", full)))
    with pytest.raises(MachineError):
        install_headers(toy.under_test(base, applied))
