# SPDX-License-Identifier: GPL-2.0-only
"""A guest that means harm: floods, lines without an end, garbage in place of SSH.

Memory stays bounded, and whoever asks gets an answer in time.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness.vm import channel, serial_dialogue
from harness.vm import console as console_module
from harness.vm.channel import SshError
from harness.vm.console import Console
from harness.vm.serial_dialogue import SerialDialogue
from harness.vm.ssh import Connection, KeyPair
from tests.support.limits import NEVER_S
from tests.vm.fake_serial import GuestEnd

FLOOD_BYTES = 100 << 20
CHUNK_BYTES = 1 << 20
MAX_GROWTH_BYTES = 48 << 20
HOST_KEY = "ssh-ed25519 AAAA"


@dataclass
class Heard:
    """The recogniser's place: how much it was given, and the longest line."""

    lines: int = 0
    longest: int = 0
    last: list[str] = field(default_factory=list)

    def line(self, line: str | None) -> None:
        if line is not None:
            self.lines += 1
            self.longest = max(self.longest, len(line))
            self.last = [line]


@pytest.fixture
def memory() -> Iterator[Callable[[], int]]:
    """The highest that Python has held since the test began, in bytes."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


@pytest.mark.parametrize("filling", [b"x", b"0123456789abcde\n", b"\0"])
def test_a_flood_on_the_console_is_judged_and_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: Callable[[], int], filling: bytes
) -> None:
    monkeypatch.setattr(console_module, "MAX_LOG_BYTES", 4 << 20)
    guest, heard = GuestEnd(), Heard()
    console = Console(guest.line, tmp_path / "console.log", heard.line)
    chunk = filling * (CHUNK_BYTES // len(filling))
    for _ in range(FLOOD_BYTES // CHUNK_BYTES):
        guest.sendall(chunk)
    guest.sendall(b"\nthe last word\n")
    assert console.wait_for("^the last word$", NEVER_S)
    assert heard.longest <= 2 * console_module.LONGEST
    assert console.count == heard.lines and len(console.lines) <= heard.lines
    assert memory() < MAX_GROWTH_BYTES
    assert (tmp_path / "console.log").stat().st_size < 5 << 20
    guest.close()
    console.close()


def test_what_is_kept_is_found_by_the_index_it_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console_module, "MAX_KEPT_BYTES", 10 * 65)
    guest = GuestEnd()
    console = Console(guest.line, tmp_path / "console.log", lambda line: None)
    guest.sendall(b"".join(b"%d\n" % (n % 10) for n in range(25)) + b"end\n")
    assert console.wait_for("end", NEVER_S)
    assert console.count == 26 and console.lines[-2:] == ["4", "end"] and len(console.lines) == 9
    assert console.text(24) == "4\nend" and console.text(0) == console.text(17)
    assert console.wait_for("4", 0.0, since=25) is None and console.wait_for("4", 0.0, since=24)
    guest.close()
    console.close()


def test_a_flood_is_no_answer_on_the_serial_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serial_dialogue, "MAX_HEARD_BYTES", 1 << 20)
    guest = GuestEnd()
    console = Console(guest.line, tmp_path / "console.log", lambda line: None)
    over = threading.Event()

    def flood() -> None:
        while not over.is_set():
            guest.sendall(b"x" * 4096)

    flooding = threading.Thread(target=flood)
    with SerialDialogue(console) as line:
        flooding.start()
        assert not line.comes("harness: here", NEVER_S)
    over.set()
    flooding.join()
    guest.close()
    console.close()


class _Garbage:
    """A server that says ``first``, and then ``more`` for ever; until the other end hangs up."""

    def __init__(self, first: bytes, more: bytes) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self._said = first, more
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        first, more = self._said
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                with connection, contextlib.suppress(OSError):
                    connection.sendall(first)
                    while more:
                        connection.sendall(more)
                    connection.recv(1)

    def close(self) -> None:
        self._server.close()


BANNER = b"SSH-2.0-guest\r\n"


@pytest.mark.parametrize(
    ("first", "more"),
    [
        (b"SSH-", b"x" * 4096),  # a banner without an end
        (BANNER, b"\xff" * 4096),  # a packet of 4 GiB
        (BANNER, b"\0" * 4096),
        (BANNER + b"\x7f\xff\xff\xf4", b"y" * 4096),  # of 2 GiB, of a length that is a block's
        (b"\0" * 64, b"\0" * 4096),  # no banner at all
    ],
)
def test_garbage_in_place_of_ssh_is_a_lost_connection(
    memory: Callable[[], int], first: bytes, more: bytes
) -> None:
    server = _Garbage(first, more)
    with pytest.raises(SshError):
        Connection.open(server.port, KeyPair.generate(), HOST_KEY, 2.0)
    assert memory() < MAX_GROWTH_BYTES
    server.close()


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_case_that_knows_the_mark_fills_no_memory(end: bytes) -> None:
    stream = channel._Stream(b"mark")
    stream.add(b"said mark" + b"9" * 1000 + end)
    for _ in range(100):
        stream.add(b"x" * CHUNK_BYTES)
    assert stream.text() == "said " and stream.after == "9" * channel.MAX_AFTER_BYTES
    assert len(stream._tail) < 2000
