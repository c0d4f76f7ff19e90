# SPDX-License-Identifier: GPL-2.0-only
"""Set-up: what is missing is named or installed, and .venv counts only when complete."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from harness.core.settings import PROJECT
from harness.setup import bootstrap
from tests.support.limits import note_refused_locks

TABLE = json.loads((PROJECT / "harness" / "setup" / "packages.json").read_text())
ON_DEMAND = {
    "shell",
    "newcomer",
    "sparse",
    "arm64",
    "riscv",
    "libcap",
    "libnuma",
    "liburing",
}  # asked for by the commands that come to need them
TINY: dict[str, Any] = {
    "needs": [
        {"command": ["sh"], "for": ["check"], "apt": "dash", "dnf": "bash", "pacman": "bash"},
        {"command": ["no-such-a", "no-such-b"], "for": ["check"], "apt": "pa", "dnf": "da",
         "pacman": "aa"},
        {"file": ["/no/such/file.h"], "for": ["check", "test-kernel"], "apt": "libx-dev",
         "dnf": "x-devel", "pacman": "x"},
        {"module": "no_such_module", "for": ["test-kernel"], "apt": "pm", "dnf": "dm",
         "pacman": "am"},
        {"file": ["/no/such/file.a"], "for": ["check"], "apt": "libx-dev", "dnf": "x-static",
         "pacman": "x"},
    ],
    "managers": TABLE["managers"],
}  # fmt: skip


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "out" / "setup.log"


def refusal(purpose: str, log: Path) -> str:
    with pytest.raises(bootstrap.UnableError) as caught:
        bootstrap.provide(TINY, purpose, log)
    return str(caught.value)


def test_every_need_has_a_test_and_a_package_for_each_manager() -> None:
    for need in TABLE["needs"]:
        assert len({"command", "file", "module"} & need.keys()) == 1
        assert all(need[name] for name in TABLE["managers"])
        assert set(need["for"]) <= bootstrap.LOCKS.keys() | ON_DEMAND


def test_check_needs_less_than_test_kernel() -> None:
    for need in TABLE["needs"]:
        assert "test-kernel" in need["for"] or set(need["for"]) <= ON_DEMAND
    names = {n["apt"] for n in TABLE["needs"] if "check" in n["for"]}
    assert not names & {"flex", "bison", "qemu-system-x86", "ccache"}


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("apt", "sudo apt-get install --no-install-recommends pa libx-dev"),
        ("dnf", "sudo dnf install da x-devel x-static"),
        ("pacman", "sudo pacman -S --needed aa x"),
    ],
)
def test_one_line_to_paste_and_nothing_changed(
    name: str, line: str, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "manager", lambda table: name)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(subprocess, "call", lambda *a, **k: pytest.fail("ran something"))
    said = refusal("check", log)
    assert f"\n    {line}\n" in said
    assert "no-such-a/no-such-b, file.h, file.a" in said
    assert not log.parent.exists()


def test_root_without_apt_gets_the_line_as_well(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "manager", lambda table: "dnf")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert "sudo dnf install" in refusal("check", log)


def test_no_package_manager_at_all(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "manager", lambda table: None)
    assert "neither apt, dnf nor pacman" in refusal("check", log)


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Root on an apt machine whose apt-get is ours; the script to fill in."""
    monkeypatch.setattr(bootstrap, "manager", lambda table: "apt")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder / "apt-get"


def program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_root_on_apt_installs_without_asking(
    apt: Path, log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there: list[bool] = []
    monkeypatch.setattr(bootstrap, "present", lambda need: bool(there) or "sh" in need.values())
    program(apt, 'echo "apt $DEBIAN_FRONTEND $*"')
    real = bootstrap.install

    def install(wanted: list[str], log: Path) -> bool:
        there.append(True)
        return real(wanted, log)

    monkeypatch.setattr(bootstrap, "install", install)
    bootstrap.provide(TINY, "check", log)
    assert "apt noninteractive install -y --no-install-recommends" in log.read_text()
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 1
    assert "apt noninteractive" not in "".join(out)


def test_stale_lists_are_renewed_once(apt: Path, log: Path, tmp_path: Path) -> None:
    state = tmp_path / "updated"
    program(apt, f'case "$1" in update) touch {state};; install) test -e {state};; esac')
    assert bootstrap.install(["x"], log)
    assert [line.split()[2] for line in log.read_text().splitlines()][-2:] == ["update", "install"]


def test_apts_own_words_are_shown_when_it_fails(apt: Path, log: Path) -> None:
    program(apt, "echo 'E: Unable to locate package pa'; exit 100")
    said = refusal("check", log)
    assert "E: Unable to locate package pa" in said
    assert f"evidence: {log}" in said
    assert "sudo apt-get install" in said


def test_what_is_still_missing_afterwards_is_said(apt: Path, log: Path) -> None:
    program(apt, "exit 0")
    assert "still not found after installing" in refusal("check", log)


# --- the locks ----------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(bootstrap.LOCKS.values()))
def test_locks_pin_and_hash_every_package_and_name_no_host(name: str) -> None:
    text = (PROJECT / name).read_text()
    blocks = re.split(r"\n(?=\S)", text.strip())
    assert len(blocks) > 20
    for block in blocks:
        assert re.match(r"[a-z0-9._-]+==[\w.]+ \\\n    --hash=sha256:[0-9a-f]{64}", block), block
    assert "://" not in text
    assert "index-url" not in text


def test_the_locks_hold_what_the_project_asks_for() -> None:
    import tomllib

    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]

    def names(wanted: list[str]) -> set[str]:
        return {re.split(r"[<>=\[]", w)[0].lower().replace(".", "-") for w in wanted}

    def locked(name: str) -> dict[str, str]:
        return dict(re.findall(r"(?m)^([a-z0-9._-]+)==(\S+)", (PROJECT / name).read_text()))

    plain, dev = locked("requirements.lock"), locked("requirements-dev.lock")
    dask, extras = locked("requirements-dask.lock"), project["optional-dependencies"]
    assert names(extras["dask"]) <= dask.keys() and not dask.keys() & plain.keys()
    assert dask.items() <= dev.items()
    assert names(project["dependencies"]) <= plain.keys()
    assert names(project["optional-dependencies"]["dev"]) <= dev.keys()
    assert plain.items() <= dev.items()


