# SPDX-License-Identifier: GPL-2.0-only
"""The console's reader, fed through a socket pair."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness.console import Console
from harness.errors import InternalError, MachineError
from tests.fake_line import GuestEnd


@dataclass
class Line:
    """The guest's end of a console, and what the reader told."""

    guest: GuestEnd
    console: Console
    told: list[str] = field(default_factory=list)
    silences: list[float] = field(default_factory=list)


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    guest = GuestEnd()
    told: list[str] = []
    silences: list[float] = []
    console = Console(
        guest.line,
        tmp_path / "console.log",
        told.append,
        lambda: silences.append(time.monotonic()),
        quiet=0.05,
    )
    made = Line(guest, console, told, silences)
    yield made
    guest.close()
    console.join()
    console.close()


def test_every_byte_is_logged_and_every_line_told(line: Line, tmp_path: Path) -> None:
    line.guest.sendall(b"first\r\nsec")
    line.guest.sendall(b"ond\nlast without end")
    line.guest.close()
    line.console.join()
    assert line.told == ["first", "second", "last without end"]
    assert (tmp_path / "console.log").read_bytes() == b"first\r\nsecond\nlast without end"
    assert line.console.ended


def test_log_is_appended_to(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    log.write_text("before\n")
    guest = GuestEnd()
    console = Console(guest.line, log, lambda line: None)
    guest.sendall(b"after\n")
    guest.close()
    console.join()
    console.close()
    assert log.read_text() == "before\nafter\n"


def test_waiting_ends_with_the_line(line: Line) -> None:
    threading.Timer(0.1, lambda: line.guest.sendall(b"noise\nharness: ready 42\n")).start()
    start = time.monotonic()
    match = line.console.wait_for(r"ready (\d+)", 5.0)
    assert match is not None and match[1] == "42"
    assert time.monotonic() - start < 2


def test_a_line_that_came_before_counts_unless_it_is_too_old(line: Line) -> None:
    line.guest.sendall(b"one\ntwo\n")
    assert line.console.wait_for("two", 2.0)
    assert line.console.wait_for("one", 0.0)
    assert line.console.wait_for("one", 0.05, since=1) is None


def test_waiting_ends_with_the_time(line: Line) -> None:
    start = time.monotonic()
    assert line.console.wait_for("never", 0.1) is None
    assert time.monotonic() - start < 1


def test_waiting_ends_when_nothing_comes_any_more(line: Line) -> None:
    line.guest.sendall(b"something\n")
    start = time.monotonic()
    assert line.console.wait_for("never", 10.0, stall=0.2) is None
    assert time.monotonic() - start < 2


def test_news_puts_a_stall_off(line: Line) -> None:
    def speak() -> None:
        for _ in range(5):
            time.sleep(0.1)
            line.guest.sendall(b"working\n")
        line.guest.sendall(b"done\n")

    threading.Thread(target=speak).start()
    assert line.console.wait_for("done", 10.0, stall=0.4)


def test_waiting_ends_with_the_console(line: Line) -> None:
    threading.Timer(0.05, line.guest.close).start()
    start = time.monotonic()
    assert line.console.wait_for("never", 10.0) is None
    assert time.monotonic() - start < 2


def test_silence_is_told_once(line: Line) -> None:
    line.guest.sendall(b"word\n")
    time.sleep(0.4)
    assert len(line.silences) == 1
    line.guest.sendall(b"word\n")
    time.sleep(0.2)
    assert len(line.silences) == 2


def test_bytes_that_are_no_text_do_no_harm(line: Line) -> None:
    line.guest.sendall(b"\xff\xfe\x00\x1b[0m\n")
    assert line.console.wait_for(".", 2.0)
    assert len(line.told) == 1


def test_typing_reaches_the_guest(line: Line) -> None:
    line.console.send(b"w")
    assert line.guest.recv(10) == b"w"


def test_typing_to_a_dead_guest_is_no_error(line: Line) -> None:
    line.guest.close()
    line.console.join()
    line.console.send(b"w")
    assert line.console.ended and line.told == []


def test_a_full_disk_is_told_and_reading_goes_on(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    guest = GuestEnd()
    told: list[str] = []
    console = Console(guest.line, Path("/dev/full"), told.append)
    guest.sendall(b"one\ntwo\n")
    assert console.wait_for("two", 5.0)
    with pytest.raises(MachineError, match="No space left"):
        console.check()
    guest.close()
    console.join()
    console.close()
    assert told == ["one", "two"]


def test_a_handler_that_fails_does_not_stop_the_reader(tmp_path: Path) -> None:
    def fail(line: str) -> None:
        raise ValueError(line)

    guest = GuestEnd()
    console = Console(guest.line, tmp_path / "log", fail)
    guest.sendall(b"one\ntwo\n")
    assert console.wait_for("two", 5.0)
    with pytest.raises(InternalError, match="one"):
        console.check()
    guest.close()
    console.join()
    console.close()
