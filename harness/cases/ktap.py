# SPDX-License-Identifier: GPL-2.0-only
"""Reads what a guest program printed: KTAP 1, one case.

The rules are strict on purpose. A program that dies early looks like zero
failures to a lenient reader, so a verdict counts only with the plan, exactly
one result line for the case that was asked for, and an exit status that agrees.
Source: Documentation/dev-tools/ktap.rst of the kernel.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

_RESULT = re.compile(
    r"^(?P<not>not )?ok (?P<number>\d+)(?: -)? (?P<name>[^#]*?)\s*(?:# (?P<directive>.*))?$"
)

Outcome = Literal["pass", "fail", "skip", "error"]


@dataclass(frozen=True)
class CaseOutput:
    """``outcome`` 'error': the program broke the protocol; ``reason`` says how."""

    outcome: Outcome
    reason: str
    diagnostics: tuple[str, ...]


def _outcome(text: str, case: str, exit_code: int | None) -> tuple[Outcome, str]:
    lines = text.splitlines()
    if "KTAP version 1" not in lines:
        return "error", "printed no KTAP header"
    if "1..1" not in lines:
        return "error", "printed no plan"
    results = [m for m in map(_RESULT.match, lines) if m]
    if not results:
        return "error", "ended before its result line"
    if len(results) > 1:
        return "error", f"printed {len(results)} result lines"
    result = results[0]
    if result["name"] != case:
        return "error", f"reported {result['name']!r} when asked for {case!r}"
    if exit_code is None:
        return "error", "reported a result and never ended"
    directive = result["directive"] or ""
    if result["not"]:
        if exit_code == 0:
            return "error", "said 'not ok' and exited 0"
        return "fail", _first_check(lines)
    if exit_code != 0:
        return "error", f"said 'ok' and exited {exit_code}"
    if directive.upper().startswith("SKIP"):
        reason = directive[4:].strip()
        return ("skip", reason) if reason else ("error", "skipped without a reason")
    return "pass", ""


def _first_check(lines: list[str]) -> str:
    """The first failed check: the first diagnostic of the form ``file:line: ...``."""
    for line in lines:
        if re.match(r"^# [\w./-]+\.(c|h|py):\d+: ", line):
            return line[2:]
    notes = [line[2:] for line in lines if line.startswith("# ")]
    return notes[-1] if notes else "failed without a diagnostic"


def read_case(text: str, case: str, exit_code: int | None) -> CaseOutput:
    """Judges one case's output.

    Args:
        text: all of its standard output.
        case: the name that was asked for.
        exit_code: its status; None where it never ended, negative or above 128 for signals.
    """
    outcome, reason = _outcome(text, case, exit_code)
    diagnostics = tuple(line[2:] for line in text.splitlines() if line.startswith("# "))
    if outcome == "error" and exit_code is not None and exit_code > 128:
        reason = f"died by signal {exit_code - 128}: {reason}"
    return CaseOutput(outcome, reason, diagnostics)
