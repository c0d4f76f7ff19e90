# SPDX-License-Identifier: GPL-2.0-only
"""Whose a series is, and what a revision's patch numbers mean for the contract."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from harness.change.whose_series import is_foreign, match, recounted, take
from harness.core.settings import PROJECT, Settings, from_environment
from harness.series import contract
from harness.series.contract import SeriesData
from harness.series.patches import Patch, Series, parse_patch

OURS = PROJECT / "patches" / "volatile"
CLAUSES = {"V-IF-1": 2, "V-PG-2": 4, "V-KS-1": 1}  # with what they hold from


@pytest.fixture
def settings() -> Settings:
    return replace(from_environment({}), series="given")


@pytest.fixture
def data() -> SeriesData:
    return contract.load(OURS)


def shipped(line: str = "6.1") -> list[Patch]:
    paths = sorted((OURS / line).glob("000[1-9]-*.patch"))
    return [parse_patch(path.read_bytes(), path.name) for path in paths]


def strange(number: int) -> Patch:
    return Patch(f"drm/i915: Fix the watermark of pipe {number}", b"", f"id{number}", ("a.c",))


def test_ours_is_known_on_every_line(settings: Settings) -> None:
    for line in ("6.1", "6.12", "7.3"):
        taken = take(settings, Series("s", tuple(shipped(line))))
        assert taken.data.name == "volatile" and "4 of its 4" in taken.why
        assert {n: taken.data.clauses[n].holds_from for n in CLAUSES} == CLAUSES


def test_a_stranger_is_foreign_unless_it_is_claimed(settings: Settings) -> None:
    series = Series("s", (strange(1), strange(2)))
    taken = take(settings, series)
    assert is_foreign(taken.data) and not taken.data.clauses and "foreign" in taken.why
    claimed = take(from_environment({"PROJECT": "volatile", "SERIES": "given"}), series)
    assert claimed.data.name == "volatile" and claimed.data.clauses
    # Nothing was given: it is the project's own, whatever is in it.
    assert take(replace(settings, series=None), series).data.name == "volatile"


def test_one_patch_of_ours_among_many_strangers_makes_it_none_of_ours(settings: Settings) -> None:
    series = Series("s", (shipped()[0], *map(strange, range(6))))
    assert is_foreign(take(settings, series).data)


def test_a_revision_is_known_by_what_is_left_of_it(settings: Settings) -> None:
    one, two, three, four = shipped()
    # The code of each is another: only subjects are left, one of them reworded.
    changed = [replace(patch, patch_id="other") for patch in (one, two, four)]
    changed[0] = replace(changed[0], subject="swap: Clean up how special swap numbers are defined")
    taken = take(settings, Series("s", (strange(1), *changed, strange(2))))
    assert taken.data.name == "volatile" and "3 of its 4" in taken.why
    assert take(settings, Series("s", (three,))).data.name == "volatile"


@pytest.mark.parametrize(
    ("pairs", "total", "holds"),
    [
        ({1: 1, 2: 2, 3: 3, 4: 4}, 4, {1: 1, 2: 2, 4: 4}),
        ({1: 2, 2: 3, 3: 4, 4: 5}, 5, {1: 2, 2: 3, 4: 5}),  # one more in front
        ({1: 1, 2: 2, 3: 3}, 3, {1: 1, 2: 2, 4: 4}),  # the last is left out: never
        ({1: 1, 2: 2, 3: 3}, 4, {1: 1, 2: 2, 4: 4}),  # the last was changed beyond knowing
        ({1: 1, 2: 2}, 3, {1: 1, 2: 2, 4: 3}),  # the last two are one
        ({2: 1, 3: 2, 4: 3}, 3, {1: 1, 2: 1, 4: 3}),  # the first went into the second
        ({1: 1, 4: 4}, 4, {1: 1, 2: 3, 4: 4}),
    ],
)
def test_clauses_hold_from_where_their_patch_is(
    data: SeriesData, pairs: dict[int, int], total: int, holds: dict[int, int]
) -> None:
    found = recounted(data, pairs, total).clauses
    assert {CLAUSES[name]: found[name].holds_from for name in CLAUSES} == holds


def test_each_patch_is_matched_once() -> None:
    twice = Series("s", (Patch("mm: a", b"", "x", ()), Patch("mm: a", b"", "y", ())))
    assert match(twice, ["mm: a"], {"y": 1}) == {1: 2}
    assert match(twice, ["mm: a"], {}) == {1: 1}


def test_the_repeated_command_names_a_project_only_where_it_was_named(tmp_path: Path) -> None:
    plain, claimed = from_environment({}), from_environment({"PROJECT": "volatile"})
    assert "PROJECT" not in plain.command("test-kernel")
    assert re.search(r"\bPROJECT=volatile\b", claimed.command("test-kernel"))
