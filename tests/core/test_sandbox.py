# SPDX-License-Identifier: GPL-2.0-only
"""What a program in the sandbox can do, and what is said where there is none."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.core import proc, sandbox
from harness.core.errors import MachineError, SeriesError
from harness.core.sandbox import Inside, taken
from harness.core.settings import PROJECT

needs_sandbox = pytest.mark.skipif(sandbox.why_not() is not None, reason=str(sandbox.why_not()))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with a secret."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "secret").write_text("secret words\n")
    monkeypatch.setenv("HOME", str(home))
    return home


def run(script: str, **inside: tuple[Path, ...]) -> tuple[int, str]:
    done = proc.run(("sh", "-c", script), inside=Inside(**inside))
    return done.returncode, done.output


def left(mark: str) -> list[str]:
    """The processes of this machine with ``mark`` on their command lines."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:  # ended meanwhile
            continue
        if mark.encode() in words:
            found.append(words.decode())
    return found


@needs_sandbox
def test_home_is_invisible_and_all_but_its_own_folder_read_only(home: Path, tmp_path: Path) -> None:
    own, source = tmp_path / "own", tmp_path / "source"
    for folder in (own, source):
        folder.mkdir()
    (source / "file").write_text("words\n")
    places = {"writes": (own,), "reads": (source,)}
    assert run(f"cat {source}/file; cp {source}/file {own}", **places) == (0, "words\n")
    assert (own / "file").read_text() == "words\n"
    assert run(f"ls {home} | wc -l", **places)[1].strip() == "0"
    for place in (source / "new", "/usr/new", "/new", "/etc/new", tmp_path / "new"):
        code, said = run(f"echo x > {place}", **places)
        assert code != 0 and sandbox.refused(said.splitlines()), place
    assert not any((place / "new").exists() for place in (source, tmp_path))
    shutil.rmtree(own)  # whoever the sandbox's user is


@needs_sandbox
def test_no_capabilities_no_network_and_no_process_of_others(
    victim: subprocess.Popen[bytes],
) -> None:
    assert "CapEff:\t0000000000000000" in run("cat /proc/self/status")[1]
    assert run("cat /proc/net/dev | grep -c :")[1] == "1\n"  # lo
    code, said = run(f"kill -9 {victim.pid}")
    assert code != 0 and "No such process" in said and victim.poll() is None
    if os.geteuid() == 0:
        assert run("id -u")[1] == f"{sandbox.USER_ID}\n"
        assert run("cat /etc/shadow")[0] != 0


@needs_sandbox
def test_nothing_outlives_the_program(tmp_path: Path) -> None:
    mark = f"outlives-{tmp_path}"
    daemon = f"setsid sh -c 'while :; do sleep 1; done' {mark} >/dev/null 2>&1 </dev/null &"
    assert run(f"{daemon} kill -0 $! && exit 3")[0] == 3
    assert not left(mark)


CHILD = """
import fcntl, os, sys
from harness.core import proc
from harness.core.sandbox import Inside
handle = open(sys.argv[1], "w")
os.set_inheritable(handle.fileno(), True)
fcntl.flock(handle, fcntl.LOCK_EX)
script = "setsid sh -c 'while :; do sleep 1; done' $0 & echo ready; wait"
argv = ("sh", "-c", script, sys.argv[2])
proc.run(argv, inside=Inside(), on_line=lambda line: print(line, flush=True))
"""


@needs_sandbox
def test_a_killed_harness_takes_the_sandbox_along_and_the_lock_waits_for_it(tmp_path: Path) -> None:
    lock, mark = tmp_path / "lock", f"killed-{tmp_path}"
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(lock), mark],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    ) as harness:
        assert harness.stdout is not None and harness.stdout.readline() == "ready\n"
        assert left(mark)
        harness.kill()
        with open(lock, "w", encoding="utf-8") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            assert not left(mark)


@needs_sandbox
def test_programs_below_the_home_folder_run_and_nothing_else_of_it_is_seen(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools, private = home / "tools", home / "tools" / "private"
    for folder in (tools / "bin", tools / "lib", private, home / "bin"):
        folder.mkdir(parents=True)
    (tools / "lib" / "words").write_text("from lib\n")
    (tools / "bin" / "my-cc").write_text('#!/bin/sh\ncat "${0%/*}/../lib/words"\n')
    (tools / "bin" / "my-cc").chmod(0o755)
    (home / "bin" / "linked-cc").symlink_to(tools / "bin" / "my-cc")
    monkeypatch.setenv("PATH", f"{home}/bin:{os.environ['PATH']}")
    assert run(f"{tools}/bin/my-cc; linked-cc >&2")[1].startswith("from lib\n")
    assert run(f"ls {home} {tools}")[1].split() == [
        f"{home}:", "bin", "tools", f"{tools}:", "bin", "lib"]  # fmt: skip


def test_without_a_sandbox_one_line_says_so_and_the_run_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []
    monkeypatch.setattr(sandbox, "why_not", lambda: "bwrap is not installed")
    sandbox.settle("auto", told.append)
    assert len(told) == 1 and "no sandbox (bwrap is not installed)" in told[0]
    assert Inside().prefix() == () and sandbox.refused(["x: Permission denied"]) == []
    with pytest.raises(MachineError, match=r"SANDBOX=require, and .* bwrap is not installed"):
        sandbox.settle("require", told.append)
    assert len(told) == 1


@needs_sandbox
def test_it_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_off", False)
    told: list[str] = []
    sandbox.settle("require", told.append)
    assert Inside().prefix()[0] == "bwrap" and not told
    sandbox.settle("no", told.append)
    assert Inside().prefix() == () and "SANDBOX=no" in told[0]


def test_why_there_is_none_is_what_bwrap_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bwrap").write_text("#!/bin/sh\necho 'bwrap: No permissions' >&2; exit 1\n")
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert sandbox.why_not.__wrapped__() == "bwrap: No permissions"
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert sandbox.why_not.__wrapped__() == "bwrap is not installed"


def test_what_a_build_leaves_is_read_only_where_it_is_a_plain_file(tmp_path: Path) -> None:
    (tmp_path / "out" / "real").mkdir(parents=True)
    (tmp_path / "out" / "plain").write_text("x")
    (tmp_path / "secret").write_text("x")
    (tmp_path / "out" / "link").symlink_to("../secret")
    (tmp_path / "out" / "dangling").symlink_to("nowhere")
    (tmp_path / "out" / "up").symlink_to("..")
    os.mkfifo(tmp_path / "out" / "pipe")
    out = tmp_path / "out"
    assert taken(out, "plain") == out / "plain" and taken(out, "absent") == out / "absent"
    assert taken(out, "real", Path.is_dir) == out / "real"
    for name in ("link", "dangling", "up/secret", "pipe", "real"):
        with pytest.raises(SeriesError, match=name):
            taken(out, name)
