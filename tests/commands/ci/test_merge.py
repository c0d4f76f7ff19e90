# SPDX-License-Identifier: GPL-2.0-only
"""What the shards of one state have run of the change, together."""

from __future__ import annotations

import pytest

from harness.commands.ci.merge import merged_shards
from harness.core import events as ev
from harness.core.errors import UNTESTED
from harness.core.settings import PROJECT
from harness.report.records import RunDocument
from harness.report.results import Results, document
from harness.run.verdict import judge_run
from harness.series.contract import load


def shard(number: int, *missed: str) -> RunDocument:
    """A shard's run, in which the functions ``missed`` of f, g and h were not entered."""
    case = ev.CaseFinished(ev.CaseId.parse(f"a.c::{number}"), "pass", "", 0.1, ())
    lines = tuple(f"m.c:{ord(name)}: {name};" for name in missed)
    coverage = ev.ChangeCoverage(3 - len(missed), 3, 3 - len(missed), 3, missed, lines)
    results = Results([ev.CasesChosen(number, 2, (case.id,)), case, coverage])
    results(ev.RunFinished(*judge_run(results), 1.0))
    return document(results, None)


@pytest.mark.parametrize(
    ("first", "second", "missed"), [("fg", "h", []), ("fg", "gh", ["g"]), ("", "fgh", [])]
)
def test_what_one_shard_has_run_counts_for_all(first: str, second: str, missed: list[str]) -> None:
    merged = merged_shards(
        [shard(1, *first), shard(2, *second)], load(PROJECT / "patches/volatile")
    )
    coverage = merged["coverage"]
    assert coverage is not None and coverage["not_reached"] == missed
    assert coverage["functions_entered"] == coverage["lines_run"] == 3 - len(missed)
    assert [line[-2] for line in coverage["lines_not_run"]] == missed
    verdict, code = ("untested", UNTESTED) if missed else ("pass", 0)
    assert (merged["verdict"], merged["exit_code"]) == (verdict, code)
    assert bool(merged["untested"]) == bool(missed)
