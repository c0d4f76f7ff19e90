# SPDX-License-Identifier: GPL-2.0-only
"""What a guest counted becomes rows, and these the page and the plot of the example."""

from __future__ import annotations

import itertools
import re
from typing import Any
from xml.etree import ElementTree

import jinja2
import pytest

from harness.commands.example.command import EXAMPLE
from harness.commands.example.page import Page, render, rows
from harness.core.errors import InternalError

# Of a run on 6.1.192.
SAID = (
    "stderr: nothing that counts",
    '@row {"program": "c", "way": "volatile", "swap": false, "shows": 320, "again": 272, '
    '"hits": 193, "peeks": 80, "peeked": 35, "first_byte_hit_ns": 15450, '
    '"first_byte_miss_ns": 4121700, "first_byte_mean_ns": 1658655, "whole_mean_ns": 1987141, '
    '"hide_mean_ns": 10560, "load_ns": 53851464, "kills": 4, "peak_pages": 4096, '
    '"swapped_peak_bytes": null, "zram_peak_bytes": 0, "faults": 20150, "major_faults": 1153, '
    '"purged_pages": 0}',
)
WAYS = ("volatile", "madv-free", "droppable", "unmap", "keep")


def many(**of_unmap: Any) -> tuple[dict[str, Any], ...]:
    """A row for each program, way and setting of swap; ``of_unmap``: what differs for unmap."""
    (row,) = rows([SAID])
    made = []
    for swap, program, way in itertools.product((False, True), ("c", "python"), WAYS):
        differs = of_unmap if way == "unmap" else {}
        made.append({**row, "program": program, "way": way, "swap": swap, **differs})
    return tuple(made)


def page(**of_unmap: Any) -> Page:
    return Page("7.3.0", "volatile-swapless", 2, many(**of_unmap))


def test_rows_are_found_among_what_cases_say() -> None:
    (row,) = rows([("nothing",), SAID, ()])
    assert row["hits"] == 193 and row["swap"] is False and row["swapped_peak_bytes"] is None


@pytest.mark.parametrize("line", ['@row {"hits": 1', "@row [1]", "@row "])
def test_a_row_that_is_none_is_a_defect(line: str) -> None:
    with pytest.raises(InternalError, match="printed no JSON"):
        rows([(line,)])


def table(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_tables_have_each_way_once_for_each_program_and_swap() -> None:
    shown = table(render(EXAMPLE / "example-cache.md.j2", page(hits=0, kills=0)))
    assert {len(cells) for cells in shown} == {3, 12}  # the recipe; all others, or none is shown
    assert [cells[0] for cells in shown if cells[0] in WAYS] == [*WAYS] * 4
    volatile = next(cells for cells in shown if cells[0] == "volatile")
    assert (
        volatile[1] == "193 of 272"
        and "1,659 k" in volatile
        and "16.0 MiB" in volatile
        and "11 k" in volatile
    )
    dropped = next(cells for cells in shown if cells[0] == "unmap")
    assert dropped[1] == "0 of 272"


def test_the_page_says_who_is_better_than_volatile_ranges() -> None:
    template = EXAMPLE / "example-cache.md.j2"
    better = re.compile(r"unmap \(100 %\)")
    assert len(better.findall(render(template, page(hits=272, kills=0)))) == 2  # with, without swap
    assert not better.search(render(template, page(hits=272, kills=5)))  # killed more often
    sooner = render(template, page(hits=0, first_byte_mean_ns=1000))
    assert sooner.count("unmap (1 k)") == 2
    assert "unmap (" not in render(template, page())


@pytest.mark.parametrize(
    ("of_unmap", "answer"),
    [
        ({}, "yes"),
        ({"hits": 272, "kills": 0}, "it depends"),  # more images whole
        ({"load_ns": 10**7}, "it depends"),  # and the load five times as fast
        ({"hits": 272, "kills": 0, "load_ns": 10**7}, "no"),
    ],
)
def test_the_page_answers(of_unmap: dict[str, int], answer: str) -> None:
    text = render(EXAMPLE / "example-cache.md.j2", page(**of_unmap))
    assert f"**Without swap: {answer}.**" in text and f"**With swap: {answer}.**" in text


def test_the_plot_has_three_bars_for_each_way() -> None:
    root = ElementTree.fromstring(render(EXAMPLE / "example-cache.svg.j2", page(hits=272, kills=0)))
    svg = "{http://www.w3.org/2000/svg}"
    bars = root.findall(f"{svg}rect")[1:]  # behind the paper
    assert len(bars) == 2 * 3 * len(WAYS)
    assert max(float(bar.attrib["width"]) for bar in bars) == 200
    texts = ["".join(text.itertext()) for text in root.iter(f"{svg}text")]
    assert texts.count("71 %, killed 4 times") == 8 and texts.count("100 %") == 2


def test_a_row_without_what_the_page_shows_is_no_empty_cell() -> None:
    some = [{k: v for k, v in row.items() if k != "kills"} for row in many()]
    with pytest.raises(jinja2.UndefinedError):
        render(EXAMPLE / "example-cache.md.j2", Page("7.3", "x", 2, tuple(some)))
