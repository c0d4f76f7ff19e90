# SPDX-License-Identifier: GPL-2.0-only
"""What makes a run fail: broken cases, and what the kernel said on its console.

A WARN, an oops, any report that ``vm/splats.yaml`` knows fails the run, whichever case it
came in and if it came between cases. Two kinds do not count: *expected* ones, such as the
out-of-memory kill that a case has asked for, and *foreign* ones, which are not about code of
the series (``detectors/attribution.py``).
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.core.errors import InternalError, SeriesError
from harness.core.events import CanaryFinished, Verdict
from harness.report.results import Results

JUDGED = (0, SeriesError.exit_code)  # the statuses of a run that says something of the series


def judge_run(results: Results) -> tuple[Verdict, int]:
    """The verdict and exit status of a run that came to its end: no error ended it early."""
    if results.failures() or results.complaints():
        return "fail", SeriesError.exit_code
    if any(not canary.ok for canary in results.all(CanaryFinished)):
        return "infra", InternalError.exit_code
    return "pass", 0


def worst(codes: Iterable[int]) -> int:
    """The exit status of several runs: the first for which not the series is at fault, else 1."""
    found = list(codes)
    return next((code for code in found if code not in JUDGED), max(found, default=0))
