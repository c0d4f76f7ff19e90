# SPDX-License-Identifier: GPL-2.0-only
"""The clause that says that the kernel stays silent, as a record of the run.

Any complaint breaks the run it comes in. That there was none is worth something
only where the kernel has the checkers that would have complained.
"""

from __future__ import annotations

from harness.core import events as ev
from harness.report.results import Results

# What makes a kernel one that would complain: at least one of these.
CHECKERS = ("KASAN", "KCSAN")
# And what is said to have watched, where it is there.
WATCHERS = (*CHECKERS, "PROVE_LOCKING", "DEBUG_VM", "DEBUG_LIST", "UBSAN", "DEBUG_KMEMLEAK")
ABOUT = "the kernel's checkers have nothing to say of the series while all cases run"


def record(clause: str, config: dict[str, str], results: Results, flavour: str) -> ev.CaseFinished:
    """The record ``kernel::FLAVOUR`` of a complete run.

    Args:
        config: symbols of the kernel's configuration.
    """
    watching = [symbol for symbol in WATCHERS if config.get(symbol) == "y"]
    notes = [f"watched by {', '.join(watching)}"]
    notes += [
        f"does not count: {s.title}: {s.foreign}" for s in results.all(ev.SplatSeen) if s.foreign
    ]
    complaints = results.complaints()
    status: ev.Status
    if not set(CHECKERS) & set(watching):
        reason, notes = f"this kernel has none of {', '.join(CHECKERS)}: see CONFIG=", []
        status = "not_applicable"
    elif complaints:
        status = "fail"
        reason = f"{len(complaints)} complaints, first: {complaints[0]['title']}"
    elif not any(test.status in ("pass", "fail") for test in results.all(ev.CaseFinished)):
        status, reason, notes = "error", "no case ran under them", []
    else:
        status, reason = "pass", ""
    identity = ev.CaseId("kernel", None, flavour)
    return ev.CaseFinished(identity, status, reason, 0.0, (clause,), tuple(notes), ABOUT)
