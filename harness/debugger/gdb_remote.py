# SPDX-License-Identifier: GPL-2.0-only
"""A client of QEMU's gdbstub: the remote serial protocol, as far as holding CPUs needs it.

What differs from a textbook's client, and was learnt from QEMU 7.2:

* Connecting stops the guest, and the stub announces it (``T02thread:01;``) before
  anything was asked. That stop is read and dropped.
* There is no QStartNoAckMode: each packet is acknowledged. No byte may be sent while
  the guest runs, for any byte stops it; an acknowledgement goes out with the stop.
* CPUs are threads of one process, ``p01.01`` for CPU 0, once ``multiprocess+`` is agreed on.
* All CPUs stop when one does, and ``vCont`` lets only those go on that it names.
* Of what is asked here nothing comes with escapes or run-length encoding.

Source: gdb/doc "Remote Protocol"; gdbstub.c of QEMU 7.2.
"""

from __future__ import annotations

import re
import socket
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 10.0  # for a stopped guest's stub
MAX_READ_BYTES = 2048  # of memory in one answer
INTERRUPT = b"\x03"
SIGINT, SIGTRAP = 2, 5
# A `g` packet: registers of 8 bytes each, rip after these; then rflags and segments, 4 each.
GENERAL = ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp")
EXTENDED = tuple(f"r{n}" for n in range(8, 16))
SEGMENTS = ("cs", "ss", "ds", "es", "fs", "gs")
CONTROL = ("fs_base", "gs_base", "k_gs_base", "cr0", "cr2", "cr3")  # 8 each, behind those
_REGISTERS = struct.Struct("<17Q7I6Q")
ARGUMENTS = ("rdi", "rsi", "rdx", "rcx", "r8", "r9")  # of the System V ABI for x86-64


class StubError(Exception):
    """The stub refused, spoke nonsense, or is gone."""


class StubTimeoutError(StubError):
    """It did not answer in time."""


@dataclass(frozen=True)
class Stop:
    """The guest stopped: ``signal`` 5 at a breakpoint or step, 2 when told to; ``cpu`` from 0."""

    signal: int
    cpu: int


@dataclass(frozen=True)
class Registers:
    """One CPU's integer registers."""

    values: dict[str, int]

    @classmethod
    def parse(cls, text: str) -> Registers:
        """The answer to ``g`` of an x86-64 stub.

        Raises:
            StubError: it is too short, or no hexadecimal digits.
        """
        try:
            data = bytes.fromhex(text[: _REGISTERS.size * 2])
        except ValueError as error:
            raise StubError(f"registers are not hexadecimal: {text[:40]!r}") from error
        if len(data) < _REGISTERS.size:
            raise StubError(f"{len(data)} bytes of registers, {_REGISTERS.size} are needed")
        names = (*GENERAL, *EXTENDED, "rip", "eflags", *SEGMENTS, *CONTROL)
        return cls(dict(zip(names, _REGISTERS.unpack(data), strict=True)))

    def __getitem__(self, name: str) -> int:
        return self.values[name]

    @property
    def pc(self) -> int:
        """The address of the next instruction."""
        return self["rip"]

    @property
    def user(self) -> bool:
        """Whether the CPU runs user code (the lowest bits of cs are its privilege)."""
        return self["cs"] & 3 == 3

    def argument(self, number: int) -> int:
        """An integer argument, 1 to 6, valid on entry to a function."""
        return self[ARGUMENTS[number - 1]]


def checksum(body: bytes) -> int:
    """The two digits behind ``#``."""
    return sum(body) & 0xFF


def frame(body: str) -> bytes:
    """A packet as it goes over the wire."""
    data = body.encode("ascii")
    return b"$" + data + b"#%02x" % checksum(data)


_PACKET = re.compile(rb"(?s)\$(?P<body>[^#]*)#(?P<sum>..)")
_STOP = re.compile(
    r"^[TS](?P<signal>[0-9a-f]{2})(?:.*?thread:(?:p[0-9a-f]+\.)?(?P<thread>[0-9a-f]+);)?"
)


def parse_stop(text: str) -> Stop:
    """A stop reply.

    Raises:
        StubError: it is none, or says that QEMU has ended.
    """
    match = _STOP.match(text)
    if match is None:
        ended = text[:1] in ("W", "X")
        raise StubError("QEMU has ended" if ended else f"not a stop reply: {text!r}")
    return Stop(int(match["signal"], 16), int(match["thread"] or "1", 16) - 1)


def thread_name(cpu: int) -> str:
    """What the stub calls a CPU."""
    return f"p01.{cpu + 1:02x}"


