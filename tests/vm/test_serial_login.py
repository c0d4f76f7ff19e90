# SPDX-License-Identifier: GPL-2.0-only
"""A login on the serial line, with a played getty: what is typed, and what a refusal is called."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from harness.core.errors import InvocationError
from harness.vm import serial_login
from harness.vm.console import Console
from harness.vm.machine import Login
from harness.vm.serial_dialogue import SerialDialogue
from harness.vm.serial_login import ADOPT, log_in
from tests.vm.fake_serial import GuestEnd


class Getty:
    """Prints each of its sayings, and waits for a line after each; ``typed`` is what came."""

    def __init__(self, folder: Path) -> None:
        self.guest = GuestEnd()
        self.console = Console(self.guest.line, folder / "console.log", lambda line: None)
        self.typed: list[str] = []
        self._thread = threading.Thread(target=self._play, daemon=True)
        self._says: Sequence[str] = ()

    def log_in(self, login: Login, *says: str) -> bool:
        self._says = says
        self._thread.start()
        with SerialDialogue(self.console, since=0) as line:
            return log_in(line, login, 10.0, self.console.log)

    def _play(self) -> None:
        for words in self._says:
            self.guest.sendall(words.encode())
            line = self.guest.recv(100).decode()
            self.typed.append(line.rstrip("\n"))
            self.guest.sendall(line.encode())  # the terminal's echo

    def join(self) -> list[str]:
        self._thread.join(10.0)
        return self.typed


@pytest.fixture
def getty(tmp_path: Path) -> Iterator[Getty]:
    made = Getty(tmp_path)
    yield made
    made.guest.close()
    made.console.join()
    made.console.close()


LOGIN = "\nDebian GNU/Linux 12 debian ttyS0\n\ndebian login: "
PROMPT = "Linux debian 6.1.192 #1 SMP\r\nLast login: today\r\nroot@debian:~# "


def test_root_without_a_password(getty: Getty) -> None:
    assert getty.log_in(Login("root"), LOGIN, PROMPT)
    assert getty.join() == ["root", ADOPT]


def test_root_with_a_password(getty: Getty) -> None:
    assert getty.log_in(Login("root", "a:b"), LOGIN, "Password: ", PROMPT)
    assert getty.join() == ["root", "a:b", ADOPT]


@pytest.mark.parametrize(
    ("login", "says", "message"),
    [
        (Login("root"), ["Password: "], "asks for a password of root"),
        (Login("root", "x"), ["Password: ", "\r\nLogin incorrect\r\n"], "refuses the login"),
        (Login("guest"), ["guest@debian:~$ "], "guest is not root"),
    ],
)
def test_a_refusal_is_the_invocations_fault(
    getty: Getty, login: Login, says: list[str], message: str
) -> None:
    with pytest.raises(InvocationError, match=message) as caught:
        getty.log_in(login, LOGIN, *says)
    assert caught.value.evidence == getty.console.log
    assert "ROOTFS_LOGIN=" in caught.value.next_step


def test_no_prompt_after_the_login(getty: Getty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serial_login, "ANSWER", 0.01)
    with pytest.raises(InvocationError, match="no shell prompt"):
        getty.log_in(Login("root"), LOGIN)


def test_a_console_without_a_getty(getty: Getty) -> None:
    getty.guest.sendall(b"booted\n")
    getty.guest.close()
    with SerialDialogue(getty.console, since=0) as line:
        assert not log_in(line, Login("root"), 10.0, getty.console.log)
