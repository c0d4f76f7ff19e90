# SPDX-License-Identifier: GPL-2.0-only
"""What is read from JSON has its type, or is refused with the place that differs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

import pytest

from harness.core.errors import InvocationError
from harness.core.jsondata import from_json, read_json, read_kept, write_json


class Row(TypedDict):
    """A typed dictionary."""

    id: str
    status: Literal["pass", "fail"]
    more: NotRequired[list[int]]


@dataclass(frozen=True)
class Whole:
    """A dataclass with all kinds of fields."""

    rows: tuple[Row, ...]
    rates: dict[str, float]
    name: str | None = None
    places: tuple[tuple[re.Pattern[str], int], ...] = ()


GOOD: dict[str, Any] = {"rows": [{"id": "a", "status": "pass"}], "rates": {"x": 1}, "name": None}


def test_what_fits_is_read() -> None:
    whole = from_json(Whole, GOOD)
    assert whole == Whole(({"id": "a", "status": "pass"},), {"x": 1}, None)


def test_a_list_of_patterns_is_one_pattern_of_which_one_must_match() -> None:
    whole = from_json(Whole, GOOD | {"places": [["a|b", 1], [["c", "^d"], 2]]})
    (first, one), (second, two) = whole.places
    assert (one, two) == (1, 2) and first.fullmatch("b")
    assert second.search("xc") and second.search("d") and not second.search("xd")


def test_numbers_that_are_keys_come_back_as_numbers(tmp_path: Path) -> None:
    lines = {7: [1, 2], 120: []}
    write_json(tmp_path / "lines.json", lines)
    assert read_json(dict[int, list[int]], tmp_path / "lines.json") == lines
    with pytest.raises(TypeError, match="int expected, not 'seven'"):
        from_json(dict[int, str], {"seven": "x"})


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"rows": [{"id": "a"}]}, r"rows\[0\]: status is missing"),
        ({"rows": [{"id": 1, "status": "pass"}]}, r"rows\[0\]\.id: str expected, not 1"),
        ({"rows": [{"id": "a", "status": "maybe"}]}, r"rows\[0\]\.status"),
        ({"rows": None}, "rows"),
        ({"rates": {"x": "fast"}}, r"rates\.x: float expected"),
        ({"name": 5}, "name: str or NoneType expected, not 5"),
        ({"unknown": 1}, "the whole: unknown is none of rows, rates, name"),
        ({"places": [["(", 1]]}, r"places\[0\]\[0\]: missing \)"),
        ({"places": [[5, 1]]}, r"places\[0\]\[0\]: 'int' object is not iterable"),
        ({"places": [["a", "b"]]}, r"places\[0\]\[1\]: int expected, not 'b'"),
        ({"places": [["a"]]}, r"places\[0\]: 2 values expected, not \['a'\]"),
    ],
)
def test_what_differs_is_named(change: dict[str, Any], where: str) -> None:
    with pytest.raises(TypeError, match=where):
        from_json(Whole, GOOD | change)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff", b'"text"', b"[" * 100_000])
def test_a_damaged_file_is_the_invocations_fault(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "a file.json"
    path.write_bytes(text)
    with pytest.raises(InvocationError, match=r"a file\.json is damaged") as caught:
        read_json(Whole, path)
    assert caught.value.next_step == f"rm '{path}'"


@pytest.mark.parametrize("text", [None, b"{", b"[]"])
def test_what_was_not_kept_or_by_another_version_is_found_anew(
    tmp_path: Path, text: bytes | None
) -> None:
    path = tmp_path / "kept.json"
    if text is not None:
        path.write_bytes(text)
    assert read_kept(Whole, path) is None


def test_what_is_no_file_is_the_invocations_fault(tmp_path: Path) -> None:
    with pytest.raises(InvocationError, match="cannot be read: Is a directory"):
        read_json(Whole, tmp_path)
