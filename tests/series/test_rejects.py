# SPDX-License-Identifier: GPL-2.0-only
"""The best place for a hunk that fits nowhere."""

from __future__ import annotations

from harness.series.apply import find

FILE = [f"line {n}" for n in range(100)]


def test_an_exact_match_anywhere() -> None:
    assert find(FILE[40:45], FILE, 0) == (40, 5)


def test_the_nearest_of_equal_places() -> None:
    have = ["a", "b", "c", "x", "y", "z", "a", "b", "c", "x"]
    assert find(["a", "b", "c"], have, 7) == (6, 3)
    assert find(["a", "b", "c"], have, 1) == (0, 3)


def test_one_line_changed() -> None:
    wanted = [*FILE[40:42], "changed", *FILE[43:46]]
    assert find(wanted, FILE, 0) == (40, 5)


def test_one_line_missing_in_the_tree() -> None:
    have = FILE[:50] + FILE[51:]
    at, same = find(FILE[48:53], have, 48)
    assert at in (47, 48)
    assert same >= 4


def test_nothing_alike() -> None:
    assert find(["p", "q"], FILE, 3)[1] == 0


def test_an_empty_file() -> None:
    assert find(["p"], [], 0) == (0, 0)
