# SPDX-License-Identifier: GPL-2.0-only
"""When a guest's memory is kept: at the first line of a report, if that turns out to count."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.core.errors import InternalError
from harness.vm.state_dump import CoreDump


@dataclass
class PlayedMonitor:
    """Writes a core where it is told to; ``refuses``: a command."""

    refuses: str = ""
    said: list[str] = field(default_factory=list)

    def command(self, name: str, *, timeout: float = 10.0, **arguments: Any) -> None:
        if name == self.refuses:
            raise InternalError(f"QEMU refused {name}")
        self.said.append(name)
        if name == "dump-guest-memory":
            path = Path(arguments["protocol"].removeprefix("file:"))
            path.write_text(f"core {self.said.count(name)}")


def core(folder: Path, name: str = "guest1") -> CoreDump:
    return CoreDump(folder / "core", folder / f"{name}.core.draft")


def hear(dump: CoreDump, monitor: PlayedMonitor, *lines: tuple[bool, bool]) -> None:
    """``lines``: whether a report is busy after a line, and whether one that counts has ended."""
    for busy, counting in lines:
        dump.heard(monitor, busy=busy, counting=counting)  # type: ignore[arg-type]


def test_the_guest_stands_while_its_memory_is_written_at_the_first_line(tmp_path: Path) -> None:
    dump, monitor = core(tmp_path), PlayedMonitor()
    hear(dump, monitor, (False, False), (True, False), (True, False))
    assert monitor.said == ["stop", "dump-guest-memory", "cont"]
    assert not dump.path.exists()
    hear(dump, monitor, (False, True))
    assert dump.path.read_text() == "core 1"
    assert not dump.draft.exists()


def test_the_second_report_is_not_kept(tmp_path: Path) -> None:
    dump, monitor = core(tmp_path), PlayedMonitor()
    hear(dump, monitor, (True, False), (False, True), (True, False), (False, True))
    assert monitor.said.count("dump-guest-memory") == 1


def test_what_is_no_report_or_was_asked_for_does_not_stand_for_the_next_one(tmp_path: Path) -> None:
    dump, monitor = core(tmp_path), PlayedMonitor()
    hear(dump, monitor, (True, False), (False, False))
    assert not dump.draft.exists()
    hear(dump, monitor, (True, False), (False, True))
    assert dump.path.read_text() == "core 2"


def test_a_report_of_one_line_is_kept(tmp_path: Path) -> None:
    dump, monitor = core(tmp_path), PlayedMonitor()
    hear(dump, monitor, (False, True))
    assert dump.path.read_text() == "core 1"


def test_a_run_keeps_one_core(tmp_path: Path) -> None:
    first, second, monitor = core(tmp_path), core(tmp_path, "guest2"), PlayedMonitor()
    hear(first, monitor, (True, False), (False, True))
    hear(second, monitor, (True, False), (False, True))
    assert first.path.read_text() == "core 1"
    assert not second.draft.exists()


def test_a_qemu_that_refuses_is_told_of(tmp_path: Path) -> None:
    dump = core(tmp_path)
    hear(dump, PlayedMonitor("dump-guest-memory"), (True, False), (False, True))
    assert dump.trouble == "QEMU refused dump-guest-memory"
    assert not dump.path.exists()
