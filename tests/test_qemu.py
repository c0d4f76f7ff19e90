# SPDX-License-Identifier: GPL-2.0-only
"""The QEMU process and its monitor, with small stand-ins for QEMU."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.errors import InternalError, MachineError
from harness.machine import QEMU, GuestSpec
from harness.qemu import Monitor, MonitorClosedError, Qemu, forwarded_port
from tests.limits import NEVER_S, SOON_S, wait_gone

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
    monitor.sendall(b'{{"QMP": {{"version": {{"qemu": {{"major": {major}}}}}}}}}\\r\\n')
    print("hello", flush=True)
    with monitor.makefile() as lines:
        for text in lines:
            asked = json.loads(text)
            name = asked["execute"]
            if name == "migrate-incoming":
                uri = asked["arguments"]["uri"]
                print(open(int(uri[3:])).read() if uri.startswith("fd:") else uri, flush=True)
            answer = {usernet!r} if name == "human-monitor-command" else asked
            monitor.sendall(json.dumps({{"return": answer}}).encode() + b"\\r\\n")
    import signal
    signal.pause()
    """
)


@pytest.fixture
def pretend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts a fake QEMU in front of PATH; ``before`` runs before its greeting."""

    def install(before: str = "pass", major: int = 7) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        fake = folder / QEMU
        text = FAKE.format(python=sys.executable, before=before, usernet=USERNET, major=major)
        fake.write_text(text)
        fake.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    return install


@pytest.fixture
def spec(tmp_path: Path) -> GuestSpec:
    return GuestSpec(tmp_path / "vmlinux", None, "microvm", "tcg", tmp_path / "root", "key")


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


@pytest.mark.parametrize(("major", "gets"), [(7, "the state\n"), (9, "exec:cat {state}\n")])
def test_a_saved_state_is_handed_to_qemu(
    pretend: Callable[..., None], spec: GuestSpec, tmp_path: Path, major: int, gets: str
) -> None:
    state = tmp_path / "state"
    state.write_text("the state")
    pretend(major=major)
    qemu = Qemu.start(spec, tmp_path / "log", "KEY", restore=state)
    try:
        with open(qemu.console.reader, closefd=False) as console:
            assert console.readline() == "hello\n"
            assert console.readline() == gets.format(state=state)
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
        from harness.machine import GuestSpec
        from harness.qemu import Qemu
        here = Path({str(tmp_path)!r})
        spec = GuestSpec(here / "vmlinux", None, "microvm", "tcg", here / "root", "key")
        print(Qemu.start(spec, here / "log", "KEY").process.pid, flush=True)
        signal.pause()
        """
    )
    project = Path(__file__).resolve().parent.parent
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=project
    ) as harness:
        assert harness.stdout is not None
        pid = int(harness.stdout.readline())
        harness.send_signal(signal.SIGKILL)
    wait_gone(pid)


class Peer:
    """The other end of a monitor, which says what it is told to."""

    def __init__(self) -> None:
        ours, self.socket = socket.socketpair()
        self.monitor = Monitor(ours)

    def say(self, *messages: dict[str, Any]) -> None:
        for message in messages:
            self.socket.sendall(json.dumps(message).encode() + b"\r\n")

    def asked(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.socket.recv(65536))
        return message


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()
    yield made
    made.monitor.close()
    made.socket.close()


def test_greeting_leaves_negotiation(peer: Peer) -> None:
    peer.say({"QMP": {"version": {"qemu": {"major": 7}}}}, {"return": {}})
    peer.monitor.greet(NEVER_S)
    assert peer.monitor.major == 7
    assert peer.asked() == {"execute": "qmp_capabilities"}


def test_arguments_get_dashes(peer: Peer) -> None:
    peer.say({"return": 1})
    assert peer.monitor.command("set", max_bandwidth=5) == 1
    assert peer.asked() == {"execute": "set", "arguments": {"max-bandwidth": 5}}


def test_events_in_between_are_kept(peer: Peer) -> None:
    peer.say({"event": "RESUME"}, {"return": "x"})
    assert peer.monitor.command("query") == "x"
    peer.monitor.wait_event("RESUME", NEVER_S)
    with pytest.raises(TimeoutError):
        peer.monitor.wait_event("RESUME", SOON_S)


def test_an_event_can_be_waited_for(peer: Peer) -> None:
    threading.Thread(target=peer.say, args=({"event": "STOP"}, {"event": "RESUME"})).start()
    peer.monitor.wait_event("RESUME", NEVER_S)
    assert [event["event"] for event in peer.monitor.events] == ["STOP"]


def test_refusal_is_quoted(peer: Peer) -> None:
    peer.say({"error": {"class": "GenericError", "desc": "no such device"}})
    with pytest.raises(InternalError, match="no such device"):
        peer.monitor.command("eject")


def test_silence_is_a_timeout(peer: Peer) -> None:
    with pytest.raises(TimeoutError):
        peer.monitor.command("query", timeout=SOON_S)


def test_closed_monitor_is_told_apart(peer: Peer) -> None:
    peer.socket.close()
    with pytest.raises(MonitorClosedError):
        peer.monitor.command("query", timeout=NEVER_S)


def test_answers_in_pieces(peer: Peer) -> None:
    def speak() -> None:
        for byte in b'{"return": "slow"}\r\n':
            peer.socket.sendall(bytes([byte]))

    threading.Thread(target=speak).start()
    assert peer.monitor.command("query") == "slow"


def test_forwarded_port_is_read() -> None:
    assert forwarded_port(USERNET) == 35673


def test_no_forwarded_port_is_a_defect() -> None:
    with pytest.raises(InternalError, match="no forwarded port"):
        forwarded_port("  UDP[HOST_FORWARD] none")
