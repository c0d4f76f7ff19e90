# SPDX-License-Identifier: GPL-2.0-only
"""Folders that are deeper than Python calls itself, or a path can say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.core.folders import files_below, remove_folder
from harness.core.store import Store


def deepen(folder: Path, name: str, times: int) -> None:
    """A folder in a folder, that many times, with a file in each."""
    place = os.open(folder, os.O_DIRECTORY)
    for _ in range(times):
        os.mkdir(name, dir_fd=place)
        below = os.open(name, os.O_DIRECTORY, dir_fd=place)
        os.close(os.open("file", os.O_CREAT, dir_fd=below))
        os.close(place)
        place = below
    os.close(place)


@pytest.mark.parametrize(("name", "times"), [("d", 1500), ("d" * 200, 30), ("d" * 100, 2000)])
def test_a_folder_is_removed_however_deep(tmp_path: Path, name: str, times: int) -> None:
    deepen(tmp_path, name, times)
    assert 0 < sum(1 for _ in files_below(tmp_path)) <= times
    remove_folder(tmp_path / name)
    assert not list(tmp_path.iterdir())
    remove_folder(tmp_path / name)


def test_what_a_link_leads_to_stays(tmp_path: Path) -> None:
    for name in ("kept", "gone"):
        (tmp_path / name).mkdir()
    (tmp_path / "kept" / "file").touch()
    (tmp_path / "gone" / "link").symlink_to(tmp_path / "kept")
    assert [entry.name for entry in files_below(tmp_path / "gone")] == ["link"]
    remove_folder(tmp_path / "gone")
    assert (tmp_path / "kept" / "file").exists()


def test_what_cannot_be_removed_is_told(tmp_path: Path) -> None:
    stuck = Path("/proc/self/fdinfo")
    with pytest.raises(PermissionError, match="fdinfo"):
        remove_folder(stuck)
    remove_folder(stuck, quietly=True)


def test_a_store_with_a_deep_folder_is_measured_and_cleaned(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", 1)
    store.entry("kind", "key", lambda draft: deepen(draft, "d", 1500))
    store.evict()
    store.release()
    Store(tmp_path / "store", 1).clean()
    assert not (tmp_path / "store").exists()
