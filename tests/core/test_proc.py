# SPDX-License-Identifier: GPL-2.0-only
"""Other programs: logged, listened to, and gone when we are."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from harness.core import proc
from harness.core.errors import InternalError, MachineError
from harness.core.settings import PROJECT
from tests.support.limits import SOON_S, wait_gone


def test_lines_reach_the_listener_and_the_log(tmp_path: Path) -> None:
    lines: list[str] = []
    log = tmp_path / "deep" / "log"
    script = "echo one; echo two >&2; exit 3"
    done = proc.run(("sh", "-c", script), log=log, on_line=lines.append)
    assert done.returncode == 3
    assert lines == ["one", "two"]
    assert log.read_text() == "one\ntwo\n"
    assert done.output == ""


def test_without_a_log_the_output_is_returned() -> None:
    assert proc.run(("sh", "-c", "printf 'a\\377b'")).output == "a�b"


def test_a_program_that_is_missing_is_the_machines_fault() -> None:
    for call in (proc.run, proc.capture):
        with pytest.raises(MachineError, match="no-such-program is not installed"):
            call(("no-such-program",))


def test_capture_raises_with_the_programs_last_words() -> None:
    with pytest.raises(InternalError, match="ended with 4\nbroken"):
        proc.capture(("sh", "-c", "echo broken >&2; exit 4"))
    assert proc.capture(("sh", "-c", "exit 4"), expect=(4,)) == b""


def test_a_full_disk_is_the_machines_fault() -> None:
    error = proc.failure(("gcc",), 1, "as: final close failed: No space left on device")
    assert isinstance(error, MachineError)
    assert "clean-cache" in str(error.next_step)


def test_an_exception_ends_the_whole_group(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"sleep 3600 & echo $! > {pids}; echo ready; wait"

    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        proc.run(("sh", "-c", script), on_line=interrupt)
    wait_gone(int(pids.read_text()))


def test_a_group_that_ignores_the_polite_signal_is_ended_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(proc, "END_TIMEOUT_S", SOON_S)
    with (
        pytest.raises(ValueError, match="stop"),
        proc.start(("sh", "-c", "trap '' TERM; echo; sleep 3600")) as process,
    ):
        assert process.stdout is not None
        process.stdout.readline()
        raise ValueError("stop")
    assert process.returncode == -signal.SIGKILL


CHILD = """
import fcntl, os, sys
from harness.core import proc
handle = open(sys.argv[1], "w")
os.set_inheritable(handle.fileno(), True)
fcntl.flock(handle, fcntl.LOCK_EX)
script = f"trap 'read line < {sys.argv[2]}; exit' TERM; echo $$; while :; do sleep 0.05; done"
proc.run(("sh", "-c", script), on_line=lambda line: print(line, flush=True))
"""


def test_a_killed_harness_takes_its_programs_along_and_the_lock_waits_for_them(
    tmp_path: Path,
) -> None:
    lock, go = tmp_path / "lock", tmp_path / "go"
    os.mkfifo(go)
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(lock), str(go)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    ) as harness:
        assert harness.stdout is not None
        pid = int(harness.stdout.readline())
        harness.kill()
        harness.wait()
        with open(lock, "w", encoding="utf-8") as handle:
            # The program is still ending: what it works on is not free yet.
            with pytest.raises(BlockingIOError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            go.write_text("\n")
            wait_gone(pid)
            fcntl.flock(handle, fcntl.LOCK_EX)


def test_a_short_command_fails_with_the_error_that_its_caller_makes() -> None:
    command = ("sh", "-c", "echo out; echo why >&2; exit 3")
    with pytest.raises(MachineError, match=r"^it says: why$"):
        proc.capture(command, problem=lambda said: MachineError(f"it says: {said}"))
    assert proc.capture(command, expect=(3,)) == b"out\n"
    with pytest.raises(MachineError, match="tool-that-is-nowhere is not installed"):
        proc.run_tool(("tool-that-is-nowhere",), "nothing")


def test_what_gives_way_does_so_to_its_own_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """At an absolute number, a run that was made urgent would wait for all of the machine."""
    known = {threading.get_native_id(): -10}
    monkeypatch.setattr(os, "getpriority", lambda _, thread: known[thread])
    monkeypatch.setattr(os, "setpriority", lambda _, thread, nice: known.update({thread: nice}))
    proc.give_way()
    assert known == {threading.get_native_id(): proc.NICE - 10}
