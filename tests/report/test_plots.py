# SPDX-License-Identifier: GPL-2.0-only
"""Samples of cases become pictures that lie within their axes."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import pytest

from harness.report.files import page_environment
from harness.report.plots import BARS_PERCENT, MAX_PLOTS, plots


def said(t: float, used: float, purged: int) -> str:
    return f"@sample t={t} line:MiB used={used} line:MiB memory.max=4.5 bar:purged={purged}"


def case(name: str, *diagnostics: str) -> Any:
    return {"id": name, "about": "It grows <fast>.", "diagnostics": list(diagnostics)}


GROWS = case("a.py::grows", "x", said(10.0, 1.0, 0), said(10.1, 4.4, 16), said(10.4, 4.5, 32))


@pytest.mark.parametrize(
    "line", ["", "@count purged 3", "@sample", "@sample t=x line:a=1", "sample t=1 "]
)
def test_what_is_no_sample_is_passed_over(line: str) -> None:
    assert plots([case("a", said(1, 1, 1), said(2, 1, 1), line)]) == []
    (plot,) = plots([case("a", said(1, 1, 1), line, said(2, 1, 1), said(3, 1, 1))])
    assert len(plot.bars) == 3 and plot.ms == 2000


def test_a_case_without_samples_is_no_picture() -> None:
    assert plots([case("a"), case("b", said(1, 1, 1), said(2, 1, 1))]) == []


def test_all_is_within_the_picture_and_in_order() -> None:
    (plot,) = plots([GROWS])
    assert list(plot.lines) == ["MiB used", "MiB memory.max"]
    for line in plot.lines.values():
        points = [tuple(map(float, point.split(","))) for point in line.split()]
        assert [x for x, _ in points] == [0.0, 100.0, 400.0]
        assert all(0 <= y <= 100 for _, y in points)
    assert [(round(bar.x), bar.count) for bar in plot.bars] == [(100, 16), (400, 32)]
    assert [100 - bar.y for bar in plot.bars] == [BARS_PERCENT / 2, BARS_PERCENT]
    assert plot.ms == pytest.approx(400)


def test_samples_of_one_moment_do_no_harm() -> None:
    (plot,) = plots([case("a", *[said(3.0, 0, 0)] * 3)])
    assert plot.bars == ()


def test_a_page_has_few() -> None:
    assert len(plots([GROWS] * (MAX_PLOTS + 3))) == MAX_PLOTS


def test_the_picture_is_well_formed_and_escaped() -> None:
    page = page_environment().get_template("plots.html.j2").render(plots=plots([GROWS]))
    root = ET.fromstring("<div>" + page.replace("<br>", "") + "</div>")
    assert len(root.findall(".//polyline")) == 2
    assert "purged: 48 in all, at most 32" in "".join(root.itertext())
    assert [r.findtext("title") for r in root.iter("line")] == ["purged: 16", "purged: 32"]
    assert "It grows <fast>." in (root.findtext(".//figcaption") or "")
