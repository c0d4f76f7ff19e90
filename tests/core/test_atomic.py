# SPDX-License-Identifier: GPL-2.0-only
"""What is written appears whole, and leaves no draft behind, whatever happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.atomic import drafted_directory, drafted_file, write_atomically


def test_a_write_replaces_and_leaves_no_draft(tmp_path: Path) -> None:
    for text in ("one", b"two"):
        write_atomically(tmp_path / "f", text)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("f", "two")]


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    write_atomically(tmp_path / "f", "one")
    with pytest.raises(KeyboardInterrupt), drafted_file(tmp_path / "f") as draft:
        draft.write_text("half")
        raise KeyboardInterrupt
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("f", "one")]


def test_a_directory_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    left = tmp_path / ".draft-d"
    left.mkdir()
    (left / "of a killed run").touch()
    with pytest.raises(KeyboardInterrupt), drafted_directory(tmp_path / "d") as draft:
        (draft / "half").touch()
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())
    with drafted_directory(tmp_path / "d") as draft:
        (draft / "whole").touch()
        assert not (tmp_path / "d").exists()
    assert [p.name for p in tmp_path.rglob("*")] == ["d", "whole"]
