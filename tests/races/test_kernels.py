# SPDX-License-Identifier: GPL-2.0-only
"""Where the patch of a scenario's variant is looked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.core.settings import PROJECT
from harness.races.kernels import variant_patch
from harness.races.scenario import RACES, choose

(SHIPPED,) = choose("sigbus-fault", "6.1", "volatile")
FOLDERS = (PROJECT / "patches" / "volatile", PROJECT / "patches")


def test_a_shipped_variant_is_in_the_projects_folder() -> None:
    found = variant_patch(SHIPPED, FOLDERS, "6.1")
    assert found == FOLDERS[0] / "variants" / "6.1" / "fault-without-recheck.patch"
    (other,) = choose("readdir-shared-position", "6.1", "volatile")
    assert variant_patch(other, FOLDERS, "6.1") == (
        FOLDERS[1] / "variants" / "6.1" / "position-of-one-user-unlocked.patch"
    )
    assert variant_patch(replace(SHIPPED, variant="none"), FOLDERS, "6.1") is None


def test_what_a_search_has_found_has_its_patch_beside_it(tmp_path: Path) -> None:
    beside = tmp_path / "fault-without-recheck.patch"
    written = replace(SHIPPED, source=tmp_path / "found.c")
    assert variant_patch(written, FOLDERS, "6.1") != beside
    beside.write_text("")
    assert variant_patch(written, FOLDERS, "6.1") == beside
    assert not list(RACES.glob("*.patch"))
