# SPDX-License-Identifier: GPL-2.0-only
"""``ssh`` itself against a server of ours: the right key, the pinned host, no more."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from harness.vm.ssh import KeyPair
from harness.vm.ssh_program import login_shell
from tests.vm.fake_sshd import FakeSshd

KEYS = KeyPair.generate()
pytestmark = pytest.mark.skipif(shutil.which("ssh") is None, reason="no ssh here")


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


@pytest.mark.usefixtures("typed")
def test_another_host_key_is_refused(server: FakeSshd, capfd: pytest.CaptureFixture[str]) -> None:
    other = FakeSshd(KEYS.public)
    other.close()
    assert login_shell(server.port, KEYS, other.host_key) == 255
    assert "Host key verification failed" in capfd.readouterr().err


def test_the_private_key_is_in_no_repr() -> None:
    assert KEYS.secret not in repr(KEYS) and "PRIVATE" not in repr(KEYS)
