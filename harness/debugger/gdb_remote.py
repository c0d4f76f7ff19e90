# SPDX-License-Identifier: GPL-2.0-only
"""A client of QEMU's gdbstub: the remote serial protocol, as far as holding CPUs needs it.

What differs from a textbook's client, and was learnt from QEMU 7.2, 10.0 and 11.1:

* Connecting stops the guest, and the stub of 7.2 announces it (``T02thread:01;``) before
  anything was asked. That stop is read and dropped. To ``?`` 11.1 names no CPU (``T05core:01;``).
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
from pathlib import Path

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 10.0  # for a stopped guest's stub
MAX_READ_BYTES = 2048  # of memory in one answer
INTERRUPT = b"\x03"
# A `g` packet, as far as it matters here.
REGISTERS = (
    *("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp"),
    *(f"r{number}" for number in range(8, 16)),
    *("rip", "eflags", "cs", "ss", "ds", "es", "fs", "gs"),
    *("fs_base", "gs_base", "k_gs_base", "cr0", "cr2", "cr3"),
)
REGISTERS_FORMAT = struct.Struct("<17Q7I6Q")
ARGUMENTS = ("rdi", "rsi", "rdx", "rcx", "r8", "r9")  # of the System V ABI for x86-64


class StubError(Exception):
    """The stub refused, spoke nonsense, or is gone."""


class StubTimeoutError(StubError):
    """It did not answer in time."""


class Registers(dict[str, int]):
    """One CPU's integer registers by their names."""

    @classmethod
    def parse(cls, text: str) -> Registers:
        """The answer to ``g`` of an x86-64 stub. StubError: too short, or not hexadecimal."""
        try:
            values = REGISTERS_FORMAT.unpack(bytes.fromhex(text[: REGISTERS_FORMAT.size * 2]))
        except (ValueError, struct.error) as error:
            raise StubError(f"these are no registers: {text[:40]!r}: {error}") from error
        return cls(zip(REGISTERS, values, strict=True))

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


def frame(body: str) -> bytes:
    """A packet as it goes over the wire: its body and the sum of that."""
    data = body.encode("latin-1")
    return b"$%b#%02x" % (data, sum(data) & 0xFF)


_PACKET = re.compile(rb"(?s)\$([^#]*)#..")
_STOP = re.compile(r"[TS][0-9a-f]{2}(?:.*?thread:(?:p[0-9a-f]+\.)?([0-9a-f]+);)?")


def parse_stop(text: str) -> int:
    """The CPU, from 0, of a stop reply. StubError: it is none, or says that QEMU has ended."""
    match = _STOP.match(text)
    if match is None:
        ended = text[:1] in ("W", "X")
        raise StubError("QEMU has ended" if ended else f"not a stop reply: {text!r}")
    return int(match[1] or "1", 16) - 1


def thread_name(cpu: int) -> str:
    """What the stub calls a CPU."""
    return f"p01.{cpu + 1:02x}"


class Remote:
    """One connection to a stub, by a connected socket. The guest stops when it is made."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._buffer = b""
        self._physical = False
        self._selected: int | None = None
        self.running = False

    @classmethod
    def connect(cls, path: Path) -> Remote:
        """Connects to a stub that listens at ``path``. StubError: none does, or as ``attach``."""
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
        """Agrees on the protocol, drops a stop that was announced. StubError: it is another."""
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
            body = match[1].decode("latin-1")
            if match[0] == frame(body):
                self._write(b"+")
                return body
            self._write(b"-")

    def _ask(self, body: str, deadline: float | None = None) -> str:
        if self.running:
            raise StubError(f"{body!r} cannot be asked while the guest runs")
        self._write(frame(body))
        return self._receive(deadline or time.monotonic() + ANSWER_TIMEOUT_S)

    def _order(self, body: str) -> None:
        answer = self._ask(body)
        if answer != "OK":
            raise StubError(f"{body!r} was refused: {answer or 'not supported'}")

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
        """Guest memory at a physical address, whatever any CPU has mapped. StubError: none there.

        Args:
            size: in bytes, MAX_READ_BYTES at most.
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

        StubError: there are no more (four under KVM, as many as one likes under TCG).
        """
        self._order(f"Z1,{address:x},1")

    def remove(self, address: int) -> None:
        """Takes a breakpoint away."""
        self._order(f"z1,{address:x},1")

    def watch(self, address: int, size: int) -> None:
        """Stops the guest behind each instruction that writes there; ``size``: in bytes, 8 at most.

        The address is a virtual one, and so is what is watched: not the memory behind it.
        """
        self._order(f"Z2,{address:x},{size:x}")

    def detach(self) -> None:
        """Takes all breakpoints away and lets the guest go on by itself; ends the connection."""
        try:
            if self.running:
                self.interrupt()
            self._ask("D;1")
        finally:
            self.close()

    def _let_go(self, actions: str) -> None:
        if self.running:
            raise StubError("the guest runs already")
        self._write(frame(f"vCont{actions}"))
        self.running = True

    def resume(self, cpus: Iterable[int]) -> None:
        """Lets these CPUs go on, and no other. StubError: none named, or the guest runs already."""
        if not (actions := "".join(f";c:{thread_name(cpu)}" for cpu in cpus)):
            raise StubError("nobody to let go")
        self._let_go(actions)

    def step(self, cpu: int) -> int:
        """Has one CPU execute one instruction, interrupts held off, while the others stand."""
        self._let_go(f";s:{thread_name(cpu)}")
        return self._stopped(ANSWER_TIMEOUT_S)

    def wait(self, timeout: float) -> int | None:
        """The CPU that stopped the guest; None if it still runs after ``timeout`` seconds."""
        try:
            return self._stopped(timeout)
        except StubTimeoutError:
            return None

    def interrupt(self) -> int:
        """Stops the guest; the CPU that did, for it may have stopped by itself just before."""
        self._write(INTERRUPT)
        return self._stopped(ANSWER_TIMEOUT_S)

    def _stopped(self, timeout: float) -> int:
        cpu = parse_stop(self._receive(time.monotonic() + timeout))
        self.running = False
        self._selected = None  # the stub has chosen one by itself
        return cpu
