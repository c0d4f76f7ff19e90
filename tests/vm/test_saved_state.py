# SPDX-License-Identifier: GPL-2.0-only
"""How each QEMU is told to write a guest's state."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.core.errors import MachineError
from harness.vm.qemu import Monitor, Qemu
from harness.vm.saved_state import write
from tests.support.limits import NEVER_S
from tests.vm.fake_monitor import FakeMonitor


class SavingQemu:
    """A QEMU of some version whose migration ends as ``status`` says."""

    def __init__(self, version: tuple[int, int], status: str = "completed") -> None:
        self._says = {"query-migrate": status, "query-status": "postmigrate"}
        self.end = FakeMonitor(self._answer, version)
        self.monitor = Monitor(self.end.connection)
        self.monitor.greet(NEVER_S)

    def _answer(self, name: str, arguments: dict[str, Any]) -> dict[str, str]:
        return {"status": self._says[name]} if name in self._says else {}

    def write(self, state: Path) -> None:
        qemu = SimpleNamespace(monitor=self.monitor, log=state.with_name("qemu.log"))
        write(cast(Qemu, qemu), state, 512, NEVER_S)

    def asked(self, name: str) -> list[dict[str, Any]]:
        return [asked["arguments"] for asked in self.end.seen if asked["execute"] == name]

    def close(self) -> None:
        self.monitor.close()
        self.end.close()


@pytest.fixture
def made() -> Iterator[list[SavingQemu]]:
    qemus: list[SavingQemu] = []
    yield qemus
    for qemu in qemus:
        qemu.close()


@pytest.mark.parametrize(
    ("version", "uri"),
    [
        ((7, 2), "exec:cat > '/a state'"),
        ((8, 1), "exec:cat > '/a state'"),
        ((8, 2), "file:/a state"),
        ((11, 1), "file:/a state"),
    ],
)
def test_each_qemu_writes_in_the_best_way_it_has(
    made: list[SavingQemu], version: tuple[int, int], uri: str
) -> None:
    qemu = SavingQemu(version)
    made.append(qemu)
    qemu.write(Path("/a state"))
    assert qemu.asked("migrate") == [{"uri": uri}]
    assert qemu.end.seen[-1]["execute"] == "cont"


def test_a_state_that_cannot_be_written_is_the_machines_fault(made: list[SavingQemu]) -> None:
    qemu = SavingQemu((10, 0), "failed")
    made.append(qemu)
    with pytest.raises(MachineError, match="could not save") as caught:
        qemu.write(Path("/full/state"))
    assert "512 MB in /full" in str(caught.value.next_step)