class Remote:
    """One connection to a stub. The guest is stopped when it has been made.

    Args:
        connection: a connected socket.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._buffer = b""
        self._physical = False
        self._selected: int | None = None
        self.running = False

    @classmethod
    def connect(cls, path: Path) -> Remote:
        """Connects to a stub that listens at ``path``; the guest stops.

        Raises:
            StubError: nobody listens there, or it does not speak the protocol.
        """
        remote = cls(socket.socket(socket.AF_UNIX))
        try:
            remote._socket.settimeout(CONNECT_TIMEOUT_S)
            remote._socket.connect(str(path))
            remote.attach()
        except (OSError, StubError) as error:
            remote.close()
            raise StubError(f"no stub at {path}: {error}") from error
        return remote

    def attach(self, timeout: float = CONNECT_TIMEOUT_S) -> None:
        """Agrees on the protocol. A stop that was announced before is dropped.

        Raises:
            StubError: it does not speak the protocol.
        """
        deadline = time.monotonic() + timeout
        self._write(frame("qSupported:multiprocess+;swbreak+;hwbreak+"))
        while _STOP.match(answer := self._receive(deadline)):
            pass
        if "multiprocess+" not in answer:
            raise StubError(f"the stub does not know of processes: {answer!r}")
        parse_stop(self._ask("?", deadline))

    def close(self) -> None:
        """Ends the connection; the guest stays as it is."""
        self._socket.close()

    # ---- packets -----------------------------------------------------------------

    def _write(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise StubError(f"the stub is gone: {error}") from error

    def _receive(self, deadline: float) -> str:
        """The next packet, acknowledged; acknowledgements of ours are skipped."""
        while True:
            while (match := _PACKET.search(self._buffer)) is None:
                try:
                    # Where a deadline has passed, what has come by then still counts.
                    self._socket.settimeout(max(0.001, deadline - time.monotonic()))
                    more = self._socket.recv(65536)
                except TimeoutError as error:
                    raise StubTimeoutError("the stub does not answer") from error
                except OSError as error:
                    raise StubError(f"the stub is gone: {error}") from error
                if not more:
                    raise StubError("the stub has closed the connection")
                self._buffer += more
            self._buffer = self._buffer[match.end() :]
            intact = match["sum"] == b"%02x" % checksum(match["body"])
            self._write(b"+" if intact else b"-")
            if intact:
                return match["body"].decode("latin-1")

    def _ask(self, body: str, deadline: float | None = None) -> str:
        if self.running:
            raise StubError(f"{body!r} cannot be asked while the guest runs")
        self._write(frame(body))
        return self._receive(deadline or time.monotonic() + ANSWER_TIMEOUT_S)

    def _order(self, body: str) -> None:
        answer = self._ask(body)
        if answer != "OK":
            raise StubError(f"{body!r} was refused: {answer or 'not supported'}")

    # ---- a stopped guest -----------------------------------------------------------

    def cpus(self) -> tuple[int, ...]:
        """The CPUs that the stub shows, from 0."""
        found: list[int] = []
        answer = self._ask("qfThreadInfo")
        while answer.startswith("m"):
            found += [int(name.rpartition(".")[2], 16) - 1 for name in answer[1:].split(",")]
            answer = self._ask("qsThreadInfo")
        return tuple(found)

    def registers(self, cpu: int) -> Registers:
        """The registers of one CPU."""
        if self._selected != cpu:
            self._order(f"Hg{thread_name(cpu)}")
            self._selected = cpu
        return Registers.parse(self._ask("g"))

    def read_physical(self, address: int, size: int) -> bytes:
        """Guest memory at a physical address, whatever any CPU has mapped.

        Args:
            size: in bytes, MAX_READ_BYTES at most.

        Raises:
            StubError: there is no memory at that place.
        """
        if not self._physical:
            self._order("Qqemu.PhyMemMode:1")
            self._physical = True
        answer = self._ask(f"m{address:x},{size:x}")
        if len(answer) != 2 * size:
            raise StubError(f"no memory at {address:#x}: {answer!r}")
        return bytes.fromhex(answer)

    def insert(self, address: int) -> None:
        """Sets a hardware breakpoint: it leaves the guest's memory as it is.

        Raises:
            StubError: there are no more (four under KVM, as many as one likes under TCG).
        """
        self._order(f"Z1,{address:x},1")

    def remove(self, address: int) -> None:
        """Takes a breakpoint away."""
        self._order(f"z1,{address:x},1")

    def detach(self) -> None:
        """Takes all breakpoints away and lets the guest go on by itself; ends the connection."""
        try:
            if self.running:
                self.interrupt()
            self._ask("D;1")
        finally:
            self.close()

    # ---- letting go and stopping -----------------------------------------------------

    def _let_go(self, actions: str) -> None:
        if self.running:
            raise StubError("the guest runs already")
        self._write(frame(f"vCont{actions}"))
        self.running = True

    def resume(self, cpus: Iterable[int]) -> None:
        """Lets these CPUs go on, and no other.

        Raises:
            StubError: there is none, or the guest runs already.
        """
        if not (actions := "".join(f";c:{thread_name(cpu)}" for cpu in cpus)):
            raise StubError("nobody to let go")
        self._let_go(actions)

    def step(self, cpu: int) -> Stop:
        """Has one CPU execute one instruction, interrupts held off, while the others stand."""
        self._let_go(f";s:{thread_name(cpu)}")
        return self._stopped(ANSWER_TIMEOUT_S)

    def wait(self, timeout: float) -> Stop | None:
        """Waits for the guest to stop; None if it still runs after ``timeout`` seconds."""
        try:
            return self._stopped(timeout)
        except StubTimeoutError:
            return None

    def interrupt(self) -> Stop:
        """Stops the guest. It may have stopped by itself just before: see the signal."""
        self._write(INTERRUPT)
        return self._stopped(ANSWER_TIMEOUT_S)

    def _stopped(self, timeout: float) -> Stop:
        stop = parse_stop(self._receive(time.monotonic() + timeout))
        self.running = False
        self._selected = None  # the stub has chosen one by itself
        return stop
