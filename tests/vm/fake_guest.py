# SPDX-License-Identifier: GPL-2.0-only
"""A guest without QEMU: a socket pair for its console, a fake SSH server for its commands."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import paramiko

from harness.image.rootfs import HostKey
from harness.vm.guest import Guest
from harness.vm.machine import GuestSpec
from harness.vm.ssh import KeyPair
from tests.support.limits import NEVER_S
from tests.vm.fake_serial import GuestEnd
from tests.vm.fake_sshd import FakeSshd

WARNING = """------------[ cut here ]------------
WARNING: CPU: 0 PID: 7 at mm/x.c:1 do_thing+0x1/0x2
RIP: 0010:do_thing+0x1/0x2
Call Trace:
 <TASK>
 do_thing+0x1/0x2
 </TASK>
---[ end trace 0000000000000000 ]---
"""
OOPS = """BUG: kernel NULL pointer dereference, address: 0000000000000000
#PF: supervisor write access in kernel mode
Oops: 0002 [#1] SMP
RIP: 0010:do_bad+0x1/0x2
---[ end trace 0000000000000000 ]---
"""
OOM = "Memory cgroup out of memory: Killed process 9 (hog) total-vm:1kB\n"


class _Process:
    """As much of Popen as a dump asks for."""

    def __init__(self) -> None:
        self.code: int | None = None

    def poll(self) -> int | None:
        return self.code

    def wait(self, timeout: float) -> int | None:
        return self.code


class _Monitor:
    """Agrees to every command; a state is saved, and restored, at once."""

    def __init__(self) -> None:
        self.version = (7, 2)
        self.status = "postmigrate"

    def command(self, name: str, **_: object) -> dict[str, str]:
        answers = {"query-migrate": "completed", "query-status": self.status}
        return {"status": answers.get(name, "running")}

    def human(self, line: str) -> str:
        return f"({line})"

    def wait_event(self, name: str, timeout: float) -> None: ...

    def close(self) -> None: ...


class FakeQemu:
    """QEMU and all that it runs, whose owner may log in with the key ``public``.

    ``behave`` says what a case does, given its arguments. A case prints its markers as
    init.c does, unless ``behave`` raises.
    """

    def __init__(self, log: Path, public: str, key: HostKey | None = None) -> None:
        self.sshd = FakeSshd(public, self._command, key=key, shell=self._shell)
        self.serial = GuestEnd()
        self.console = self.serial.line
        self.monitor = _Monitor()
        self.process: Any = _Process()
        self.log = log
        self.port = self.sshd.port
        self.breaks = 0
        self.behave: Callable[[list[str]], tuple[str, str]] = lambda argv: ("", "exit=0")
        self.tainted = 0
        self.answers = True
        self.on_kill: Callable[[], None] = lambda: None
        self.benchmark: Callable[[], None] = lambda: None
        self.over = threading.Event()
        self.seen: list[str] = []
        self.files: dict[str, str] = {}  # what ``cat`` prints, and what ``echo`` has written
        self.spec: GuestSpec | None = None  # what it was started with, where somebody says so
        log.write_text("")

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def complaints(self) -> str:
        return self.log.read_text()

    def find_port(self) -> int:
        return self.port

    def send_break(self) -> None:
        self.breaks += 1

    def kill(self) -> None:
        self.process.code = -9 if self.process.code is None else self.process.code
        self.serial.close()
        self.monitor.close()

    def print(self, text: str) -> None:
        """Writes to the console."""
        self.serial.sendall(text.encode())

    def hang(self) -> NoReturn:
        """What a case or a command does that does not end."""
        self.over.wait()
        raise OSError("the guest is gone")

    def die(self, status: int = -9) -> None:
        """Ends as QEMU ends at a panic with 0, or by itself."""
        self.process.code = status
        self.kill()
        self.sshd.drop()

    def stand_still(self) -> None:
        """Stops as KVM stops a guest that it cannot run."""
        self.log.write_text("KVM internal error. Suberror: 1\nemulation failure\n")
        self.monitor.status = "internal-error"
        self.answers = False
        self.sshd.drop()

    def _shell(self, channel: paramiko.Channel) -> None:
        channel.sendall(b"# ")
        self.hang()

    def _command(self, command: str, channel: paramiko.Channel) -> int | None:
        self.seen.append(command)
        words = shlex.split(command)
        while words and "=" in words[0]:
            words.pop(0)
        if not self.answers:
            self.hang()
        match words:
            case ["/harness/init", "hello", *_]:
                channel.sendall(f"0000-boot {self.tainted} 6.1.0\n".encode())
                return 0
            case ["/harness/init", "case", seq, identity, _, *argv]:
                return self._case(seq, identity, argv, channel)
            case ["/harness/init", "serve", mark]:
                return self._serve(mark, channel)
            case ["/harness/init", "kill", _]:
                self.on_kill()
                return 0
            case ["/harness/init", "benchmark"]:
                self.benchmark()
                channel.sendall(b"100\n")
                return 0
            case ["/bin/cat", path]:
                channel.sendall(self.files.get(path, "").encode())
            case ["echo", text, place] if place.startswith(">"):
                self.files[place[1:]] = text
        return 0

    def _case(
        self, seq: str, identity: str, argv: list[str], channel: paramiko.Channel
    ) -> int | None:
        self.print(f"harness: begin {seq} {identity}\n")
        output, end = self.behave(argv)
        channel.sendall(output.encode())
        self.print(f"harness: end {seq} {end} tainted={self.tainted}\n")
        how, _, number = end.partition("=")
        return int(number) + (128 if how == "signal" else 0)

    def _serve(self, mark: str, channel: paramiko.Channel) -> int:
        """As serve.c."""
        with channel.makefile("rb") as requests:
            while length := requests.readline():
                body = requests.read(int(length)).decode()
                words = body.removesuffix("\0").split("\0")
                self.seen.append(shlex.join(words))
                seq, identity = words[:2]
                argv = words[words.index("", 3) + 1 :]
                status = self._case(seq, identity, argv, channel)
                channel.sendall(f"{mark} {status}\n".encode())
                channel.sendall_stderr(f"{mark}\n".encode())
        return 0


class FakeGuest(FakeQemu):
    """``guest`` is a real Guest, and this is what it runs in."""

    def __init__(self, folder: Path) -> None:
        self.keys = KeyPair.generate()
        super().__init__(folder / "qemu.log", self.keys.public)
        kernel, root = folder / "vmlinux", folder / "root"
        spec = GuestSpec(kernel, "microvm", "tcg", root, self.sshd.host_key)
        self.guest = Guest(spec, folder, "fake", self.qemu, self.keys)  # type: ignore[arg-type]

    @property
    def qemu(self) -> FakeQemu:
        """This, as the guest sees it."""
        return self

    def start(self) -> Guest:
        """Connects; what the guest prints on its console goes through ``print``."""
        self.guest.connect(NEVER_S)
        self.guest.hello(NEVER_S)
        return self.guest

    def close(self) -> None:
        self.over.set()
        self.guest.close()
        self.sshd.close()
