# SPDX-License-Identifier: GPL-2.0-only
"""The QEMU process and its monitor, with small stand-ins for QEMU."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.core.errors import InternalError, MachineError
from harness.vm.machine import QEMU, GuestSpec
from harness.vm.qemu import Qemu
from tests.support.limits import wait_gone

USERNET = """Hub -1 (net0):
  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ
  TCP[HOST_FORWARD]  14       127.0.0.1 35673       10.0.2.15    22     0     0
"""

# A QEMU that greets, answers each command with what it was asked, and waits.
FAKE = textwrap.dedent(
    """\
    #!{python}
    import json, re, socket, sys
    line = " ".join(sys.argv)
    monitor = socket.socket(fileno=int(re.search(r"id=monitor,fd=(\\d+)", line)[1]))
    {before}
    version = {{"qemu": {{"major": {version[0]}, "minor": {version[1]}}}}}
    greeting = {{"QMP": {{"version": version, "capabilities": []}}}}
    monitor.sendall(json.dumps(greeting).encode() + b"\\r\\n")
    print("hello", flush=True)
    rest = ""
    while more := monitor.recv(65536).decode():
        rest += more
        while rest:
            try:
                asked, end = json.JSONDecoder().raw_decode(rest)
            except ValueError:
                break
            rest = rest[end:]
            name = asked["execute"]
            if name == "migrate-incoming":
                way, _, name = asked["arguments"]["uri"].partition(":")
                print(way, open(int(name) if way == "fd" else name).read(), flush=True)
            answer = {usernet!r} if name == "human-monitor-command" else {{}}
            answer = {{"return": answer, "id": asked.get("id")}}
            monitor.sendall(json.dumps(answer).encode() + b"\\r\\n")
    import signal
    signal.pause()
    """
)


@pytest.fixture
def pretend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts a fake QEMU in front of PATH; ``before`` runs before its greeting."""

    def install(
        before: str = "pass", version: tuple[int, int] = (7, 2), usernet: str = USERNET
    ) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        fake = folder / QEMU
        text = FAKE.format(python=sys.executable, before=before, usernet=usernet, version=version)
        fake.write_text(text)
        fake.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    return install


@pytest.fixture
def spec(tmp_path: Path) -> GuestSpec:
    return GuestSpec(tmp_path / "vmlinux", "microvm", "tcg", tmp_path / "root", "key")


def test_start_port_and_kill(
    pretend: Callable[[str], None], spec: GuestSpec, tmp_path: Path
) -> None:
    pretend("pass")
    qemu = Qemu.start(spec, tmp_path / "log", "KEY")
    assert qemu.alive
    assert qemu.find_port() == 35673
    assert os.read(qemu.console.reader, 10) == b"hello\n"
    qemu.kill()
    assert not qemu.alive
    assert os.read(qemu.console.reader, 10) == b""
    qemu.kill()
    qemu.console.close()


@pytest.mark.parametrize(
    ("version", "way"), [((7, 2), "fd"), ((8, 1), "fd"), ((8, 2), "file"), ((11, 0), "file")]
)
def test_a_saved_state_is_handed_to_qemu(
    pretend: Callable[..., None],
    spec: GuestSpec,
    tmp_path: Path,
    version: tuple[int, int],
    way: str,
) -> None:
    state = tmp_path / "it's a state"
    state.write_text("the state")
    pretend(version=version)
    qemu = Qemu.start(spec, tmp_path / "log", "KEY", restore=state)
    try:
        with open(qemu.console.reader, closefd=False) as console:
            assert console.readline() == "hello\n"
            assert console.readline() == f"{way} the state\n"
    finally:
        qemu.kill()
        qemu.console.close()


def test_a_saved_state_that_is_gone_starts_nothing(
    pretend: Callable[..., None], spec: GuestSpec, tmp_path: Path
) -> None:
    pretend()
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError):
        Qemu.start(spec, tmp_path / "log", "KEY", restore=tmp_path / "none")
    assert len(os.listdir("/proc/self/fd")) == before


def test_qemu_is_in_a_session_of_its_own(
    pretend: Callable[[str], None], spec: GuestSpec, tmp_path: Path
) -> None:
    pretend("pass")
    qemu = Qemu.start(spec, tmp_path / "log", "KEY")
    try:
        assert os.getsid(qemu.process.pid) != os.getsid(0)
    finally:
        qemu.kill()


def test_missing_qemu_is_the_machines_fault(
    spec: GuestSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MachineError, match="not installed"):
        Qemu.start(spec, tmp_path / "log", "KEY")


def test_qemu_that_ends_at_once_is_quoted(
    pretend: Callable[[str], None], spec: GuestSpec, tmp_path: Path
) -> None:
    pretend("sys.exit('could not set up host forwarding rule')")
    with pytest.raises(MachineError, match="could not set up host forwarding") as caught:
        Qemu.start(spec, tmp_path / "log", "KEY")
    assert caught.value.evidence == tmp_path / "log"


def test_qemu_dies_with_the_harness(
    pretend: Callable[[str], None], spec: GuestSpec, tmp_path: Path
) -> None:
    pretend("pass")
    program = textwrap.dedent(
        f"""\
        import signal
        from pathlib import Path
        from harness.vm.machine import GuestSpec
        from harness.vm.qemu import Qemu
        here = Path({str(tmp_path)!r})
        spec = GuestSpec(here / "vmlinux", "microvm", "tcg", here / "root", "key")
        print(Qemu.start(spec, here / "log", "KEY").process.pid, flush=True)
        signal.pause()
        """
    )
    project = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=project
    ) as harness:
        assert harness.stdout is not None
        pid = int(harness.stdout.readline())
        harness.send_signal(signal.SIGKILL)
    wait_gone(pid)


def test_it_outlives_the_thread_that_started_it(
    pretend: Callable[[str], None], spec: GuestSpec, tmp_path: Path
) -> None:
    pretend("pass")
    with ThreadPoolExecutor(1) as pool:
        qemu = pool.submit(Qemu.start, spec, tmp_path / "log", "KEY").result()
    try:  # that thread has been joined: a signal for its end has been sent
        assert qemu.alive
        assert qemu.find_port() == 35673
    finally:
        qemu.kill()
        qemu.console.close()


def test_no_forwarded_port_is_a_defect(
    pretend: Callable[..., None], spec: GuestSpec, tmp_path: Path
) -> None:
    pretend(usernet="  UDP[HOST_FORWARD] none")
    qemu = Qemu.start(spec, tmp_path / "log", "KEY")
    try:
        with pytest.raises(InternalError, match="no forwarded port"):
            qemu.find_port()
    finally:
        qemu.kill()
        qemu.console.close()
