# SPDX-License-Identifier: GPL-2.0-only
"""What a run makes of its guests' complaints: those that are known for the tree do not count."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from harness.core import events as ev
from harness.detectors.known import KnownComplaint
from harness.report.results import Results
from harness.run.assemble_guest import Equipment, complaints_of
from harness.run.verdict import judge_run
from harness.vm.splats import Splat

SPLAT = Splat("WARNING in pond_fill", "warning", "text", None, 0, 0)


def verdict(until: date) -> tuple[str, str | None]:
    """The verdict of a run in which the complaint came, and why it does not count."""
    nothing: Any = None  # a complaint of a detector that always counts asks for no tree
    known = KnownComplaint(SPLAT.title, until, "reported", "known-complaints.yaml:1")
    splat = complaints_of(Equipment(nothing, nothing, nothing, (known,)))(SPLAT)
    results = Results()
    results(ev.SplatSeen(splat.title, splat.category, None, splat.text, foreign=splat.foreign))
    return judge_run(results)[0], splat.foreign


def test_a_known_complaint_fails_nothing() -> None:
    until = date.today() + timedelta(days=1)
    assert verdict(until) == ("pass", f"known until {until.isoformat()}: reported")


def test_after_its_last_day_it_fails_again() -> None:
    assert verdict(date.today() - timedelta(days=1)) == ("fail", None)
