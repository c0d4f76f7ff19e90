# SPDX-License-Identifier: GPL-2.0-only
"""No clause of a series goes without a case, and the table of who shows what is true."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml

from harness.cases.host_checks import load_checks
from harness.core.settings import PROJECT
from harness.image.programs import GUEST_TESTS, sources
from harness.series.contract import load
from harness.series.mailbox import patch_files

OURS = PROJECT / "patches" / "volatile"
PROJECTS = [path.parent for path in sorted((PROJECT / "patches").glob("*/series.yaml"))]

_CASE = re.compile(r'\.name = "(\w+)", \.run = \w+, \.clauses = ((?:"[^"]*"\s*)+)')
_ROW = re.compile(r"^\| (?P<clause>V-\w+-\d+) \| (?P<part>.+?) \| (?P<cases>.+?) \|$", re.MULTILINE)


def _libs(source: Path) -> list[Path]:
    """Helpers: everybody's, its own, and those of the series that another stands on."""
    return [GUEST_TESTS / "lib", source.parent / "lib", GUEST_TESTS / "volatile" / "lib"]


def _in_c(source: Path) -> dict[str, frozenset[str]]:
    """What the preprocessor makes of the table of cases: macros of a program's own included."""
    command = ["gcc", "-E", "-P", "-w", *(f"-I{folder}" for folder in _libs(source))]
    text = subprocess.run([*command, str(source)], capture_output=True, text=True, check=True)
    found = _CASE.findall(text.stdout)
    return {name: frozenset(clauses.replace('"', " ").split()) for name, clauses in found}


def _in_python(source: Path) -> dict[str, frozenset[str]]:
    env = {**os.environ, "PYTHONPATH": ":".join(map(str, _libs(source)))}
    env["PYTHONDONTWRITEBYTECODE"] = "1"
    command = [sys.executable, str(source), "--list"]
    text = subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout
    records = [json.loads(line) for line in text.splitlines()]
    return {r["name"]: frozenset(r["clauses"]) for r in records}


@cache
def declared(project: Path = OURS) -> dict[str, frozenset[str]]:
    """Clauses of every case of a project: ``program::case``, or ``host::check``."""
    found = {str(c.id): frozenset(c.clauses) for c in load_checks(project)}
    for source in sources(GUEST_TESTS / project.name):
        cases = _in_c(source) if source.suffix == ".c" else _in_python(source)
        assert cases, f"no case found in {source.name}"
        found |= {f"{source.stem}::{name}": clauses for name, clauses in cases.items()}
    return found


def rows() -> list[tuple[str, str, list[str]]]:
    """Clause, part and cases of every row of the table."""
    text = (OURS / "clauses.md").read_text()
    return [(m["clause"], m["part"], m["cases"].split()) for m in _ROW.finditer(text)]


def exceptions(project: Path = OURS) -> dict[str, str]:
    """Clauses that no case shows, and what shows them."""
    data = yaml.safe_load((project / "series.yaml").read_text())
    found: dict[str, str] = data.get("shown_otherwise", {})
    return found


@pytest.mark.parametrize("project", PROJECTS, ids=lambda path: path.name)
def test_every_clause_has_a_case_or_a_named_reason_for_none(project: Path) -> None:
    shown = frozenset[str]().union(*declared(project).values())
    missing = load(project).own - shown
    assert missing == set(exceptions(project))


@pytest.mark.parametrize("project", PROJECTS, ids=lambda path: path.name)
def test_a_reason_is_a_sentence(project: Path) -> None:
    assert all(len(reason.split()) > 5 for reason in exceptions(project).values())


def test_every_clause_has_a_row() -> None:
    assert {clause for clause, _, _ in rows()} == set(load(OURS).clauses) - set(exceptions())


def test_no_clause_is_without_a_shown_part() -> None:
    shown = {clause for clause, _, cases in rows() if cases != ["-"]}
    assert shown == {clause for clause, _, _ in rows()}


@pytest.mark.parametrize(("clause", "part", "cases"), rows(), ids=lambda value: str(value)[:40])
def test_the_cases_of_a_row_declare_its_clause(clause: str, part: str, cases: list[str]) -> None:
    if cases == ["-"]:
        assert ": " in part, "a part that no case shows says why"
        return
    for pattern in cases:
        matching = fnmatch.filter(declared(), pattern)
        assert matching, f"there is no case {pattern}"
        silent = [name for name in matching if clause not in declared()[name]]
        assert not silent, f"{', '.join(silent)} does not declare {clause}"


def test_no_case_runs_on_a_kernel_without_the_advice_that_it_uses() -> None:
    """Else the bare base would break it, and excuse every patch that does."""
    clauses = load(OURS).clauses
    for line in ("6.1", "6.12"):
        patches = patch_files(OURS / line)
        adds = [bool(re.search(r"(?m)^\+#define MADV_VOLATILE\b", p.read_text())) for p in patches]
        since = adds.index(True) + 1
        early = [
            case
            for case, names in declared().items()
            if not case.startswith("host::") and max(clauses[n].holds_from for n in names) < since
        ]
        assert early == []
