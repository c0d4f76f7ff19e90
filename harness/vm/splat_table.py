# SPDX-License-Identifier: GPL-2.0-only
"""The table of splats.yaml, compiled: what to look for, and which function to blame."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.vm.blame import BlameRule, SkipTables, any_of, compile_tables, culprit, plain_name

TABLE = Path(__file__).resolve().parent / "splats.yaml"


@dataclass(frozen=True)
class Report:
    """One entry of ``reports`` in splats.yaml."""

    category: str
    start: re.Pattern[str]
    words: tuple[str, ...]
    titles: tuple[tuple[re.Pattern[str], str], ...]
    blame: BlameRule
    needs: re.Pattern[str] | None
    until: re.Pattern[str] | None
    also: re.Pattern[str] | None
    tail: re.Pattern[str] | None
    once: bool
    spoils: bool


@dataclass(frozen=True)
class Table:
    """splats.yaml, compiled."""

    cut_here: re.Pattern[str]
    replay: re.Pattern[str]
    consequences: re.Pattern[str]
    leads: re.Pattern[str]
    evidence: re.Pattern[str]
    remarks: tuple[tuple[re.Pattern[str], str], ...]
    any_remark: re.Pattern[str]
    body: re.Pattern[str]
    blame: SkipTables
    reports: tuple[Report, ...]
    words: frozenset[str]


def _report(data: dict[str, Any], blame: SkipTables, evidence: re.Pattern[str]) -> Report:
    def maybe(name: str) -> re.Pattern[str] | None:
        return re.compile(data[name]) if name in data else None

    skipped = [blame.lists[name].pattern for name in data.get("skip", ())]
    ways = tuple(data.get("func", ("where", "stack")))
    rule = BlameRule(ways, maybe("at"), maybe("below"), any_of(skipped) if skipped else None)

    return Report(
        data["category"],
        re.compile(data["start"]),
        tuple(data["words"]),
        tuple((re.compile(pattern), title) for pattern, title in data["titles"]),
        rule,
        evidence if data.get("needs") == "evidence" else maybe("needs"),
        maybe("until"),
        maybe("also"),
        maybe("tail"),
        data.get("once", False),
        data.get("spoils", False),
    )


@functools.cache
def load_table(path: Path = TABLE) -> Table:
    """Reads and compiles splats.yaml."""
    data = yaml.safe_load(path.read_text())
    blame = compile_tables(data["blame"])
    evidence = any_of(data["evidence"])
    reports = tuple(_report(report, blame, evidence) for report in data["reports"])
    return Table(
        re.compile(data["cut_here"]),
        re.compile(data["replay"]),
        re.compile(data["consequences"]),
        re.compile(f"(?:{data['leads']})*"),
        evidence,
        tuple((re.compile(remark["line"]), remark["why"]) for remark in data["remarks"]),
        any_of([remark["line"] for remark in data["remarks"]]),
        any_of(data["body"]),
        blame,
        reports,
        # These reject nearly every line of a healthy console.
        frozenset(word for report in reports for word in report.words),
    )


def title_of(report: Report, lines: Sequence[str], blame: SkipTables) -> str:
    """The report's title, from its bare lines."""
    for pattern, title in report.titles:
        for line in lines:
            match = pattern.search(line)
            if match is None:
                continue
            groups = {k: plain_name(v or "").strip() for k, v in match.groupdict().items()}
            func = culprit(lines, report.blame, blame) if "{func}" in title else ""
            return title.format(func=func, **groups)
    return report.category
