# SPDX-License-Identifier: GPL-2.0-only
"""The console's reader, fed through a socket pair."""

from __future__ import annotations

import queue
import select
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.errors import InternalError, MachineError
from harness.vm import console as console_module
from harness.vm.console import Console
from tests.support.limits import HUNG_S, NEVER_S, SOON_S
from tests.vm.fake_serial import GuestEnd


@dataclass
class Line:
    """The guest's end of a console, and what the reader told."""

    guest: GuestEnd
    console: Console
    told: list[str | None]


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    guest = GuestEnd()
    told: list[str | None] = []
    console = Console(guest.line, tmp_path / "console.log", told.append, quiet=HUNG_S)
    yield Line(guest, console, told)
    guest.close()
    console.join(NEVER_S)
    console.close()


def test_every_byte_is_logged_and_every_line_told(line: Line, tmp_path: Path) -> None:
    line.guest.sendall(b"first\r\nsec")
    line.guest.sendall(b"ond\nlast without end")
    line.guest.close()
    line.console.join(NEVER_S)
    assert line.told == ["first", "second", "last without end", None]
    assert (tmp_path / "console.log").read_bytes() == b"first\r\nsecond\nlast without end"
    assert line.console.ended


def test_a_line_without_an_end_comes_in_parts(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console_module, "LONGEST", 1000)
    line.guest.sendall(b"x" * 2500)
    line.guest.close()
    line.console.join(NEVER_S)
    parts = [part for part in line.told if part is not None]
    assert "".join(parts) == "x" * 2500
    assert len(parts) >= 3 and max(map(len, parts)) <= 1000


def test_log_is_appended_to(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    log.write_text("before\n")
    guest = GuestEnd()
    console = Console(guest.line, log, lambda line: None)
    guest.sendall(b"after\n")
    guest.close()
    console.join(NEVER_S)
    console.close()
    assert log.read_text() == "before\nafter\n"


def test_waiting_ends_with_the_line(line: Line) -> None:
    line.guest.sendall(b"noise\nharness: ready 42\n")
    match = line.console.wait_for(r"ready (\d+)", NEVER_S)
    assert match is not None and match[1] == "42"


def test_a_line_that_came_before_counts_unless_it_is_too_old(line: Line) -> None:
    line.guest.sendall(b"one\ntwo\n")
    assert line.console.wait_for("two", NEVER_S)
    assert line.console.wait_for("one", 0.0)
    assert line.console.wait_for("one", 0.0, since=1) is None


def test_waiting_ends_with_the_time(line: Line) -> None:
    assert line.console.wait_for("never", SOON_S) is None
    assert not line.console.ended


def test_waiting_ends_with_the_console(line: Line) -> None:
    line.guest.close()
    assert line.console.wait_for("never", NEVER_S) is None


def test_silence_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    silent: queue.SimpleQueue[int] = queue.SimpleQueue()
    silences: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def listen(*args: Any) -> Any:
        ready = select.select(*args)
        if not ready[0]:
            silent.put(silences.qsize())
        return ready

    monkeypatch.setattr(console_module, "select", SimpleNamespace(select=listen))
    guest = GuestEnd()
    console = Console(guest.line, tmp_path / "log", silences.put, quiet=0.01)
    for _ in range(2):
        guest.sendall(b"word\n")
        assert [silences.get() for _ in range(2)] == ["word", None]
        while not silent.empty():
            silent.get()
        assert [silent.get() for _ in range(3)] == [0, 0, 0]  # it goes on, and is no news
    guest.close()
    console.join(NEVER_S)
    console.close()


def test_bytes_that_are_no_text_do_no_harm(line: Line) -> None:
    line.guest.sendall(b"\xff\xfe\x00\x1b[0m\n")
    assert line.console.wait_for(".", NEVER_S)
    assert len(line.told) == 1


def test_typing_reaches_the_guest(line: Line) -> None:
    line.console.send(b"w")
    assert line.guest.recv(10) == b"w"


def test_typing_to_a_dead_guest_is_no_error(line: Line) -> None:
    line.guest.close()
    line.console.join(NEVER_S)
    line.console.send(b"w")
    assert line.console.ended and line.told == [None]


def test_a_full_disk_is_told_and_reading_goes_on(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    guest = GuestEnd()
    told: list[str | None] = []
    console = Console(guest.line, Path("/dev/full"), told.append, HUNG_S)
    guest.sendall(b"one\ntwo\n")
    assert console.wait_for("two", NEVER_S)
    with pytest.raises(MachineError, match="No space left"):
        console.check()
    guest.close()
    console.join(NEVER_S)
    console.close()
    assert told == ["one", "two", None]


def test_a_handler_that_fails_does_not_stop_the_reader(tmp_path: Path) -> None:
    def fail(line: str | None) -> None:
        if line is not None:
            raise ValueError(line)

    guest = GuestEnd()
    console = Console(guest.line, tmp_path / "log", fail)
    guest.sendall(b"one\ntwo\n")
    assert console.wait_for("two", NEVER_S)
    with pytest.raises(InternalError, match="one"):
        console.check()
    guest.close()
    console.join(NEVER_S)
    console.close()
