# SPDX-License-Identifier: GPL-2.0-only
"""What ``results.json`` says of the change: its files, and how much of it has run."""

from __future__ import annotations

from typing import TypedDict

from harness.core import events as ev


class FileRecord(TypedDict):
    """A file that the series touches, as ``events.TouchedFile`` says."""

    path: str
    kind: ev.FileKind
    compiled: bool | None
    said: str


class CoverageRecord(TypedDict):
    """How much of the change has run, as ``events.ChangeCoverage`` says."""

    functions_entered: int
    functions: int
    lines_run: int
    lines: int
    not_reached: list[str]


def file_records(change: ev.ChangeKnown | None) -> list[FileRecord]:
    """The files of the series; none where the run did not come to them."""
    return [
        {"path": f.path, "kind": f.kind, "compiled": f.compiled, "said": f.said}
        for f in (change.files if change else ())
    ]


def coverage_record(coverage: ev.ChangeCoverage | None) -> CoverageRecord | None:
    """How much has run; None where it was not measured."""
    if coverage is None:
        return None
    return {
        "functions_entered": coverage.functions_entered,
        "functions": coverage.functions,
        "lines_run": coverage.lines_run,
        "lines": coverage.lines,
        "not_reached": list(coverage.not_reached),
    }
