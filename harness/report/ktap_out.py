# SPDX-License-Identifier: GPL-2.0-only
"""Results as KTAP, for programs that read the kernel's own test results.

A program of cases is a subtest, and so is each state of a revision. Source:
Documentation/dev-tools/ktap.rst of the kernel; its tools/testing/kunit/kunit.py parses
what is written here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.core.events import CaseId
from harness.report.results import BROKEN, RunDocument

HEADER = "KTAP version 1"
KtapCase = tuple[str, str, str, Sequence[str]]  # name, status, reason, diagnostics


def run(document: RunDocument) -> str:
    """One run, from its ``results.json``."""
    return "\n".join(_run(document)) + "\n"


def states(named: Sequence[tuple[str, bool, RunDocument]]) -> str:
    """Several runs, each a subtest: its name, whether it is ok, its ``results.json``."""
    lines = [HEADER, f"1..{len(named)}"]
    for number, (name, good, document) in enumerate(named, 1):
        lines += _nested(name, _run(document))
        lines.append(f"{'ok' if good else 'not ok'} {number} {_name(name)}")
    return "\n".join(lines) + "\n"


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
    lines = [HEADER, f"1..{len(groups)}"]
    for number, (program, cases) in enumerate(groups.items(), 1):
        lines += _nested(program, _cases(cases))
        statuses = {status for _, status, _, _ in cases}
        good = "not ok" if statuses & BROKEN else "ok"
        silent = not statuses & {"pass", *BROKEN}
        skipped = " # SKIP none of its cases says anything here" if silent else ""
        lines.append(f"{good} {number} {_name(program)}{skipped}")
    return lines


def _cases(cases: Sequence[KtapCase]) -> Iterator[str]:
    yield HEADER
    yield f"1..{len(cases)}"
    for number, (case, status, reason, notes) in enumerate(cases, 1):
        name = _name(case)
        if status in BROKEN:
            yield f"# {name}: {status}: {_line(reason)}"
            yield from (f"# {_line(line)}" for line in notes)
            yield f"not ok {number} {name}"
        elif status == "pass":
            yield f"ok {number} {name}"
        else:
            yield f"ok {number} {name} # SKIP {status.replace('_', ' ')}: {_line(reason)}"


def _nested(name: str, lines: Iterator[str] | Sequence[str]) -> Iterator[str]:
    """A subtest two spaces deeper, its name after its version line."""
    for at, line in enumerate(lines):
        yield f"  {line}"
        if at == 0:
            yield f"  # Subtest: {_name(name)}"


def _name(text: str) -> str:
    """A name without what KTAP takes for the beginning of a directive."""
    return _line(text).replace("#", "no. ")


def _line(text: str) -> str:
    return " ".join(text.split())
