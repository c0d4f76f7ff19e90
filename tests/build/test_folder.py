# SPDX-License-Identifier: GPL-2.0-only
"""A build folder after a kill, and after its worktree was made anew."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from harness.build.folder import MARKER, SOURCE_ID, adopt, marked, recover


def names(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir()}


def put(path: Path, age: float = 0.0) -> None:
    """A file written ``age`` seconds ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    when = time.time() - age
    os.utime(path, (when, when))


def test_an_orderly_end_leaves_no_marker(tmp_path: Path) -> None:
    with marked(tmp_path):
        assert (tmp_path / MARKER).exists()
    assert not (tmp_path / MARKER).exists()
    put(tmp_path / "a.o")
    recover(tmp_path)
    assert names(tmp_path) == {"a.o"}


def test_after_a_kill_everything_since_the_marker_is_removed(tmp_path: Path) -> None:
    put(tmp_path / "old.o", 60)
    put(tmp_path / SOURCE_ID, 60)
    put(tmp_path / "mm/older.o", 600)
    with pytest.raises(KeyboardInterrupt), marked(tmp_path):
        put(tmp_path / "mm/half.o")
        put(tmp_path / "mm/.half.o.cmd")
        put(tmp_path / ".config")
        (tmp_path / "link").symlink_to("old.o")
        raise KeyboardInterrupt
    assert (tmp_path / MARKER).exists()
    recover(tmp_path)
    assert names(tmp_path) == {"old.o", "mm/older.o", "link", SOURCE_ID}


def test_another_worktree_empties_the_folder(tmp_path: Path) -> None:
    adopt(tmp_path, "one")
    put(tmp_path / "mm/a.o")
    (tmp_path / "source").symlink_to("/nonexistent")
    adopt(tmp_path, "one")
    assert "mm/a.o" in names(tmp_path)
    adopt(tmp_path, "two")
    assert names(tmp_path) == {SOURCE_ID}