# --- .venv -----------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with empty locks, whose .venv takes no time and no network."""

    def quick(command: list[str], log: Path, env: object = None) -> bool:
        if "venv" in command:
            python = Path(command[-1]) / "bin" / "python"
            python.parent.mkdir(parents=True)
            python.touch()
        return True

    monkeypatch.setattr(bootstrap, "logged", quick)
    root = tmp_path / "project"
    (root / "harness" / "setup").mkdir(parents=True)
    (root / "harness" / "setup" / "packages.json").write_text('{"needs": [], "managers": {}}')
    for name in bootstrap.LOCKS.values():
        (root / name).write_text(f"# {name}\n")
    monkeypatch.setattr(bootstrap, "PROJECT", root)
    return root


def test_a_venv_is_made_once(project: Path) -> None:
    bootstrap.set_up(project, "test-kernel")
    stamp = project / ".venv" / ".complete"
    first = stamp.stat().st_mtime_ns
    assert (project / ".venv" / "bin" / "python").exists()
    bootstrap.set_up(project, "test-kernel")
    assert stamp.stat().st_mtime_ns == first


def test_a_changed_lock_makes_it_anew(project: Path) -> None:
    bootstrap.set_up(project, "test-kernel")
    (project / ".venv" / "leftover").touch()
    (project / "requirements.lock").write_text("# changed\n")
    bootstrap.set_up(project, "test-kernel")
    assert not (project / ".venv" / "leftover").exists()


def test_what_check_needs_is_enough_for_both(project: Path) -> None:
    bootstrap.set_up(project, "check")
    (project / ".venv" / "kept").touch()
    bootstrap.set_up(project, "test-kernel")
    assert (project / ".venv" / "kept").exists()


def test_a_moved_project_makes_its_venv_anew(project: Path) -> None:
    lock = project / "requirements.lock"
    before = bootstrap.fingerprint(lock)
    bootstrap.PROJECT = project.parent  # the fixture puts it back
    assert bootstrap.fingerprint(lock) != before


def test_a_half_made_venv_does_not_count(project: Path) -> None:
    bootstrap.set_up(project, "check")
    (project / ".venv" / ".complete").unlink()
    (project / ".venv" / "bin" / "python").unlink()
    bootstrap.set_up(project, "check")
    assert (project / ".venv" / "bin" / "python").exists()


def test_a_package_that_cannot_be_had_leaves_no_venv(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"/no/such/package.whl --hash=sha256:{'0' * 64}\n")
    with pytest.raises(bootstrap.UnableError, match="Python packages could not be installed"):
        bootstrap.make_venv(tmp_path / ".venv", lock, tmp_path / "out" / "setup.log")
    assert not (tmp_path / ".venv").exists()


def test_two_runs_at_once_make_it_once(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []
    real = bootstrap.make_venv
    refused = note_refused_locks(monkeypatch, bootstrap)

    def slow(venv: Path, lock: Path, log: Path) -> None:
        made.append(venv)
        for _ in range(2):
            refused.acquire()  # the others wait
        real(venv, lock, log)

    monkeypatch.setattr(bootstrap, "make_venv", slow)
    runs = [threading.Thread(target=bootstrap.set_up, args=(project, "check")) for _ in range(3)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert len(made) == 1


def test_the_script_runs_with_nothing_but_python(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(PROJECT / "harness" / "setup" / "bootstrap.py"), "--help"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0
    assert "test-kernel" in done.stdout


def test_the_exit_status_is_that_of_the_machine(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unable(*_: object) -> None:
        raise bootstrap.UnableError("not found: flex")

    monkeypatch.setattr(bootstrap, "set_up", unable)
    assert bootstrap.main(["--for", "check"]) == 3
    said = capsys.readouterr().err
    assert said.startswith("machine error: not found: flex")
    assert "verdict: infra (exit 3)" in said


def test_an_old_python_is_told_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 2, "final", 0))
    assert bootstrap.main([]) == 3
    assert "3.11 or later is needed" in capsys.readouterr().err


def test_pip_comes_with_python_itself() -> None:
    assert Path(bootstrap.pip()).parent.is_file()
    assert shutil.which("sh")
