# SPDX-License-Identifier: GPL-2.0-only
"""What a reader of ``examples/`` tries first: it compiles without a warning, and runs."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.core.settings import PROJECT
from harness.image.programs import CFLAGS

CACHE = PROJECT / "examples" / "cache"
MAX_LINES = 300  # of an example: it is to be read
DAY = "show 1\nhide 1\npeek 1\nshow 1\nshow 2\npeek 2\n"
KEPT = ["miss", "hidden", "there", "hit", "miss", "there"]
DROPPED = ["miss", "hidden", "gone", "miss", "miss", "there"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C program, compiled as in a guest, and with what the compiler finds when it optimizes."""
    program = tmp_path_factory.mktemp("cache") / "cache"
    for optimized in ("-O2", "-Og"):
        flags = [*CFLAGS, optimized, str(CACHE / "cache.c"), "-o", str(program)]
        done = subprocess.run(["gcc", *flags], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return program


@pytest.fixture(params=["C", "Python"])
def argv(request: pytest.FixtureRequest, built: Path) -> Sequence[str]:
    return [str(built)] if request.param == "C" else [sys.executable, str(CACHE / "cache.py")]


def spent(argv: Sequence[str], way: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*argv, way], input=DAY, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("way", "wanted"), [("keep", KEPT), ("unmap", DROPPED)])
def test_a_cache_says_what_it_has(argv: Sequence[str], way: str, wanted: list[str]) -> None:
    done = spent(argv, way)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [words[0] for words in lines] == wanted
    for first, whole in [map(int, words[1:]) for words in lines if len(words) == 3]:
        assert 0 < first < whole


def test_a_kernel_without_the_series_is_told(argv: Sequence[str]) -> None:
    done = spent(argv, "volatile")
    if done.returncode:
        assert "this kernel has no volatile ranges" in done.stderr
        assert done.stdout == ""
    else:  # the tests run on a kernel of ours
        assert [line.split()[0] for line in done.stdout.splitlines()] == KEPT


def test_a_way_that_there_is_not_is_told(argv: Sequence[str]) -> None:
    done = spent(argv, "magic")
    assert done.returncode and "usage: cache" in done.stderr


def test_the_numbers_are_those_of_the_series() -> None:
    (patch,) = (PROJECT / "patches" / "volatile" / "7.3").glob("*-MADV_VOLATILE-Add-MADV_VOLATILE*")
    added = dict(re.findall(r"^\+#define (MADV_\w*VOLATILE)\s+(\d+)", patch.read_text(), re.M))
    assert len(added) == 2
    for path, sign in (("cache.c", r"\s+"), ("cache.py", " = ")):
        text = (CACHE / path).read_text()
        for name, number in added.items():
            assert re.search(rf"\b{name}{sign}{number}\b", text), (path, name)


def test_an_example_is_short() -> None:
    for path in (CACHE / "cache.c", CACHE / "cache.py"):
        assert len(path.read_text().splitlines()) <= MAX_LINES
