# SPDX-License-Identifier: GPL-2.0-only
"""Commands under terminals, pipes and shells of all kinds end as they should, and never with 70."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
from harness.core.terminal import ending_signals, standard_streams
with standard_streams(), ending_signals():
    try:
        {body}
    except KeyboardInterrupt:
        print("unwound", file=sys.stderr)
        sys.exit(130)
"""
WAIT = "print('ready'); import signal; [signal.pause() for _ in range(9)]"


def program(body: str) -> list[str]:
    return [sys.executable, "-c", PROGRAM.format(body=body)]


def shell(line: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A line of shell with the harness as ``$H``."""
    return subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, check=False,
        env={**os.environ, "H": f"{sys.executable} -m harness", **env},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("$H help <&-", 0),
        ("$H help >&-", 0),
        ("$H help 2>&-", 0),
        ("$H help <&- >&- 2>&-", 0),
        ("$H tset-kernel >&- 2>&-", 2),
        ("$H help > /dev/full", 3),
        ("$H tset-kernel 2> /dev/full", 3),
    ],
)
def test_closed_and_full_streams(line: str, status: int) -> None:
    done = shell(line)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    if "> /dev/full" in line and "2>" not in line:
        assert "No space left on device" in done.stderr and "exit 3" in done.stderr


def test_a_reader_that_has_seen_enough_ends_the_run() -> None:
    done = subprocess.run(
        ["bash", "-c", '"$@" | head -1; echo ${PIPESTATUS[0]}', "bash",
         *program("[print(n) for n in range(10 ** 6)]")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["0", "130"]
    assert done.stderr == "unwound\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_what_an_encoding_does_not_have_is_written_as_an_escape(encoding: str) -> None:
    done = subprocess.run(
        program(r"print('caf\u00e9 \u2713 \udcff')"), capture_output=True, check=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )  # fmt: skip
    assert rb"\udcff" in done.stdout
    assert ("✓".encode() in done.stdout) == (encoding == "utf-8")


def test_a_closed_stream_is_nobody_elses_file(tmp_path: Path) -> None:
    body = f"f = open({str(tmp_path / 'kept')!r}, 'w'); print('lost'); f.write('kept')"
    done = subprocess.run(["bash", "-c", '"$@" >&-', "bash", *program(body)], check=True)
    assert done.returncode == 0
    assert (tmp_path / "kept").read_text() == "kept"


def started(**options: object) -> subprocess.Popen[str]:
    running = subprocess.Popen(
        program(WAIT), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )  # type: ignore[call-overload]
    assert running.stdout.readline() == "ready\n"
    return running  # type: ignore[no-any-return]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_signal_that_ends_unwinds(number: signal.Signals) -> None:
    restored = lambda: signal.signal(signal.SIGINT, signal.default_int_handler)  # noqa: E731
    running = started(preexec_fn=restored)
    running.send_signal(number)
    _, said = running.communicate()
    assert (running.returncode, said) == (130, "unwound\n")


def test_a_signal_that_was_ignored_stays_so() -> None:
    running = started(preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    running.send_signal(signal.SIGHUP)
    running.send_signal(signal.SIGTERM)
    running.communicate()
    assert running.returncode == 130


def test_the_second_signal_does_not_disturb_the_unwinding() -> None:
    body = (
        "try: raise_signal(SIGTERM)\n"
        "        finally:\n"
        "            raise_signal(SIGINT); print('cleaned')"
    )
    text = "from signal import *\n" + PROGRAM.format(body="X").replace(
        "        X", f"        {body}"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
    assert done.stdout == "cleaned\n"
    assert done.returncode == 130
    assert done.stderr.splitlines()[0].startswith("ending the guest")


def test_ctrl_z_does_not_stop_a_run() -> None:
    running = started()
    running.send_signal(signal.SIGTSTP)
    assert running.stderr is not None
    assert running.stderr.readline().startswith("the run goes on")
    running.terminate()
    running.communicate()
    assert running.returncode == 130


def test_a_terminal_that_goes_away_ends_the_run() -> None:
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, program(WAIT))
    said = b""
    while b"ready" not in said:
        said += os.read(terminal, 1000)
    os.close(terminal)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 130
