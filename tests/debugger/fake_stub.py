# SPDX-License-Identifier: GPL-2.0-only
"""Stand-ins for QEMU's gdbstub: one that replays a recording, and one that plays a guest.

The second one knows just enough of a machine: CPUs whose program counters go through a
script of addresses, breakpoints at which they stop, physical memory.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import struct
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from harness.debugger.gdb_remote import REGISTERS, REGISTERS_FORMAT, Remote, frame
from tests.support.limits import HUNG_S, NEVER_S

USER, KERNEL = 0x33, 0x10


def replay(recording: Path) -> tuple[Remote, threading.Thread, list[str]]:
    """A client, and a thread that answers it as the recording says; what differed is listed."""
    ours, theirs = socket.socketpair()
    wrong: list[str] = []

    def run() -> None:
        theirs.settimeout(HUNG_S)
        for line in recording.read_text().splitlines():
            data = line[2:].encode().decode("unicode_escape").encode("latin-1")
            if line.startswith("<"):
                theirs.sendall(data)
                continue
            got = b""
            while len(got) < len(data):
                try:
                    more = theirs.recv(len(data) - len(got))
                except TimeoutError:
                    more = b""
                if not more:
                    break
                got += more
            if got != data:
                wrong.append(f"expected {data!r}, got {got!r}")
                theirs.close()
                return

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return Remote(ours), thread, wrong


@dataclass
class Cpu:
    """``path``: what it goes through when it runs; it stays at the last one.

    An item is an address, registers, or a function that is called to make registers when the
    CPU comes there.
    """

    path: list[dict[str, int] | Callable[[], dict[str, int]]]
    registers: dict[str, int] = field(default_factory=dict)
    stepped: bool = False

    def advance(self) -> bool:
        """The next thing in its life; False where there is none."""
        if not self.path:
            return False
        item = self.path.pop(0)
        self.registers = item() if callable(item) else item
        return True


class _PlayedRemote(Remote):
    """Waits for what the played guest does, however long that takes its stub.

    ``now``: time passes only while the guest runs for ever, and as much of it as is waited.
    """

    def __init__(self, connection: socket.socket, settled: queue.SimpleQueue[bool]) -> None:
        super().__init__(connection)
        self.now = 0.0
        self._settled = settled
        self._stops = False

    def resume(self, cpus: Iterable[int]) -> None:
        super().resume(cpus)
        self._stops = self._settled.get()

    def wait(self, timeout: float) -> int | None:
        if self._stops:
            return super().wait(NEVER_S)
        self.now += timeout
        return None


class PlayedStub:
    """A stub whose guest follows a script. ``memory``: words by physical address.

    ``ends``: QEMU has ended when the script has. A state with ``wrote`` is behind a write there.
    """

    def __init__(self, cpus: list[Cpu], memory: dict[int, int] | None = None) -> None:
        self.cpus = cpus
        self.memory = memory or {}
        self.breakpoints: set[int] = set()
        self.watched: set[int] = set()
        self.ends = False
        self.log: list[str] = []
        self.refuse: set[str] = set()
        ours, self._socket = socket.socketpair()
        self._settled: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self.remote = _PlayedRemote(ours, self._settled)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def clock(self) -> float:
        """Seconds for which its guest has run."""
        return self.remote.now

    def close(self) -> None:
        self.remote.close()
        self.thread.join(HUNG_S)

    # ---- the wire --------------------------------------------------------------------

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # the other end is closed
            self._run()

    def _run(self) -> None:
        buffer = b""
        while data := self._socket.recv(65536):
            if b"\x03" in data:
                self._send("T02thread:p01.01;")
                data = data.replace(b"\x03", b"")
            buffer += data
            while b"#" in buffer and len(buffer) >= buffer.index(b"#") + 3:
                end = buffer.index(b"#")
                body = buffer[buffer.index(b"$") + 1 : end].decode()  # behind acknowledgements
                assert buffer[: end + 3].endswith(frame(body))
                buffer = buffer[end + 3 :]
                self._answer(body)

    def _send(self, body: str) -> None:
        self._socket.sendall(b"+" + frame(body))

    def _answer(self, body: str) -> None:
        self.log.append(body)
        if any(body.startswith(prefix) for prefix in self.refuse):
            return self._send("E22")
        if body.startswith("qSupported"):
            return self._send("PacketSize=1000;vContSupported+;multiprocess+")
        if body == "?":
            return self._send("T05thread:p01.01;")
        if body == "qfThreadInfo":
            names = ",".join(f"p01.{n + 1:02x}" for n in range(len(self.cpus)))
            return self._send(f"m{names}")
        if body == "qsThreadInfo":
            return self._send("l")
        if body.startswith("Hgp01."):
            self._selected = int(body[6:], 16) - 1
            return self._send("OK")
        if body == "g":
            return self._send(packed(self.cpus[self._selected].registers))
        if body.startswith("m"):
            at, size = (int(word, 16) for word in body[1:].split(","))
            return self._send(self._memory(at, size).hex())
        if body.startswith("Z1,"):
            self.breakpoints.add(int(body.split(",")[1], 16))
            return self._send("OK")
        if body.startswith("Z2,"):
            self.watched.add(int(body.split(",")[1], 16))
            return self._send("OK")
        if body.startswith("z1,"):
            self.breakpoints.discard(int(body.split(",")[1], 16))
            return self._send("OK")
        if body.startswith("vCont;s:"):
            cpu = int(body.rpartition(".")[2], 16) - 1
            self.cpus[cpu].stepped = True
            return self._send(f"T05thread:p01.{cpu + 1:02x};")
        if body.startswith("vCont;c"):
            named = [int(word.rpartition(".")[2], 16) - 1 for word in body.split(";")[1:]]
            return self._settled.put(self._resume(named))
        return self._send("OK")

    def _memory(self, at: int, size: int) -> bytes:
        words = range(at - at % 8, at + size, 8)
        return b"".join(struct.pack("<Q", self.memory.get(word, 0)) for word in words)[:size]

    def _resume(self, named: list[int]) -> bool:
        """Each named CPU goes on until one stands at a breakpoint; else (False) for ever."""
        self._socket.sendall(b"+")
        moved = True
        first = True
        while moved:
            moved = False
            for number in named:
                cpu = self.cpus[number]
                at = cpu.registers.get("rip", 0)
                if first and at in self.breakpoints and not cpu.stepped:
                    return self._stop(number)
                if cpu.advance():
                    cpu.stepped = False
                    moved = True
                    wrote = cpu.registers.get("wrote") in self.watched
                    if wrote or cpu.registers["rip"] in self.breakpoints:
                        return self._stop(number)
            first = False
        if self.ends:
            self._socket.sendall(frame("W00"))
        return self.ends

    def _stop(self, number: int) -> bool:
        self._socket.sendall(frame(f"T05thread:p01.{number + 1:02x};"))
        return True


def packed(registers: dict[str, int]) -> str:
    """The answer to ``g``."""
    values = {"eflags": 0x202} | registers
    return REGISTERS_FORMAT.pack(*(values.get(name, 0) for name in REGISTERS)).hex()
