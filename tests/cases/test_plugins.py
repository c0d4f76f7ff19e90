# SPDX-License-Identifier: GPL-2.0-only
"""The Python files of a series are loaded once, and what is wrong with one is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cases.host_checks import load_checks
from harness.cases.plugins import load_plugin
from harness.core.errors import InternalError


def test_a_module_is_executed_once_and_none_is_none(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("made = []\n")
    first = load_plugin(tmp_path, "one")
    assert first is not None and load_plugin(tmp_path, "one") is first
    assert load_plugin(tmp_path, "two") is None


def test_folders_of_one_name_have_modules_of_their_own(tmp_path: Path) -> None:
    for place in ("a", "b"):
        folder = tmp_path / place / "series"
        folder.mkdir(parents=True)
        (folder / "one.py").write_text(f"where = {place!r}\n")
        module = load_plugin(folder, "one")
        assert module is not None and module.where == place


@pytest.mark.parametrize("text", ["def broken(:\n", "import nothing_of_that_name\n", "1 / 0\n"])
def test_one_that_cannot_be_loaded_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "host_checks.py").write_text(text)
    for _ in range(2):
        with pytest.raises(InternalError, match=r"host_checks\.py cannot be loaded") as caught:
            load_checks(tmp_path)
        assert caught.value.evidence == tmp_path / "host_checks.py"


def test_checks_are_found_again_when_they_are_loaded_twice(tmp_path: Path) -> None:
    (tmp_path / "host_checks.py").write_text(
        "from harness.cases.host_checks import check\n\n\n"
        "@check('A-1')\ndef holds(tree):\n    '''It holds.'''\n    return []\n"
    )
    assert [c.id.name for c in load_checks(tmp_path)] == ["holds"]
    assert load_checks(tmp_path) == load_checks(tmp_path)
