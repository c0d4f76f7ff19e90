# SPDX-License-Identifier: GPL-2.0-only
"""What is told of the protections, whatever ends the run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from harness.mutants.report import MutantReport
from harness.mutants.verdict import MutantVerdict
from harness.search import why_locked
from harness.search.protections import Protection
from tests.search.test_protections import mutant


def test_what_was_judged_before_the_run_was_ended_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted:
        def __init__(self, *given: Any) -> None:
            self.report: MutantReport = given[3]

        def judge_all(self) -> None:
            self.report.mutants = [mutant(number=1), mutant(number=2)]
            self.report.verdicts[1] = MutantVerdict("killed", "x failed", "check", "tlb.c::flush")
            raise KeyboardInterrupt

    equipment = SimpleNamespace(prepared=SimpleNamespace(applied=SimpleNamespace(patches=())))
    monkeypatch.setattr(why_locked, "assemble_guest", lambda *given: equipment)
    monkeypatch.setattr(why_locked, "MutantRun", Interrupted)
    session: Any = SimpleNamespace(settings=SimpleNamespace(jobs=1))
    told: list[Protection] = []
    with pytest.raises(KeyboardInterrupt):
        why_locked.judge_protections(session, "6.1", told.extend)
    assert [(one.answer, one.shown_by) for one in told] == [
        ("needed, shown by a case", "tlb.c::flush"),
        ("not tried", "the run was ended before"),
    ]
