# SPDX-License-Identifier: GPL-2.0-only
"""Results as KTAP, for programs that read the kernel's own test results.

A program of cases is a subtest, and so is each state of a revision. Source:
Documentation/dev-tools/ktap.rst of the kernel; its tools/testing/kunit/kunit.py parses
what is written here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.commands.revision.verdict import Revision
from harness.core.events import CaseId, Status
from harness.core.settings import Settings
from harness.report.results import BROKEN, RunDocument
from harness.run.session import RunKernel

HEADER = "KTAP version 1"


def test_kernel(settings: Settings, run_kernel: RunKernel) -> int:
    """``make test-kernel``, with its results on standard output where KTAP= asks for them."""
    result = run_kernel(settings)
    if settings.ktap:
        sys.stdout.write(run(result.document))
    return result.code


def run(document: RunDocument) -> str:
    """One run, from its ``results.json``."""
    return "\n".join(_run(document)) + "\n"


def revision(whole: Revision, documents: Sequence[RunDocument]) -> str:
    """A revision: each state a subtest, which fails where its ``Step`` breaks something."""
    lines = [HEADER, f"1..{len(documents)}"]
    for number, (step, document) in enumerate(zip(whole.steps, documents, strict=True), 1):
        name = _name(f"{step.patches} {step.subject}")
        lines += _nested(name, _run(document))
        bad = step.blame.ours and step.patches
        lines.append(f"{'not ok' if bad or step.error else 'ok'} {number} {name}")
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class KtapTest:
    """What becomes one result line; ``notes`` stand above it where it is broken."""

    name: str
    status: Status
    reason: str
    notes: Sequence[str]


def _run(document: RunDocument) -> list[str]:
    groups: dict[str, list[KtapTest]] = {}
    for test in document["tests"]:
        case = CaseId.parse(test["id"])
        row = KtapTest(case.name, test["status"], test["reason"], test["diagnostics"])
        groups.setdefault(case.program or case.kind, []).append(row)
    for splat in document["splats"]:
        row = KtapTest(splat["title"], "fail", splat["category"], splat["text"].splitlines())
        groups.setdefault("kernel log", []).append(row)
    if error := document["error"]:
        groups["run"] = [KtapTest("to its end", "fail", error[0], error)]
    lines = [HEADER, f"1..{len(groups)}"]
    for number, (name, tests) in enumerate(groups.items(), 1):
        lines += _nested(name, _cases(tests))
        statuses = {test.status for test in tests}
        bad = "not " if statuses & BROKEN else ""
        says = bad or "pass" in statuses
        skipped = "" if says else " # SKIP none of its cases says anything here"
        lines.append(f"{bad}ok {number} {_name(name)}{skipped}")
    return lines


def _cases(tests: Sequence[KtapTest]) -> Iterator[str]:
    yield HEADER
    yield f"1..{len(tests)}"
    for number, test in enumerate(tests, 1):
        name, reason = _name(test.name), _line(test.reason)
        if test.status in BROKEN:
            yield f"# {name}: {test.status}: {reason}"
            yield from (f"# {_line(line)}" for line in test.notes)
            yield f"not ok {number} {name}"
        elif test.status == "pass":
            yield f"ok {number} {name}"
        else:
            yield f"ok {number} {name} # SKIP {test.status.replace('_', ' ')}: {reason}"


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
