# SPDX-License-Identifier: GPL-2.0-only
"""What the guests of a run say while no case is running."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core import events as ev
from harness.core.errors import MachineError, SeriesError
from harness.vm import guests as module
from harness.vm.accel import KvmVerdict
from harness.vm.guests import Guests
from harness.vm.machine import GuestSpec
from harness.vm.splats import ConsoleRemark

SPEC = GuestSpec(Path("/k"), "microvm", "tcg", Path("/r"), "key")
NO_VERDICT = KvmVerdict(Path("/nowhere"))


def test_a_remark_of_several_guests_is_one_note() -> None:
    seen: list[ev.Event] = []
    remark = ConsoleRemark("WARNING: the water is shallow", "words of a message")
    guests = Guests(SPEC, Path("/out"), ev.Events([seen.append]), NO_VERDICT)
    for _ in range(2):
        guest = SimpleNamespace(take_stray_splats=tuple, take_remarks=lambda: [remark])
        guests._made.append(guest)  # type: ignore[arg-type]
    guests.report_strays()
    assert seen == [ev.Note("the console: WARNING: the water is shallow: words of a message")]


@pytest.mark.parametrize("fault", [MachineError("QEMU ended"), SeriesError("it is silent")])
def test_a_snapshot_that_gives_no_guest_is_given_up_for_a_boot(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fault: Exception
) -> None:
    booted: list[tuple[str, Path | None]] = []

    def boot(
        _spec: Any, _folder: Path, name: str, _keys: Any, *, state: Path | None, **_: Any
    ) -> Any:
        booted.append((name, state))
        if state is not None:
            raise fault
        return SimpleNamespace(
            name=name, boot_id="b", boot_seconds=1.0, take_stray_splats=tuple, take_remarks=tuple,
            spec=SPEC, pace=1.0,
        )  # fmt: skip

    monkeypatch.setattr(module, "boot", boot)
    seen: list[ev.Event] = []
    guests = Guests(SPEC, tmp_path, ev.Events([seen.append]), NO_VERDICT)
    guests.fresh()
    cut = guests.snapshot = tmp_path / "cut"
    for _ in range(2):
        guests.fresh()
    assert booted == [("guest1", None), ("guest2", cut), ("guest3", None), ("guest4", None)]
    (note,) = [event for event in seen if isinstance(event, ev.Note)]
    assert note.text.startswith("the snapshot gives no guest") and str(fault) in note.text
    assert [e.restored for e in seen if isinstance(e, ev.GuestBooted)] == [False] * 3


@pytest.mark.parametrize(("asked", "accel"), [(False, "tcg"), (True, "kvm")])
def test_what_other_guests_of_the_run_have_found_out_is_believed(
    tmp_path: Path, asked: bool, accel: str
) -> None:
    KvmVerdict(tmp_path).keep("it hangs")
    verdict = KvmVerdict(tmp_path, asked=asked)
    spec = replace(SPEC, accel="kvm")
    assert Guests(spec, tmp_path, ev.Events(), verdict).spec.accel == accel
