# SPDX-License-Identifier: GPL-2.0-only
"""Results as KTAP, for programs that read the kernel's own test results.

A program of cases is a subtest, and so is each state of a revision. Source:
Documentation/dev-tools/ktap.rst of the kernel; its tools/testing/kunit/kunit.py parses
what is written here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.report.results import BROKEN, CaseRecord, RunDocument, SplatRecord

HEADER = "KTAP version 1"
KERNEL = "kernel log"


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
    groups: dict[str, list[CaseRecord]] = {}
    for test in document["tests"]:
        groups.setdefault(test["id"].partition("::")[0], []).append(test)
    if document["splats"]:
        groups[KERNEL] = [_complaint(splat) for splat in document["splats"]]
    if document["error"]:
        groups["run"] = [_test("run::to its end", document["error"][0], document["error"])]
    lines = [HEADER, f"1..{len(groups)}"]
    for number, (name, tests) in enumerate(groups.items(), 1):
        lines += _nested(name, _cases(tests))
        lines.append(_verdict(number, name, tests))
    return lines


def _verdict(number: int, name: str, tests: Sequence[CaseRecord]) -> str:
    statuses = {test["status"] for test in tests}
    if statuses & BROKEN:
        return f"not ok {number} {_name(name)}"
    skipped = "" if "pass" in statuses else " # SKIP none of its cases says anything here"
    return f"ok {number} {_name(name)}{skipped}"


def _cases(tests: Sequence[CaseRecord]) -> Iterator[str]:
    yield HEADER
    yield f"1..{len(tests)}"
    for number, test in enumerate(tests, 1):
        name = _name(test["id"].partition("::")[2])
        if test["status"] in BROKEN:
            yield f"# {name}: {test['status']}: {_line(test['reason'])}"
            yield from (f"# {_line(line)}" for line in test["diagnostics"])
            yield f"not ok {number} {name}"
        elif test["status"] == "pass":
            yield f"ok {number} {name}"
        else:
            said = f"{test['status'].replace('_', ' ')}: {_line(test['reason'])}"
            yield f"ok {number} {name} # SKIP {said}"


def _complaint(splat: SplatRecord) -> CaseRecord:
    return _test(f"{KERNEL}::{splat['title']}", splat["category"], splat["text"].splitlines())


def _test(name: str, reason: str, notes: Sequence[str]) -> CaseRecord:
    return CaseRecord(id=name, status="fail", reason=reason, seconds=0.0, clauses=[], attempt=1,
                      about="", diagnostics=list(notes))  # fmt: skip


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
