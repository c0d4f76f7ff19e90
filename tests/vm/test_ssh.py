# SPDX-License-Identifier: GPL-2.0-only
"""Commands over SSH, against a server of our own on 127.0.0.1."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import paramiko
import pytest

from harness.vm import channel as channel_module
from harness.vm import ssh
from harness.vm.channel import CommandTimeoutError, SshError
from harness.vm.ssh import Connection, KeyPair, command_line, connect_socket, login_shell
from tests.support.limits import HUNG_S, NEVER_S, SOON_S, note_streams
from tests.vm.fake_sshd import FakeSshd, shell_like

KEYS = KeyPair.generate()
needs_ssh = pytest.mark.skipif(shutil.which("ssh") is None, reason="no ssh here")


def hanging(command: str, channel: paramiko.Channel) -> int | None:
    """'hang': prints and does not end; 'forget': ends without a status; 'drop': dies."""
    if command == "hang":
        channel.sendall(b"so far")
        channel.sendall_stderr(b"and wrong")
        channel.status_event.wait()  # until it is closed
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
    made = Connection.open(sshd.port, KEYS, sshd.host_key, NEVER_S)
    yield made
    made.close()


def test_output_and_status_come_back(connection: Connection) -> None:
    done = connection.execute("say hello", NEVER_S)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "hello", "")
    done = connection.execute("complain ouch", NEVER_S)
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", "ouch")
    assert connection.execute("exit 77", NEVER_S).exit_code == 77


def test_many_commands_on_one_connection(connection: Connection, sshd: FakeSshd) -> None:
    for number in range(20):
        assert connection.execute(f"exit {number}", NEVER_S).exit_code == number
    assert sshd.accepted == 1


def test_input_reaches_the_command_and_a_lot_comes_back(connection: Connection) -> None:
    data = b"0123456789abcdef" * 65536
    assert connection.execute("cat", NEVER_S, stdin=data).stdout == data.decode()


def test_a_flood_of_output_is_cut(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "MAX_KEPT_BYTES", 1000)
    done = connection.execute("cat", NEVER_S, stdin=b"x" * 100_000)
    assert done.stdout == "x" * 1000 and done.exit_code == 0


def test_bytes_that_are_no_text_are_replaced(connection: Connection) -> None:
    assert connection.execute("cat", NEVER_S, stdin=b"a\xffb").stdout == "a\ufffdb"


def test_a_command_that_hangs_is_left_in_time(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(CommandTimeoutError):
        later = SimpleNamespace(monotonic=lambda: time.monotonic() + 2 * NEVER_S)
        patch.setattr(channel_module, "time", later)
        connection.execute("hang", NEVER_S)
    assert connection.execute("true", NEVER_S).exit_code == 0


def test_a_limit_shortens_the_wait_and_what_was_said_is_kept(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = note_streams(monkeypatch, ssh)
    said = ("so far", "and wrong")

    def limit() -> float | None:
        return SOON_S if noted[0].text() == said else None

    with pytest.raises(CommandTimeoutError) as caught:
        connection.execute("hang", NEVER_S, limit=limit)
    assert (caught.value.stdout, caught.value.stderr) == said


def test_a_lost_connection_is_no_exit_status(connection: Connection) -> None:
    with pytest.raises(SshError, match="lost"):
        connection.execute("drop", NEVER_S)
    assert not connection.transport.is_active()
    with pytest.raises(SshError):
        connection.execute("true", 1.0)


def test_a_server_that_dies_meanwhile(connection: Connection, sshd: FakeSshd) -> None:
    with pytest.raises(SshError, match="lost"):
        connection.execute("hang", NEVER_S, limit=sshd.drop)  # asked when it waits


def test_another_host_key_is_refused(sshd: FakeSshd) -> None:
    other = FakeSshd(KEYS.public)
    try:
        with pytest.raises(SshError, match="another host key"):
            Connection.open(sshd.port, KEYS, other.host_key, NEVER_S)
    finally:
        other.close()


def test_another_key_does_not_get_in(sshd: FakeSshd) -> None:
    with pytest.raises(SshError):
        Connection.open(sshd.port, KeyPair.generate(), sshd.host_key, NEVER_S)


def test_a_port_that_accepts_and_says_nothing() -> None:
    server = FakeSshd(KEYS.public, mute=True)
    try:
        with pytest.raises(SshError, match="no SSH server"):
            Connection.open(server.port, KEYS, server.host_key, SOON_S)
        # Each connection may have met a guest that was not ready: there is another one.
        before = server.accepted
        with pytest.raises(SshError, match="no SSH server"):
            connect_socket(server.port, HUNG_S, lambda: server.accepted < before + 2)
    finally:
        server.close()


def test_waiting_ends_with_the_guest() -> None:
    with pytest.raises(SshError):
        connect_socket(1, NEVER_S, lambda: False)


def test_only_quick_algorithms_are_offered(connection: Connection) -> None:
    options = connection.transport.get_security_options()
    assert options.ciphers == ("aes128-ctr",)
    assert all(kex.startswith("curve25519") for kex in options.kex)


def test_no_key_of_the_user_is_read(sshd: FakeSshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/nonexistent")
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with_key = Connection.open(sshd.port, KEYS, sshd.host_key, NEVER_S)
    assert with_key.execute("true", NEVER_S).exit_code == 0
    with_key.close()


def test_each_key_pair_is_new() -> None:
    assert KeyPair.generate().public != KEYS.public


def test_command_lines_are_quoted() -> None:
    line = command_line(["prog", "a b", "it's"], {"NAME": "x y"})
    assert line == "NAME='x y' prog 'a b' 'it'\"'\"'s'"


def repeat(channel: paramiko.Channel) -> int:
    """A shell that repeats what it heard and exits with 4 when its input ends."""
    heard = b""
    while said := channel.recv(100):
        heard += said
    channel.sendall(b"heard " + heard)
    return 4


@pytest.fixture
def server() -> Iterator[FakeSshd]:
    made = FakeSshd(KEYS.public, shell=repeat)
    yield made
    made.close()


@pytest.fixture
def typed(tmp_path: Path) -> Iterator[None]:
    """``ls`` on the standard input of this process, which ssh inherits."""
    (tmp_path / "typed").write_text("ls")
    before = os.dup(0)
    with open(tmp_path / "typed") as file:
        os.dup2(file.fileno(), 0)
    yield
    os.dup2(before, 0)
    os.close(before)


@needs_ssh
@pytest.mark.usefixtures("typed")
def test_a_shell_joins_both_ends_and_leaves_no_key(
    server: FakeSshd,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert login_shell(server.port, KEYS, server.host_key) == 4
    assert capfd.readouterr().out == "heard ls"
    assert not list(tmp_path.glob("harness-ssh-*"))


@needs_ssh
@pytest.mark.usefixtures("typed")
def test_ssh_itself_refuses_another_host(
    server: FakeSshd, capfd: pytest.CaptureFixture[str]
) -> None:
    other = FakeSshd(KEYS.public)
    other.close()
    assert login_shell(server.port, KEYS, other.host_key) == 255
    assert "Host key verification failed" in capfd.readouterr().err


def test_the_private_key_is_in_no_repr() -> None:
    assert KEYS.secret not in repr(KEYS) and "PRIVATE" not in repr(KEYS)
