# SPDX-License-Identifier: GPL-2.0-only
"""The promises of a series: its clauses, and from which patch on each holds."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from harness.core.errors import InternalError, InvocationError

_ROW = re.compile(r"^\|\s*(?P<id>[A-Z]+(?:-[A-Z]+)*-\d+)\s*\|\s*(?P<text>.+?)\s*\|\s*$")
_HEADING = re.compile(r"^##\s+(?P<title>.+?)\s*$")


@dataclass(frozen=True)
class Clause:
    """One promise. ``holds_from``: it holds once that many patches are applied."""

    id: str
    text: str
    section: str
    holds_from: int


@dataclass(frozen=True)
class SeriesData:
    """``series.yaml`` of one series and the contract it names.

    ``sound``: the clause that the kernel's own checkers judge; None where there is none.
    """

    name: str
    title: str
    folder: Path
    guest_tests: str
    subjects: tuple[str, ...]
    clauses: dict[str, Clause]
    sound: str | None = None

    def applicable(self, clause: str, applied: int) -> bool:
        """Whether ``clause`` holds with the first ``applied`` patches."""
        return applied >= self.clauses[clause].holds_from


def parse_clauses(text: str, holds_from: dict[str, int]) -> dict[str, Clause]:
    """Reads the tables of a contract: rows ``| V-XX-n | promise |`` under ``##`` headings.

    Raises:
        InternalError: a clause stands twice, or no pattern of ``holds_from`` matches it.
    """
    clauses: dict[str, Clause] = {}
    section = ""
    for line in text.splitlines():
        if heading := _HEADING.match(line):
            section = heading["title"]
        elif row := _ROW.match(line):
            clause = row["id"]
            if clause in clauses:
                raise InternalError(f"the contract has {clause} twice")
            matching = [p for p in holds_from if fnmatch.fnmatchcase(clause, p)]
            if not matching:
                raise InternalError(f"series.yaml: holds_from has no pattern for {clause}")
            # An exact name beats a pattern, a longer pattern a shorter one.
            best = max(matching, key=lambda pattern: ("*" not in pattern, len(pattern)))
            clauses[clause] = Clause(clause, row["text"], section, holds_from[best])
    return clauses


def load(folder: Path) -> SeriesData:
    """Reads ``folder/series.yaml`` and the contract beside it.

    Raises:
        InvocationError: there is no such series.
        InternalError: the files contradict each other.
    """
    path = folder / "series.yaml"
    if not path.is_file():
        raise InvocationError(f"{folder} holds no series.yaml", next_step="see docs/new-series.md")
    data = yaml.safe_load(path.read_text())
    clauses = parse_clauses((folder / data["contract"]).read_text(), data["holds_from"])
    if not clauses:
        raise InternalError(f"{folder / data['contract']} has no clauses")
    if data.get("sound") not in (None, *clauses):
        raise InternalError(f"series.yaml: sound: the contract has no {data['sound']}")
    return SeriesData(
        name=data["name"],
        title=data["title"],
        folder=folder,
        guest_tests=data["guest_tests"],
        subjects=tuple(data["patches"]),
        clauses=clauses,
        sound=data.get("sound"),
    )
