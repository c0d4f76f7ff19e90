# SPDX-License-Identifier: GPL-2.0-only
"""The table of splats.yaml, compiled: what to look for, and which function to blame."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from harness.core.jsondata import from_json
from harness.vm.blamed_function import BlameRule, SkipTables, culprit, plain_name

TABLE = Path(__file__).resolve().parent / "splats.yaml"


@dataclass(frozen=True, kw_only=True)
class Report(BlameRule):
    """One entry of ``reports`` in splats.yaml, which says what each field means."""

    category: str
    start: re.Pattern[str]
    words: tuple[str, ...]
    titles: tuple[tuple[re.Pattern[str], str], ...]
    needs: re.Pattern[str] | None = None
    until: re.Pattern[str] | None = None
    also: re.Pattern[str] | None = None
    tail: re.Pattern[str] | None = None
    once: bool = False
    spoils: bool = False


@dataclass(frozen=True)
class RemarkRule:
    """A line that looks like a complaint, and what it is."""

    line: re.Pattern[str]
    why: str


@dataclass(frozen=True)
class Table:
    """splats.yaml, compiled."""

    cut_here: re.Pattern[str]
    replay: re.Pattern[str]
    consequences: re.Pattern[str]
    leads: re.Pattern[str]
    evidence: re.Pattern[str]
    remarks: tuple[RemarkRule, ...]
    body: re.Pattern[str]
    blame: SkipTables
    reports: tuple[Report, ...]

    @functools.cached_property
    def any_remark(self) -> re.Pattern[str]:
        """One pattern for the lines of all remarks."""
        return re.compile("|".join(f"(?:{remark.line.pattern})" for remark in self.remarks))

    @functools.cached_property
    def words(self) -> frozenset[str]:
        """Without one of them a line begins no report: nearly every line of a healthy console."""
        return frozenset(word for report in self.reports for word in report.words)


@functools.cache
def load_table(path: Path = TABLE) -> Table:
    """Reads and compiles splats.yaml."""
    return from_json(Table, yaml.safe_load(path.read_text()))


def title_of(report: Report, lines: Sequence[str], blame: SkipTables) -> str:
    """The report's title, from its bare lines."""
    for pattern, title in report.titles:
        for line in lines:
            match = pattern.search(line)
            if match is None:
                continue
            groups = {k: plain_name(v or "").strip() for k, v in match.groupdict().items()}
            func = culprit(lines, report, blame) if "{func}" in title else ""
            return title.format(func=func, **groups)
    return report.category
