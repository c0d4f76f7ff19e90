# SPDX-License-Identifier: GPL-2.0-only
"""The client of QEMU's gdbstub: against what real ones said, and against a stub that misbehaves."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.debugger.gdb_remote import (
    MAX_READ_BYTES,
    Registers,
    Remote,
    StubError,
    StubTimeoutError,
    frame,
    parse_stop,
)
from tests.debugger.fake_stub import Cpu, PlayedStub, packed, replay
from tests.support.limits import HUNG_S, NEVER_S, SOON_S
from tools import record_gdb

DATA = Path(__file__).with_name("data")


@pytest.mark.parametrize(
    ("recording", "schedule_idle"),
    [
        ("qemu-7.2.txt", 0xFFFFFFFF813BD6F0),
        ("qemu-10.0.txt", 0xFFFFFFFF814193D0),
        ("qemu-11.1.txt", 0xFFFFFFFF814193D0),
    ],
)
def test_the_exchange_with_a_real_qemu_comes_out_again(recording: str, schedule_idle: int) -> None:
    remote, thread, wrong = replay(DATA / recording)
    record_gdb.exercise(remote, schedule_idle)
    thread.join()
    assert wrong == []


def test_a_frame_is_the_body_and_its_sum() -> None:
    assert frame("?") == b"$?#3f"
    assert frame("OK") == b"$OK#9a"


@pytest.mark.parametrize(
    ("text", "cpu"),
    [
        ("T05thread:p01.02;", 1),
        ("T02thread:01;", 0),
        ("S05", 0),
        ("T05thread:p01.0b;", 10),
    ],
)
def test_stop_replies(text: str, cpu: int) -> None:
    assert parse_stop(text) == cpu


def test_what_is_no_stop_reply_is_refused() -> None:
    with pytest.raises(StubError, match="not a stop reply"):
        parse_stop("OK")
    with pytest.raises(StubError, match="QEMU has ended"):
        parse_stop("W00")


def test_registers_have_names() -> None:
    said = packed({"rip": 0x1234, "rdi": 7, "rsi": 8, "cs": 0x33, "cr3": 0x5000, "r15": 15})
    registers = Registers.parse(said)
    assert registers.pc == 0x1234 and registers.user
    assert (registers.argument(1), registers.argument(2)) == (7, 8)
    assert registers["cr3"] == 0x5000 and registers["r15"] == 15


def test_registers_that_are_cut_off_are_refused() -> None:
    with pytest.raises(StubError, match="no registers"):
        Registers.parse("00" * 40)
    with pytest.raises(StubError, match="hexadecimal"):
        Registers.parse("xx" * 400)


def test_the_kernel_runs_without_privilege_bits() -> None:
    assert not Registers.parse(packed({"cs": 0x10})).user


@pytest.fixture
def pair() -> Iterator[tuple[Remote, socket.socket]]:
    ours, theirs = socket.socketpair()
    theirs.settimeout(HUNG_S)
    remote = Remote(ours)
    yield remote, theirs
    remote.close()
    theirs.close()


def test_a_packet_with_a_wrong_sum_is_asked_for_again(
    pair: tuple[Remote, socket.socket],
) -> None:
    remote, theirs = pair
    theirs.sendall(b"+$OK#00$OK#9a")
    remote.remove(0x1000)
    assert theirs.recv(100) == frame("z1,1000,1") + b"-+"


def test_a_refusal_is_an_error(pair: tuple[Remote, socket.socket]) -> None:
    remote, theirs = pair
    theirs.sendall(b"+$E22#a9")
    with pytest.raises(StubError, match="refused: E22"):
        remote.insert(0x1000)


def test_what_qemu_does_not_know_is_an_error(pair: tuple[Remote, socket.socket]) -> None:
    remote, theirs = pair
    theirs.sendall(b"+$#00")
    with pytest.raises(StubError, match="not supported"):
        remote.insert(0x1000)


def test_a_stub_without_processes_cannot_be_used(pair: tuple[Remote, socket.socket]) -> None:
    remote, theirs = pair
    theirs.sendall(b"+" + frame("PacketSize=1000"))
    with pytest.raises(StubError, match="does not know of processes"):
        remote.attach(NEVER_S)


def test_a_stub_that_says_nothing_is_given_up(pair: tuple[Remote, socket.socket]) -> None:
    remote, _ = pair
    with pytest.raises(StubTimeoutError):
        remote.attach(SOON_S)


def test_a_stub_that_goes_away_is_an_error(pair: tuple[Remote, socket.socket]) -> None:
    remote, theirs = pair
    theirs.close()
    with pytest.raises(StubError, match=r"gone|closed"):
        remote.registers(0)


def test_nothing_is_asked_while_the_guest_runs(pair: tuple[Remote, socket.socket]) -> None:
    """Any byte would stop it, and the answer would be taken for something else."""
    remote, theirs = pair
    remote.resume([0])
    theirs.recv(100)
    with pytest.raises(StubError, match="while the guest runs"):
        remote.registers(0)
    with pytest.raises(StubError, match="runs already"):
        remote.resume([0])
    assert remote.wait(SOON_S) is None


def test_a_stop_that_crosses_an_interrupt_counts_once(
    pair: tuple[Remote, socket.socket],
) -> None:
    remote, theirs = pair
    remote.resume([0, 1])
    theirs.sendall(b"+" + frame("T05thread:p01.02;"))  # on its way when we say stop
    assert remote.interrupt() == 1
    assert not remote.running


def test_only_the_named_cpus_are_let_go() -> None:
    stub = PlayedStub([Cpu([]), Cpu([]), Cpu([])])
    try:
        stub.remote.attach(NEVER_S)
        assert stub.remote.cpus() == (0, 1, 2)
        stub.remote.resume([0, 2])
        assert stub.remote.interrupt() == 0
        assert stub.log[-1] == "vCont;c:p01.01;c:p01.03"
    finally:
        stub.close()


def test_nobody_cannot_be_let_go(pair: tuple[Remote, socket.socket]) -> None:
    with pytest.raises(StubError, match="nobody"):
        pair[0].resume([])


def test_a_socket_that_nobody_listens_at_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StubError, match="no stub"):
        Remote.connect(tmp_path / "nothing")


def test_physical_memory_is_asked_for_as_such_once() -> None:
    memory = {0x1000 + 8 * n: n for n in range(512)}
    stub = PlayedStub([Cpu([])], memory)
    try:
        data = stub.remote.read_physical(0x1008, MAX_READ_BYTES)
        assert data[:8] == (1).to_bytes(8, "little") and len(data) == MAX_READ_BYTES
        stub.remote.read_physical(0, 8)
        assert stub.log == ["Qqemu.PhyMemMode:1", "m1008,800", "m0,8"]
    finally:
        stub.close()
