# SPDX-License-Identifier: GPL-2.0-only
"""pexpect on a guest's serial line, which reads what the console's recorder has read; a login."""

from __future__ import annotations

import codecs
import contextlib
import os
import queue
import secrets
import select
import termios
import threading
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from pexpect.exceptions import EOF, TIMEOUT
from pexpect.spawnbase import SpawnBase

from harness.core.errors import InvocationError
from harness.core.settings import Login
from harness.vm import protocol
from harness.vm.console import MAX_KEPT_BYTES, Console

# What init.c hears and says: a question; or a word of ours to tell the end by, and
# a command of the shell (none: the shell itself).
ASK, HERE = "?", protocol.HEAD + protocol.HERE
RUN, RAN = "!{word} {command}\n", protocol.HEAD + protocol.RAN + " {word} "
ESCAPE = b"\x1d"  # Ctrl-]
READ_BYTES = 1 << 20  # at once, about
MAX_HEARD_BYTES = MAX_KEPT_BYTES  # without what is waited for: then it is not waited for longer
QUIET = 0.5  # seconds of silence that end an answer without an end of its own

ADOPT = "exec /harness/init adopt"  # in place of the login shell, see init.c
ANSWER = 30.0  # seconds for the next prompt; PAM and a shell's start take 2 under TCG
_PASSWORD = "assword: "
# Prompts of root and of an ordinary user; and what a getty and PAM say.
_ANSWERS = ("# ", "$ ", _PASSWORD, "incorrect")


class SerialDialogue(SpawnBase):  # type: ignore[type-arg]  # generic in its stubs only
    """``expect`` and ``send`` on a console that somebody else records.

    Args:
        since: index of the first line of the record that counts; None: from now on.
        stall: seconds without a byte that are a TIMEOUT, whatever is left of the whole.
    """

    def __init__(
        self, console: Console, since: int | None = None, stall: float | None = None
    ) -> None:
        super().__init__(encoding="utf-8")
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self.delayafterread = None  # by default it sleeps after each read
        self.stall = stall
        self._console = console
        self._heard = console.listen(since)
        self._room: int | None = MAX_HEARD_BYTES  # bytes; None: no limit

    def __enter__(self) -> SerialDialogue:
        return self

    def __exit__(self, *_: object) -> None:
        self._console.unlisten(self._heard)

    def read_nonblocking(self, size: int = 1, timeout: float | None = None) -> str:
        """All that has come, or what comes first. Raises TIMEOUT or EOF as pexpect wants it."""
        limits = [limit for limit in (timeout, self.stall) if limit is not None]
        try:
            data = self._heard.get(timeout=max(0.0, min(limits)) if limits else None)
        except queue.Empty:
            raise TIMEOUT("nothing came in time") from None
        with contextlib.suppress(queue.Empty):
            while 0 < len(data) < READ_BYTES and (more := self._heard.get_nowait()):
                data += more
            if len(data) < READ_BYTES:
                self._heard.put(b"")  # the end is the end for whoever reads again
        if not data:
            self.flag_eof = True
            raise EOF("the console has ended")
        if self._room is not None:
            self._room -= len(data)
            if self._room < 0:
                raise TIMEOUT("the guest says too much")
        text = self._decode(data)
        if self.logfile_read is not None:
            self.logfile_read.write(text)
            self.logfile_read.flush()
        return text

    def send(self, text: str) -> None:
        """Types."""
        self._console.send(text.encode())

    def comes(self, words: str, timeout: float | None) -> bool:
        """Whether ``words`` come within ``timeout`` seconds; what came before is ``before``."""
        return self.expect_exact([words, EOF, TIMEOUT], timeout=timeout) == 0

    def rest(self, quiet: float = QUIET) -> str:
        """What still comes, up to ``quiet`` seconds of silence, which end the dialogue."""
        self.stall = quiet
        self.expect_exact([EOF, TIMEOUT], timeout=None)
        return str(self.before or "")

    def run(self, command: str, timeout: float) -> str | None:
        """What a command of the guest's shell prints there; None: no end in ``timeout`` seconds."""
        if not self.comes(self._begin(command), timeout):
            return None
        # The end's line has begun with the time, as each of the kernel's.
        said = str(self.before or "").rpartition("\n")[0].replace("\r\n", "\n").rstrip("\r")
        self.comes("\n", timeout)  # the status and the end of that line
        return said

    def _begin(self, command: str = "") -> str:
        """Begins a command; what tells its end."""
        word = secrets.token_hex(4)
        self.send(RUN.format(word=word, command=command))
        return RAN.format(word=word)

    def interact(self, keyboard: int, screen: TextIO) -> None:
        """A shell on this line for a terminal, until it ends, or the guest, or Ctrl-]."""
        ended, tell = os.pipe()
        terminal = os.isatty(keyboard)  # once it is gone, it is none

        def show() -> None:
            self.expect_exact([end, EOF], timeout=None)
            os.close(tell)

        self.logfile_read, self._room = screen, None
        showing = threading.Thread(target=show, daemon=True)
        try:
            with raw_terminal(keyboard):
                end = self._begin()
                showing.start()
                sources, escape = [keyboard, ended], b""
                while not escape and ended not in select.select(sources, [], [])[0]:
                    try:
                        typed = os.read(keyboard, 4096)
                    except OSError:  # EIO: the terminal is gone, and the guest goes too
                        break
                    if not typed and terminal:  # so too: in raw mode Ctrl-D is a key
                        break
                    before, escape, _ = typed.partition(ESCAPE)
                    # A file or a pipe that has ended is what Ctrl-D is on a terminal.
                    self._console.send(before if typed else b"\x04")
                    if not typed:
                        sources.remove(keyboard)
        finally:
            self._heard.put(b"")
            showing.join()
            os.close(ended)


@contextlib.contextmanager
def raw_terminal(fd: int) -> Iterator[None]:
    """Every key goes to the guest, Ctrl-C too; the terminal is put back whatever happens."""
    if not os.isatty(fd):
        yield
        return
    mode = termios.tcgetattr(fd)
    try:
        tty.setraw(fd)
        yield
    finally:
        with contextlib.suppress(termios.error):  # it may be gone by then
            termios.tcsetattr(fd, termios.TCSADRAIN, mode)


def _answer(line: SerialDialogue) -> str | None:
    """Which of ``_ANSWERS`` comes first, if one does."""
    came = line.expect_exact([*_ANSWERS, EOF, TIMEOUT], timeout=ANSWER)
    return _ANSWERS[came] if came < len(_ANSWERS) else None


def log_in(line: SerialDialogue, login: Login, timeout: float, log: Path) -> bool:
    """Logs in as root and puts our agent in place of the shell.

    False if the getty does not ask within ``timeout`` seconds who is there. ``log``: the
    console's. Raises InvocationError: what ROOTFS_LOGIN= says is refused, or is not root's.
    """
    if not line.comes("login: ", timeout):
        return False
    line.send(f"{login.user}\n")
    came = _answer(line)
    if came == _PASSWORD and login.password is not None:
        line.send(f"{login.password}\n")
        came = _answer(line)
    match came:
        case "# ":
            line.send(f"{ADOPT}\n")
            return True
        case "$ ":
            why = f"{login.user} is not root, and our agent has to be"
        case "assword: ":
            why = f"the image asks for a password of {login.user}"
        case "incorrect":
            why = f"the image refuses the login of {login.user}"
        case _:
            why = f"no shell prompt came within {ANSWER:.0f} s after the login of {login.user}"
    raise InvocationError(why, evidence=log, next_step="ROOTFS_LOGIN=root:PASSWORD")
