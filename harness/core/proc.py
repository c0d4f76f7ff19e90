# SPDX-License-Identifier: GPL-2.0-only
"""Runs other programs: output to a log and line by line to a listener, none left behind.

Each program gets a process group of its own, which is ended when the harness is
interrupted or fails. Should the harness itself be killed, the kernel sends the
program SIGTERM (``setpriv --pdeathsig``), and until the last descendant is gone
it holds the store's locks, whose descriptors it inherits.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypedDict, Unpack, cast

from harness.core.command_table import SET_UP
from harness.core.errors import HarnessError, InternalError, MachineError
from harness.core.machine_faults import check_output
from harness.core.sandbox import Inside

NICE = 10
END_TIMEOUT_S = 5.0  # between asking a group to end and making it
# Bytes read at once of a long stream. With Python's 8 KiB and the kernel's 64 KiB of pipe, reader
# and writer of a kernel's tar stream wake each other 160 thousand times: 5 s of 19.
STREAM_BYTES = 1 << 18


class Surroundings(TypedDict, total=False):
    """Where a program runs; what is left out is as it is here.

    ``inside``: the sandbox, for what is or runs code of the tree under test.
    """

    cwd: Path | None
    env: Mapping[str, str] | None
    inside: Inside | None


@dataclass(frozen=True)
class ProgramResult:
    """``output`` is stdout and stderr together; empty where a log took it."""

    argv: tuple[str, ...]
    returncode: int
    seconds: float
    output: str


def give_way() -> None:
    """This thread, and what it starts, runs when no other of this run wants the CPU.

    ``NICE`` is what it is less urgent than the run: a run that was made urgent waits for it at the
    end, and must not wait for all others on the machine.
    """
    me = threading.get_native_id()
    os.setpriority(os.PRIO_PROCESS, me, os.getpriority(os.PRIO_PROCESS, me) + NICE)


def failure(argv: Sequence[str], returncode: int, output: str) -> HarnessError:
    """The error for a program that failed and whose failure nobody expected."""
    try:
        ended = signal.strsignal(-returncode) or "" if returncode < 0 else ""
        check_output(argv[0], f"{output}\n{ended}")
    except MachineError as error:
        return error
    tail = "\n".join(output.strip().splitlines()[-15:])
    how = f"was ended by signal {-returncode}" if returncode < 0 else f"ended with {returncode}"
    return InternalError(f"{' '.join(argv)} {how}\n{tail}".rstrip())


@functools.cache
def _prefix() -> tuple[str, ...]:
    """Has the child asked to be ended when its parent is."""
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", "TERM", "--") if setpriv else ()


def _placed(argv: Sequence[str], where: Surroundings) -> tuple[str, ...]:
    """The command line with what it runs inside of; a MachineError: it is not installed."""
    if shutil.which(argv[0], path=(where.get("env") or os.environ).get("PATH")) is None:
        raise MachineError(f"{argv[0]} is not installed", next_step=SET_UP)
    inside = where.get("inside")
    return (*(inside.prefix() if inside else ()), *argv)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Ends a process group that ``start`` made, politely first."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + END_TIMEOUT_S
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
            while time.monotonic() < deadline:
                process.poll()
                os.killpg(process.pid, 0)
                time.sleep(0.02)
            continue
        return


@contextlib.contextmanager
def start(
    argv: Sequence[str],
    *,
    stdin: int | IO[bytes] | None = subprocess.DEVNULL,
    stderr: int | IO[bytes] | None = subprocess.STDOUT,
    much: bool = False,
    **where: Unpack[Surroundings],
) -> Iterator[subprocess.Popen[bytes]]:
    """A running program whose whole group is ended if the block raises.

    ``much``: it writes gigabytes to a pipe that we read. A MachineError: it is not installed.
    """
    process = subprocess.Popen(
        [*_prefix(), *_placed(argv, where)],
        bufsize=STREAM_BYTES if much else -1,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=stderr,
        start_new_session=True,
        close_fds=False,  # the store's locks are the only inheritable descriptors
        cwd=where.get("cwd"),
        env=where.get("env"),
    )
    try:
        if much and process.stdout is not None:
            # What an ordinary user may have at most; refused, it stays at 64 KiB.
            with contextlib.suppress(OSError):
                fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 1 << 20)
        yield process
        process.wait()
    except BaseException:
        end_group(process)
        raise
    finally:
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        process.wait()


def run(
    argv: Sequence[str],
    *,
    log: Path | None = None,
    on_line: Callable[[str], object] = lambda line: None,
    timeout_s: float | None = None,
    **where: Unpack[Surroundings],
) -> ProgramResult:
    """Runs a program to its end; its output goes to ``log`` (appended) or is returned.

    After ``timeout_s`` its group is ended. A MachineError: it is not installed.
    """
    began = time.monotonic()
    kept: list[str] = []
    with contextlib.ExitStack() as stack:
        keep: Callable[[str], object] = kept.append
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            sink = open(log, "a", encoding="utf-8", errors="replace", buffering=1)  # noqa: SIM115
            keep = stack.enter_context(sink).write
        process = stack.enter_context(start(argv, **where))
        if timeout_s is not None:
            timer = threading.Timer(timeout_s, end_group, (process,))
            timer.start()
            stack.callback(timer.cancel)
        for raw in cast(IO[bytes], process.stdout):
            line = raw.decode("utf-8", "replace")
            keep(line)
            on_line(line.rstrip("\n"))
    return ProgramResult(tuple(argv), process.returncode, time.monotonic() - began, "".join(kept))


def capture(
    argv: Sequence[str],
    *,
    stdin: bytes | IO[bytes] = b"",
    expect: tuple[int, ...] = (0,),
    timeout_s: float | None = None,
    problem: Callable[[str], HarnessError] | None = None,
    **where: Unpack[Surroundings],
) -> bytes:
    """The stdout of a short command; ``problem`` makes the error, where that is not ours.

    Raises:
        MachineError: the program is not installed.
        HarnessError: it ended with a status that is not in ``expect``, or took too long.
    """
    placed = _placed(argv, where)
    try:
        done = subprocess.run(
            placed,
            input=stdin if isinstance(stdin, bytes) else None,
            stdin=None if isinstance(stdin, bytes) else stdin,
            capture_output=True,
            check=False,
            timeout=timeout_s,
            start_new_session=len(placed) > len(argv),  # no terminal for what is not trusted
            cwd=where.get("cwd"),
            env=where.get("env"),
        )
    except subprocess.TimeoutExpired as error:
        raise (problem or InternalError)(f"{argv[0]} took more than {timeout_s} s") from error
    if done.returncode not in expect:
        said = (done.stderr.strip() or done.stdout.strip()).decode("utf-8", "replace")
        raise problem(said) if problem else failure(argv, done.returncode, said)
    return done.stdout


def version(program: str) -> str:
    """The first line that a program says of its version; a MachineError where it is missing."""
    return capture((program, "--version")).decode("utf-8", "replace").partition("\n")[0]


def run_tool(
    argv: Sequence[str], what: str, stdin: bytes | IO[bytes] = b"", **where: Unpack[Surroundings]
) -> str:
    """The stdout of a tool, of the administrator's as well; a MachineError where it fails."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    where["env"] = {**os.environ, "LC_ALL": "C", "PATH": path, **(where.get("env") or {})}

    def problem(said: str) -> MachineError:
        step = f"try: {' '.join(argv)[:300]}"
        return MachineError(f"{what} failed:\n{said[-2000:]}", next_step=step)

    return capture(argv, stdin=stdin, problem=problem, **where).decode("utf-8", "replace")
