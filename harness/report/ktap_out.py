# SPDX-License-Identifier: GPL-2.0-only
"""Results as KTAP, for programs that read the kernel's own test results.

A program of cases is a subtest, and so is each state of a revision. Source:
Documentation/dev-tools/ktap.rst of the kernel; its tools/testing/kunit/kunit.py parses
what is written here.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.core.events import BROKEN, RAN, CaseId
from harness.report.records import RunDocument

HEADER = "KTAP version 1"
KtapCase = tuple[str, str, str, Sequence[str]]  # name, status, reason, diagnostics


def run(document: RunDocument) -> str:
    """One run, from its ``results.json``."""
    return "\n".join(_run(document)) + "\n"


def states(named: Sequence[tuple[str, bool, RunDocument]]) -> str:
    """Several runs, each a subtest: its name, whether it is ok, its ``results.json``."""
    parts = [(_name(name), good, "", _run(document)) for name, good, document in named]
    return "\n".join(_subtests(parts)) + "\n"


def _run(document: RunDocument) -> list[str]:
    groups: dict[str, list[KtapCase]] = {}
    for test in document["tests"]:
        case_id = CaseId.parse(test["id"])
        case = (case_id.name, test["status"], test["reason"], test["diagnostics"])
        groups.setdefault(case_id.program or case_id.kind, []).append(case)
    if splats := document["splats"]:
        groups["kernel log"] = [
            (s["title"], "fail", s["category"], s["text"].splitlines()) for s in splats
        ]
    if error := document["error"]:
        groups["run"] = [("to its end", "fail", error[0], error)]
    if untested := document["untested"]:
        groups["run"] = [("the change has run", "fail", untested[0], untested)]
    parts = []
    for program, cases in groups.items():
        statuses = {status for _, status, _, _ in cases}
        silent = not statuses & RAN
        skipped = " # SKIP none of its cases says anything here" if silent else ""
        parts.append((_name(program), not statuses & BROKEN, skipped, _cases(cases)))
    return _subtests(parts)


def _subtests(parts: Sequence[tuple[str, bool, str, list[str]]]) -> list[str]:
    """Name, whether it is ok, directive and lines of each, which go two spaces deeper."""
    lines = [HEADER, f"1..{len(parts)}"]
    for number, (name, good, directive, (version, *more)) in enumerate(parts, 1):
        lines += [f"  {line}" for line in (version, f"# Subtest: {name}", *more)]
        lines.append(f"{'ok' if good else 'not ok'} {number} {name}{directive}")
    return lines


def _cases(cases: Sequence[KtapCase]) -> list[str]:
    lines = [HEADER, f"1..{len(cases)}"]
    for number, (case, status, reason, notes) in enumerate(cases, 1):
        name = _name(case)
        if status in BROKEN:
            lines += [f"# {name}: {status}: {_line(reason)}", *(f"# {_line(n)}" for n in notes)]
            lines.append(f"not ok {number} {name}")
        elif status == "pass":
            lines.append(f"ok {number} {name}")
        else:
            skipped = f"# SKIP {status.replace('_', ' ')}: {_line(reason)}"
            lines.append(f"ok {number} {name} {skipped}")
    return lines


def _name(text: str) -> str:
    """A name without what KTAP takes for the beginning of a directive."""
    return _line(text).replace("#", "no. ")


def _line(text: str) -> str:
    return " ".join(text.split())
