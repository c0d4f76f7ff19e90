# SPDX-License-Identifier: GPL-2.0-only
"""What was measured is in cost.json, in the plot and on the screen."""

from __future__ import annotations

import io
import json
from pathlib import Path
from xml.etree import ElementTree

from rich.console import Console

from harness.commands.cost.judge import ALONE, differences, ratios
from harness.commands.cost.page import CostReport, plot, tables
from harness.commands.cost.sizes import PARTS, KernelSizes
from harness.core.jsondata import write_json
from tests.commands.cost.test_judge import SIX, TABLE, key, times

BASE = {key("fault_anon"): SIX, key("reclaim_a", "used"): SIX, key("move"): SIX}
SERIES = {
    key("fault_anon"): list(reversed(SIX)),
    key("reclaim_a", "used"): times(1.53),
    key("move"): times(0.5),
    key("walk", ALONE): [2e6] * 6,
    key("mark", ALONE): [1000.0] * 6,
}
REPORT = CostReport(
    6, differences(BASE, SERIES), SERIES, ratios(TABLE, SERIES),
    KernelSizes(dict(zip(PARTS, (100, 20, 3), strict=True)), {"page": 64}),
    KernelSizes(dict(zip(PARTS, (110, 20, 3), strict=True)), {"page": 64}),
)  # fmt: skip


def test_the_document_has_each_boot(tmp_path: Path) -> None:
    write_json(tmp_path / "cost.json", REPORT.document())
    told = json.loads((tmp_path / "cost.json").read_text())
    assert told["differences"][1]["base"] == SIX
    assert round(told["differences"][1]["percent"]["middle"], 2) == 53
    assert told["ratios"][0]["times"] == {"middle": 2000, "low": 2000, "high": 2000}
    assert told["series"]["mark"]["middle"] == 1000
    assert told["sizes"]["series"]["image"]["text"] == 110


def test_the_plot_shows_each_difference_within_its_ends() -> None:
    root = ElementTree.fromstring(plot(REPORT, TABLE))
    svg = "{http://www.w3.org/2000/svg}"
    dots = [float(dot.attrib["cx"]) for dot in root.iter(f"{svg}circle")]
    assert dots == [480.0, 740.0, 220.0]  # none, beyond +5 % and beyond -5 %
    bars = [line for line in root.iter(f"{svg}line") if line.attrib["stroke"] == "#c00"]
    assert len(bars) == 2  # the figure without a bar has none


def test_the_screen_makes_no_claim_within_the_spread() -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=200)
    for shown in tables(REPORT, TABLE):
        console.print(shown)
    lines = {line.split("  ")[0]: line for line in stream.getvalue().splitlines()}
    assert "none seen" in lines["fault_anon"] and "+0.2 %" in lines["fault_anon"]
    assert "none seen" not in lines["reclaim_a"] and "+53.00 %" in lines["reclaim_a"]
    assert lines["text"].split() == ["text", "100", "110", "+10"]
