# SPDX-License-Identifier: GPL-2.0-only
"""Whether a run in which nothing broke says anything of the series: has its change run?"""

from __future__ import annotations

from harness.core import events as ev

MAX_SHOWN = 12  # places of the change that did not run


def not_run(coverage: ev.ChangeCoverage | None) -> list[str]:
    """What of the change did not run and has to, in lines; empty where a pass is earned.

    Args:
        coverage: None where it was not measured.
    """
    if coverage is None or coverage.functions_entered >= coverage.functions:
        return []
    missed = coverage.not_reached
    lines = [
        f"{coverage.functions - coverage.functions_entered} of {coverage.functions} functions that"
        " the series adds or changes were never entered",
        *(f"not reached: {place}" for place in missed[:MAX_SHOWN]),
    ]
    if len(missed) > MAX_SHOWN:
        lines.append(f"and {len(missed) - MAX_SHOWN} places more")
    return lines
