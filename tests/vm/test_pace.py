# SPDX-License-Identifier: GPL-2.0-only
"""Time limits grow with what a fixed work load takes in the guest."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core import events as ev
from harness.core.errors import SeriesError
from harness.vm.channel import SshError
from harness.vm.pace import PACE_REFERENCE_S, measure_pace
from harness.vm.protocol import Completed


@dataclass
class Answer:
    """A guest that says ``said``, or raises it."""

    said: Completed | Exception
    pace: float = 1.0
    console: Any = field(default_factory=lambda: SimpleNamespace(log=Path("/log")))

    def exec(self, command: list[str], timeout: float) -> Completed:
        assert command[1:] == ["benchmark"]
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


def answer_after(factor: float) -> Answer:
    return Answer(Completed(0, f"{round(PACE_REFERENCE_S * 1000 * factor)}\n", ""))


def test_time_limits_never_shrink() -> None:
    factors = [measure_pace(answer_after(n), ev.Events()) for n in (0.5, 4)]  # type: ignore[arg-type]
    assert factors == pytest.approx([1.0, 4.0])


def test_the_guest_keeps_its_pace_and_the_run_knows_it() -> None:
    seen: list[ev.Event] = []
    guest = answer_after(3.0)
    assert measure_pace(guest, ev.Events([seen.append])) == pytest.approx(3.0)  # type: ignore[arg-type]
    assert guest.pace == pytest.approx(3.0)
    assert seen == [ev.PaceMeasured(0.3, PACE_REFERENCE_S, guest.pace)]


@pytest.mark.parametrize(
    "said",
    [Completed(1, "", ""), Completed(0, "soon\n", ""), SshError("gone"), TimeoutError()],
)
def test_a_guest_that_cannot_work_is_told(said: Completed | Exception) -> None:
    with pytest.raises(SeriesError, match="cannot do the first work"):
        measure_pace(Answer(said), ev.Events())  # type: ignore[arg-type]
