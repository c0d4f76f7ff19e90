# SPDX-License-Identifier: GPL-2.0-only
"""Commands over SSH, against a server of our own on 127.0.0.1."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import paramiko
import pytest

from harness import ssh_streams
from harness.ssh import (
    Connection,
    KeyPair,
    SshError,
    command_line,
    connect_socket,
)
from harness.ssh_streams import CommandTimeoutError
from tests.fake_sshd import FakeSshd, shell_like

KEYS = KeyPair.generate()


def hanging(command: str, channel: paramiko.Channel) -> int | None:
    """'hang': prints and does not end; 'forget': ends without a status; 'drop': dies."""
    if command == "hang":
        channel.sendall(b"so far")
        channel.sendall_stderr(b"and wrong")
        time.sleep(30)
    if command == "drop":
        channel.get_transport().close()
    return None if command == "forget" else shell_like(command, channel)


@pytest.fixture
def sshd() -> Iterator[FakeSshd]:
    server = FakeSshd(KEYS.public, hanging)
    yield server
    server.close()


@pytest.fixture
def connection(sshd: FakeSshd) -> Iterator[Connection]:
    made = Connection.open(sshd.port, KEYS, sshd.host_key, 10.0)
    yield made
    made.close()


def test_output_and_status_come_back(connection: Connection) -> None:
    done = connection.execute("say hello", 5.0)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "hello", "")
    done = connection.execute("complain ouch", 5.0)
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", "ouch")
    assert connection.execute("exit 77", 5.0).exit_code == 77


def test_many_commands_on_one_connection(connection: Connection, sshd: FakeSshd) -> None:
    for number in range(20):
        assert connection.execute(f"exit {number}", 5.0).exit_code == number
    assert sshd.accepted == 1


def test_input_reaches_the_command_and_a_lot_comes_back(connection: Connection) -> None:
    data = b"0123456789abcdef" * 65536
    assert connection.execute("cat", 20.0, stdin=data).stdout == data.decode()


def test_a_flood_of_output_is_cut(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh_streams, "MOST", 1000)
    done = connection.execute("cat", 20.0, stdin=b"x" * 100_000)
    assert done.stdout == "x" * 1000 and done.exit_code == 0


def test_bytes_that_are_no_text_are_replaced(connection: Connection) -> None:
    assert connection.execute("cat", 5.0, stdin=b"a\xffb").stdout == "a\ufffdb"


def test_a_command_that_hangs_is_left_in_time(connection: Connection) -> None:
    start = time.monotonic()
    with pytest.raises(CommandTimeoutError) as caught:
        connection.execute("hang", 0.5)
    assert time.monotonic() - start < 3
    assert caught.value.stdout == "so far"
    assert caught.value.stderr == "and wrong"
    assert connection.execute("true", 5.0).exit_code == 0


def test_a_limit_shortens_the_wait(connection: Connection) -> None:
    start = time.monotonic()
    with pytest.raises(CommandTimeoutError):
        connection.execute("hang", 60.0, limit=lambda: 0.1)
    assert time.monotonic() - start < 3


def test_a_lost_connection_is_no_exit_status(connection: Connection) -> None:
    with pytest.raises(SshError, match="lost"):
        connection.execute("drop", 10.0)
    assert not connection.active
    with pytest.raises(SshError):
        connection.execute("true", 1.0)


def test_a_server_that_dies_meanwhile(connection: Connection, sshd: FakeSshd) -> None:
    threading.Timer(0.3, sshd.drop).start()
    start = time.monotonic()
    with pytest.raises(SshError, match="lost"):
        connection.execute("hang", 20.0)
    assert time.monotonic() - start < 5


def test_another_host_key_is_refused(sshd: FakeSshd) -> None:
    other = FakeSshd(KEYS.public)
    try:
        with pytest.raises(SshError, match="another host key"):
            Connection.open(sshd.port, KEYS, other.host_key, 10.0)
    finally:
        other.close()


def test_another_key_does_not_get_in(sshd: FakeSshd) -> None:
    with pytest.raises(SshError):
        Connection.open(sshd.port, KeyPair.generate(), sshd.host_key, 10.0)


def test_a_port_that_accepts_and_says_nothing() -> None:
    server = FakeSshd(KEYS.public, mute=True)
    try:
        start = time.monotonic()
        with pytest.raises(SshError, match="no SSH server"):
            Connection.open(server.port, KEYS, server.host_key, 1.0)
        assert time.monotonic() - start < 3
        assert server.accepted > 1  # each connection may have met a guest that was not ready
    finally:
        server.close()


def test_waiting_ends_with_the_guest() -> None:
    start = time.monotonic()
    with pytest.raises(SshError):
        connect_socket(1, 30.0, lambda: False)
    assert time.monotonic() - start < 1


def test_only_quick_algorithms_are_offered(connection: Connection) -> None:
    options = connection.transport.get_security_options()
    assert options.ciphers == ("aes128-ctr",)
    assert all(kex.startswith("curve25519") for kex in options.kex)


def test_no_key_of_the_user_is_read(sshd: FakeSshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/nonexistent")
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with_key = Connection.open(sshd.port, KEYS, sshd.host_key, 10.0)
    assert with_key.execute("true", 5.0).exit_code == 0
    with_key.close()


def test_each_key_pair_is_new() -> None:
    assert KeyPair.generate().public != KEYS.public


def test_command_lines_are_quoted() -> None:
    line = command_line(["prog", "a b", "it's"], {"NAME": "x y"})
    assert line == "NAME='x y' prog 'a b' 'it'\"'\"'s'"
