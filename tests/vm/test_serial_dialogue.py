# SPDX-License-Identifier: GPL-2.0-only
"""pexpect on the console: it hears what the recorder has read, and the record stays whole."""

from __future__ import annotations

import contextlib
import os
import pty
import termios
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from pexpect.exceptions import EOF, TIMEOUT

from harness.core.errors import InvocationError
from harness.core.settings import Login
from harness.vm import serial_dialogue
from harness.vm.console import Console
from harness.vm.serial_dialogue import ADOPT, SerialDialogue, log_in
from tests.support.limits import NEVER_S, SOON_S
from tests.vm.fake_serial import GuestEnd


@pytest.fixture
def guest() -> Iterator[GuestEnd]:
    made = GuestEnd()
    yield made
    made.close()


@pytest.fixture
def console(guest: GuestEnd, tmp_path: Path) -> Iterator[Console]:
    made = Console(guest.line, tmp_path / "console.log", lambda line: None)
    yield made
    guest.close()
    made.join()
    made.close()


def test_half_a_line_is_heard(guest: GuestEnd, console: Console) -> None:
    with SerialDialogue(console) as line:
        guest.sendall(b"debian login: ")
        assert line.comes("login: ", NEVER_S)
        line.send("root\n")
    assert guest.recv(10) == b"root\n"


def test_the_record_counts_from_where_it_is_asked_for(guest: GuestEnd, console: Console) -> None:
    guest.sendall(b"one\r\ntwo\r\nthr")
    assert console.wait_for("two", NEVER_S)
    with SerialDialogue(console, since=1) as line:
        guest.sendall(b"ee\r\n")
        assert line.comes("ee", NEVER_S)
        assert line.before == "two\nthr"
    with SerialDialogue(console) as line, pytest.raises(TIMEOUT):
        line.expect_exact("two", timeout=0)


def test_several_listen_and_the_log_has_every_byte_once(guest: GuestEnd, console: Console) -> None:
    with SerialDialogue(console) as one, SerialDialogue(console) as other:
        guest.sendall(b"caf\xc3")
        guest.sendall(b"\xa9\xff\n")
        assert one.comes("café\ufffd", NEVER_S) and other.comes("café\ufffd", NEVER_S)
    assert console.log.read_bytes() == b"caf\xc3\xa9\xff\n"
    assert console.lines == ["café\ufffd"]


def test_a_stall_is_a_timeout_before_the_whole_time_is_up(
    guest: GuestEnd, console: Console
) -> None:
    guest.sendall(b"begun\n")
    with SerialDialogue(console, since=0, stall=SOON_S) as line:
        assert line.expect_exact(["never", TIMEOUT], timeout=NEVER_S) == 1
        assert line.before == "begun\n" or line.before == ""


@pytest.mark.parametrize("before", [True, False])
def test_the_end_of_the_console_is_the_end(guest: GuestEnd, console: Console, before: bool) -> None:
    guest.sendall(b"last words")
    if before:
        guest.close()
        console.join()
    with SerialDialogue(console, since=0) as line:
        guest.close()
        assert line.expect_exact(["never", EOF], timeout=NEVER_S) == 1
        assert line.before is not None and line.before.rstrip() == "last words"
        assert not line.comes("never", NEVER_S)


def test_what_still_comes_ends_with_silence(guest: GuestEnd, console: Console) -> None:
    with SerialDialogue(console) as line:
        guest.sendall(b"sysrq: Show State\none\ntwo\n")
        assert line.comes("sysrq: ", NEVER_S)
        assert line.rest(SOON_S) == "Show State\none\ntwo\n"


def test_a_command_is_told_from_the_echo_of_an_earlier_one(
    guest: GuestEnd, console: Console
) -> None:
    def run(command: str) -> str:
        return console.text() + "\n" if command == "dmesg" else f"{command} done\n"

    guest.serve(run)
    with SerialDialogue(console) as line:
        assert line.run("ps", NEVER_S) == "ps done"
        assert line.run("ps", NEVER_S) == "ps done"
        again = line.run("dmesg", NEVER_S)
    assert again is not None and "harness: ran" in again


def test_a_command_without_an_end(guest: GuestEnd, console: Console) -> None:
    guest.serve(None)
    with SerialDialogue(console) as line:
        assert line.run("cat", SOON_S) is None
        line.send("?")
        assert line.comes("harness: here", NEVER_S)


class Terminal:
    """A terminal: ``keys`` types, ``shown`` is what it shows."""

    def __init__(self) -> None:
        self.keys, self.keyboard = pty.openpty()
        self._mode = termios.tcgetattr(self.keyboard)
        self.shown, write = os.pipe()
        self.screen = os.fdopen(write, "w")

    def close(self) -> None:
        """Checks that it was given back as it was."""
        assert termios.tcgetattr(self.keyboard) == self._mode
        self.screen.close()
        for fd in (self.keys, self.keyboard, self.shown):
            os.close(fd)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    made.close()


def interact(console: Console, terminal: Terminal) -> threading.Thread:
    def talk() -> None:
        with SerialDialogue(console) as line:
            line.interact(terminal.keyboard, terminal.screen)

    thread = threading.Thread(target=talk)
    thread.start()
    return thread


def test_a_terminal_is_joined_until_the_shell_ends(
    guest: GuestEnd, console: Console, terminal: Terminal
) -> None:
    talking = interact(console, terminal)
    word = guest.recv(100).decode().removeprefix("!").strip()
    guest.sendall(b"# ")
    assert os.read(terminal.shown, 100) == b"# "
    os.write(terminal.keys, b"\x03")
    assert guest.recv(10) == b"\x03"
    guest.sendall(f"harness: ran {word} 0\n".encode())
    talking.join()


@pytest.mark.parametrize("how", ["the escape key", "the guest's end"])
def test_a_terminal_is_given_back(
    guest: GuestEnd, console: Console, terminal: Terminal, how: str
) -> None:
    talking = interact(console, terminal)
    guest.recv(100)
    if how == "the escape key":
        os.write(terminal.keys, b"q\x1dmore")
        assert guest.recv(10) == b"q"
    else:
        guest.close()
    talking.join()


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
            return log_in(line, login, NEVER_S, self.console.log)

    def _play(self) -> None:
        with contextlib.suppress(OSError):  # the guest's end is closed: the test is over
            for words in self._says:
                self.guest.sendall(words.encode())
                line = self.guest.recv(100).decode()
                self.typed.append(line.rstrip("\n"))
                self.guest.sendall(line.encode())  # the terminal's echo

    def join(self) -> list[str]:
        self._thread.join()
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
    assert "ROOTFS_LOGIN=" in str(caught.value.next_step)


def test_no_prompt_after_the_login(getty: Getty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serial_dialogue, "ANSWER", SOON_S)
    with pytest.raises(InvocationError, match="no shell prompt"):
        getty.log_in(Login("root"), LOGIN)


def test_a_console_without_a_getty(getty: Getty) -> None:
    getty.guest.sendall(b"booted\n")
    getty.guest.close()
    with SerialDialogue(getty.console, since=0) as line:
        assert not log_in(line, Login("root"), NEVER_S, getty.console.log)
