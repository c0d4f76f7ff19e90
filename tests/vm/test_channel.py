# SPDX-License-Identifier: GPL-2.0-only
"""Cases one after another over one channel; the guest's half is the real serve.c."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import paramiko
import pytest

from harness.image.rootfs import INIT_SOURCES
from harness.vm import channel as channel_module
from harness.vm.channel import CaseLine, CommandTimeoutError, SshError, request_of
from harness.vm.ssh import Connection, KeyPair
from tests.support.limits import NEVER_S, SOON_S, note_streams
from tests.vm.fake_sshd import FakeSshd

KEYS = KeyPair.generate()

# A runner of cases without a guest around it: what it is given, and what 'argv' does.
STANDING_IN = r"""
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include "common.h"
int run_case(const char *seq, const char *id, double seconds, char **argv)
{
    if (strcmp(argv[0], "sh") == 0) {
        int status = system(argv[1]);
        return status >> 8;
    }
    if (strcmp(argv[0], "die") == 0)
        raise(SIGKILL);
    dprintf(1, "%s|%s|%g|%s|", seq, id, seconds, getenv("COLOUR") ?: "none");
    while (*argv)
        dprintf(1, "<%s>", *argv++);
    return 7;
}
int main(int argc, char **argv) { return argc == 2 ? serve(argv[1]) : 2; }
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serve")
    (folder / "main.c").write_text(STANDING_IN)
    serve = next(path for path in INIT_SOURCES if path.name == "serve.c")
    made = folder / "serve"
    command = ["gcc", "-Wall", "-Werror", f"-I{serve.parent}", "-o", str(made)]
    subprocess.run([*command, str(folder / "main.c"), str(serve)], check=True)
    return made


def carry(channel: paramiko.Channel, command: str) -> int:
    """Runs a command with the channel as its three streams, as an SSH server does."""
    process = subprocess.Popen(
        command.split(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    assert process.stdin and process.stdout and process.stderr
    to, out, err = process.stdin, process.stdout, process.stderr

    def feed() -> None:
        with to, contextlib.suppress(BrokenPipeError):
            while data := channel.recv(4096):
                to.write(data)

    def hand_on(stream: IO[bytes], send: Callable[[bytes], None]) -> None:
        # paramiko's EOFError: the connection was closed, as some of these tests do.
        with stream, contextlib.suppress(OSError, EOFError):
            while data := stream.read(4096):
                send(data)

    threading.Thread(target=feed, daemon=True).start()
    threads = [
        threading.Thread(target=hand_on, args=(out, channel.sendall)),
        threading.Thread(target=hand_on, args=(err, channel.sendall_stderr)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return process.wait() & 0xFF


@pytest.fixture
def line(program: Path) -> Iterator[CaseLine]:
    sshd = FakeSshd(KEYS.public, lambda command, channel: carry(channel, command))
    connection = Connection.open(sshd.port, KEYS, sshd.host_key, NEVER_S)
    yield connection.serve_cases(str(program), NEVER_S)
    connection.close()
    sshd.close()


def run(
    line: CaseLine, *argv: str, limit: Callable[[], float | None] = lambda: None, **env: str
) -> tuple[int, str, str]:
    done = line.run(request_of(["3", "a::b", "1.5"], argv, env), NEVER_S, limit)
    return done.exit_code, done.stdout, done.stderr


def test_each_case_has_its_own_words_and_variables(line: CaseLine) -> None:
    said = "3|a::b|1.5|green|<prog><--run><b \u00fc'$c><>"
    assert run(line, "prog", "--run", "b \u00fc'$c", "", COLOUR="green") == (7, said, "")
    assert run(line, "prog") == (7, "3|a::b|1.5|none|<prog>", "")
    assert line.open


def test_both_streams_come_back_whole_and_apart(line: CaseLine) -> None:
    assert run(line, "sh", "echo out; echo wrong >&2; printf more; exit 4") == (
        4,
        "out\nmore",
        "wrong\n",
    )
    assert run(line, "sh", "seq 1 50000")[1] == "".join(f"{n}\n" for n in range(1, 50001))
    assert run(line, "sh", "true") == (0, "", "")


def test_what_runs_a_case_may_be_killed_and_the_next_case_runs(line: CaseLine) -> None:
    assert run(line, "die") == (-1, "", "")
    assert run(line, "sh", "exit 2") == (2, "", "")


def test_a_case_that_prints_for_ever_is_cut_and_still_ends(
    line: CaseLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_module, "MAX_KEPT_BYTES", 1000)
    code, out, _ = run(line, "sh", "seq 1 20000; exit 3")
    assert code == 3
    assert out == "".join(f"{n}\n" for n in range(1, 20001))[:1000]
    assert run(line, "sh", "echo next")[1] == "next\n"


def test_a_case_out_of_time_is_the_last_and_shows_what_it_had_printed(
    line: CaseLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = note_streams(monkeypatch, channel_module)
    go = tmp_path / "go"
    os.mkfifo(go)
    with pytest.raises(CommandTimeoutError) as caught:
        run(
            line,
            "sh",
            f"echo so far; read line < {go}",
            limit=lambda: SOON_S if noted[0].text()[0] == "so far\n" else None,
        )
    go.write_text("\n")
    assert caught.value.stdout == "so far\n"
    assert not line.open


def test_the_end_of_the_guests_half_is_a_lost_connection(line: CaseLine) -> None:
    with pytest.raises(SshError, match="the guest runs no more cases on it"):
        run(line, "sh", "kill -9 $(cut -d' ' -f4 /proc/$PPID/stat)")
    assert not line.open


def test_a_case_that_knows_the_mark_and_writes_it_ends_no_run(line: CaseLine) -> None:
    """Its runner's command line is there for all to read."""
    with pytest.raises(SshError, match="names no exit status: 'ok'"):
        run(line, "sh", f"echo {line._mark} ok; echo {line._mark} >&2")
    assert not line.open


def test_a_nul_ends_no_word() -> None:
    with pytest.raises(ValueError, match="NUL"):
        request_of(["1", "a\0b", "1"], ["prog"], {})


def test_half_a_mark_and_one_of_another_line_are_a_cases_own_output(line: CaseLine) -> None:
    # Of 31 digits, the next mark's first one would complete a mark in one run of 16.
    half, other = line._mark[:16], secrets.token_hex(16)
    assert run(line, "sh", f"printf {half}; printf {half} >&2") == (0, half, half)
    assert run(line, "sh", f"echo {other} 0") == (0, f"{other} 0\n", "")
