# SPDX-License-Identifier: GPL-2.0-only
"""The scenarios that the project ships: each can be read, and has what it names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.core.settings import PROJECT
from harness.races.scenario import RACES, parse
from harness.series import contract
from harness.series.contract import find_patch
from harness.series.patches import parse_patch

LINES = ("6.1", "6.12", "7.3")
SHIPPED = sorted(RACES.glob("*.c"))


@pytest.mark.parametrize("source", SHIPPED, ids=lambda path: path.stem)
@pytest.mark.parametrize("line", LINES)
def test_scenario_names_only_what_there_is(source: Path, line: str) -> None:
    scenario = parse(source.read_text("utf-8"), source, line)
    if scenario is None:
        return
    folders = [PROJECT / "patches"]
    if scenario.project:
        folders.append(PROJECT / "patches" / scenario.project)
        clauses = contract.load(folders[-1]).clauses
        assert set(scenario.clauses) <= set(clauses)
    found = [patch for folder in folders if (patch := find_patch(folder, line, scenario.variant))]
    assert len(found) == 1, f"{scenario.variant}: {found}"
    parse_patch(found[0].read_bytes(), str(found[0]))
    # Every thread has a part in the program, under its name.
    parts = set(re.findall(r'\.name = "(\w+)"', source.read_text("utf-8")))
    assert parts == {thread.name for thread in scenario.threads}
    # What an argument is compared with is a variable that the compiler leaves alone.
    code = source.read_text("utf-8") + "".join(
        path.read_text("utf-8") for path in (PROJECT / "guest-tests").rglob("lib/*.h")
    )
    for point in scenario.points:
        for argument in point.arguments:
            if argument.variable:
                assert re.search(rf"volatile {argument.variable}\b", code)


@pytest.mark.parametrize("line", LINES)
def test_each_kernel_line_has_scenarios(line: str) -> None:
    read = [parse(path.read_text("utf-8"), path, line) for path in SHIPPED]
    names = {scenario.name for scenario in read if scenario is not None}
    assert {"sigbus-fault", "purge-after-intact", "stale-tlb", "fork-vote"} <= names
    assert ("sigbus-fault-vmalock" in names) == (line != "6.1")
