# SPDX-License-Identifier: GPL-2.0-only
"""What the guests of a run say while no case is running."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from harness.core import events as ev
from harness.vm.guests import Guests
from harness.vm.splats import ConsoleRemark


def test_a_remark_of_several_guests_is_one_note() -> None:
    seen: list[ev.Event] = []
    remark = ConsoleRemark("WARNING: the water is shallow", "words of a message")
    guests = Guests(None, Path("/out"), Path("/log"), ev.Events([seen.append]))  # type: ignore[arg-type]
    for _ in range(2):
        guest = SimpleNamespace(take_stray_splats=tuple, take_remarks=lambda: [remark])
        guests._made.append(guest)  # type: ignore[arg-type]
    guests.report_strays()
    assert seen == [ev.Note("the console: WARNING: the water is shallow: words of a message")]
