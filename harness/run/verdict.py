# SPDX-License-Identifier: GPL-2.0-only
"""What makes a run fail: broken cases, and what the kernel said on its console; what a pass takes.

A WARN, an oops, any report that ``vm/splats.yaml`` knows fails the run, whichever case it
came in and if it came between cases. Two kinds do not count: *expected* ones, such as the
out-of-memory kill that a case has asked for, and *foreign* ones, which are not about code of
the series (``detectors/changed_functions.py``).

A run in which nothing broke passes only where the change has run (``report/untested.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.core.errors import UNTESTED, InternalError, SeriesError
from harness.core.events import CanaryFinished, Verdict
from harness.report.results import Results

# The statuses of a run that came to its end: nobody but the series can be at fault.
JUDGED = (0, SeriesError.exit_code, UNTESTED)


def judge_run(results: Results) -> tuple[Verdict, int]:
    """The verdict and exit status of a run that came to its end: no error ended it early."""
    if results.failures() or results.complaints():
        return "fail", SeriesError.exit_code
    if any(not canary.ok for canary in results.all(CanaryFinished)):
        return "infra", InternalError.exit_code
    return ("untested", UNTESTED) if results.untested() else ("pass", 0)


def worst(codes: Iterable[int]) -> int:
    """The exit status of several runs: the first for which not the series is at fault, else 1.

    Where none failed, that of one that is untested.
    """
    found = list(codes)
    if ended := next((code for code in found if code not in JUDGED), None):
        return ended
    return next((code for code in (SeriesError.exit_code, UNTESTED) if code in found), 0)


def worst_of_states(codes: Sequence[int]) -> int:
    """``worst`` of the states of one series, the whole of it last.

    What a patch adds may not run before a later one uses it: only the whole is untested.
    """
    return worst([*(code for code in codes[:-1] if code != UNTESTED), *codes[-1:]])
