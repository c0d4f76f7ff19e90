# SPDX-License-Identifier: GPL-2.0-only
"""Whether what a replay has seen is the finding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.findings.finding import Finding
from harness.report.identity import case_finding

Likeness = Literal["same", "other", "not seen"]


@dataclass(frozen=True)
class ReplayedRun:
    """One run of a replay; ``said``: what was seen, in words."""

    like: Likeness
    said: str


def compared(
    finding: Finding, broken: bool, reason: str, complaints: Sequence[str] = ()
) -> ReplayedRun:
    """What a run is whose record has that ``reason``; ``complaints``: titles of the kernel's."""
    if finding.splat:
        if finding.splat in complaints:
            return ReplayedRun("same", f"kernel: {finding.splat}")
    elif broken and case_finding(finding.test, reason, finding.clauses) == finding.id:
        return ReplayedRun("same", reason)
    if complaints:
        return ReplayedRun("other", f"kernel: {complaints[0]}")
    return ReplayedRun("other", reason) if broken else ReplayedRun("not seen", reason)
