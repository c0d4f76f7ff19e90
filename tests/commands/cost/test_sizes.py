# SPDX-License-Identifier: GPL-2.0-only
"""Sizes are read from what a compiler has made."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.commands.cost.sizes import image_sizes, sizes_in

SOURCE = """
struct page { long a, b; };
struct only_declared;
struct holes { char c; long d; };
struct page a_page;
struct holes some[4] = { { 1, 2 } };
struct only_declared *nobody;
int used(int n) { return n + 1; }
"""


@pytest.fixture
def compiled(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)  # it is read in the sandbox, by another user
    (tmp_path / "a.c").write_text(SOURCE)
    command = ["gcc", "-gdwarf-4", "-c", "a.c", "-o", "a.o"]
    subprocess.run(command, cwd=tmp_path, check=True)
    return tmp_path / "a.o"


def test_structs_have_the_sizes_that_the_compiler_gave_them(compiled: Path) -> None:
    assert sizes_in(compiled, ["page", "holes", "only_declared", "none"]) == {
        "page": 16,
        "holes": 16,
    }


def test_an_image_is_code_contents_and_zeros(compiled: Path) -> None:
    size = image_sizes(compiled)
    assert size["text"] > 0
    assert size["data"] >= 64  # some[], and what unwinders read
    assert size["bss"] == 24  # a_page, nobody
