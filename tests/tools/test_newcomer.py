# SPDX-License-Identifier: GPL-2.0-only
"""The newcomer's machine: what is carried into it, and that nothing of it is left behind."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from harness.core import proc
from harness.core.errors import InternalError, InvocationError, MachineError
from harness.core.settings import from_environment
from tools import newcomer
from tools.newcomer import CERTIFICATES, Newcomer, alone, connect, environment, new_root


def refused() -> str:
    """Why this machine does not let us have namespaces for mounts and processes; '': it does."""
    words = alone(("sh", "-ec", "mount -t tmpfs none /mnt"))
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    return done.stderr.strip() or f"exit {done.returncode}" if done.returncode else ""


WHY_NOT = refused()
needs_namespaces = pytest.mark.skipif(WHY_NOT != "", reason=f"no namespaces here: {WHY_NOT}")


def test_what_leads_to_the_network_is_carried_in_and_nothing_else(tmp_path: Path) -> None:
    mine = tmp_path / "my.pem"
    mine.write_text("certificates")
    given = {
        "https_proxy": "http://127.0.0.1:3128", "PIP_INDEX_URL": "http://127.0.0.1/simple",
        "SSL_CERT_FILE": str(mine), "KERNEL": "6.1", "MAKEFLAGS": "k", "PYTHONPATH": "/x",
    }  # fmt: skip
    env = environment(given)
    assert {name for name in given if name in env} == {
        "https_proxy", "PIP_INDEX_URL", "SSL_CERT_FILE"
    }  # fmt: skip
    assert env["SSL_CERT_FILE"] == f"/{CERTIFICATES}"


def test_certificates_and_the_way_to_the_network_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = (
        'Acquire::http::Proxy "http://127.0.0.1:3142";\nAcquire::Check-Valid-Until "false";\n'
        'Acquire::Languages:: "none";\nAcquire::http::Proxy::mirror "DIRECT";\n'
    )
    monkeypatch.setattr(proc, "run_tool", lambda argv, what: said)
    (tmp_path / "my.pem").write_text("certificates")
    root = tmp_path / "root"
    (root / "etc/apt/apt.conf.d").mkdir(parents=True)
    connect(root, {"PIP_CERT": str(tmp_path / "my.pem")})
    assert (root / CERTIFICATES).read_text() == "certificates"
    assert (root / "etc/resolv.conf").read_bytes() == Path("/etc/resolv.conf").read_bytes()
    carried = (root / "etc/apt/apt.conf.d/00of-the-host").read_text()
    assert carried == said.replace('Acquire::Languages:: "none";\n', "")


@needs_namespaces
@pytest.mark.parametrize("status", [0, 3])
def test_mounts_and_processes_end_with_the_step(tmp_path: Path, status: int) -> None:
    """A step that leaves a mount and a process behind, as debootstrap and a daemon would."""
    new = Newcomer("toy", tmp_path / "root", tmp_path / "out", Console(quiet=True))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    script = f'mount -t tmpfs none "$1"; touch "$1/there"; sleep 600 >{pipe} & exit {status}'
    with new_root(new.root):
        # Open without a writer yet; at its end every writer has gone.
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        os.set_blocking(reader, True)
        try:
            new.step("leave", alone(("sh", "-ec", script, "sh", str(new.root))))
            assert status == 0
        except InternalError as error:
            assert status == 3 and error.evidence == tmp_path / "out" / "0-leave.log"
        assert os.read(reader, 1) == b""
        os.close(reader)
        assert newcomer.mounts_below(new.root) == []
        assert list(new.root.iterdir()) == []
    assert not new.root.exists()


@needs_namespaces
def test_an_interruption_ends_the_step_and_removes_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = Newcomer("toy", tmp_path / "root", tmp_path / "out", Console(quiet=True))
    script = 'mount -t tmpfs none "$1"; echo ready; exec sleep 600'

    real = proc.run

    def line(text: str) -> None:
        assert text == "ready"
        raise KeyboardInterrupt

    def interrupted(argv: list[str], *, log: Path, env: None) -> object:
        return real(argv, log=log, env=env, on_line=line)

    monkeypatch.setattr(proc, "run", interrupted)
    with pytest.raises(KeyboardInterrupt), new_root(new.root):
        (new.root / "file").touch()
        new.step("stand", alone(("sh", "-ec", script, "sh", str(new.root))))
    assert not new.root.exists() and newcomer.mounts_below(new.root) == []


def test_a_folder_with_something_mounted_in_it_is_not_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[str] = []
    monkeypatch.setattr(newcomer, "mounts_below", lambda folder: left)
    with pytest.raises(InternalError, match="still mounted: /x/proc"), new_root(tmp_path / "r"):
        left.append("/x/proc")
    assert (tmp_path / "r").is_dir()


def test_who_is_not_root_is_told_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    settings = from_environment({"SUITE": "sid", "OUT": str(tmp_path), "HOME": str(tmp_path)})
    with pytest.raises(MachineError) as caught:
        newcomer.newcomer(settings)
    assert caught.value.next_step == "sudo make newcomer SUITE=sid"


@pytest.mark.parametrize("suite", ["../x", "trixie main", "-v"])
def test_the_suite_is_a_name(suite: str) -> None:
    with pytest.raises(InvocationError, match="SUITE="):
        from_environment({"SUITE": suite})
