# SPDX-License-Identifier: GPL-2.0-only
"""Runs one of the kernel's own selftests as a case: prepares the guest, runs it, tidies up.

    selftest.py --run NAME      NAME is a key of plan.json beside this file

The selftest's own lines come out as diagnostics that begin with '| ', so that none of
them can be taken for the verdict of the case. Its verdict is its exit status, as
tools/testing/selftests/kselftest.h says: 0 passes, 4 skips.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import sys
import time
from collections import deque

from vtest import (
    call,
    case,
    diag,
    expect,
    expect_eq,
    failed,
    main,
    require,
    skip,
    undo_later,
    undoing,
)
from vtsys import key, read, set_knob, swap_on_disk, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = "/tmp/selftest"  # where a test runs; it may leave files there
SKIPPED = 4  # KSFT_SKIP
TIME_FACTOR = 2.0  # as harness/workloads/regression_selftests.py has it
LINES = 200  # of its last output that are kept beside its results
KEPT = 4000  # lines of results that are kept: no test has so many
WIDTH = 300  # characters of a line that are kept
COLOUR = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
MNT_DETACH = 2
NOBODY = 65534
KILL = 9


@undoing
def remove_folder(path: str) -> None:
    """Undoes making the folder a test runs in, with all it left there."""
    for folder, folders, names in os.walk(path, topdown=False):
        for name in names:
            os.unlink(os.path.join(folder, name))
        for name in folders:
            there = os.path.join(folder, name)
            (os.unlink if os.path.islink(there) else os.rmdir)(there)
    os.rmdir(path)


@undoing
def unmount(path: str) -> None:
    """Undoes mounting."""
    result = call("umount2", path.encode(), MNT_DETACH)
    if result:
        failed(f"umount {path}: {result}")


def prepare(plan: dict[str, Any]) -> None:
    """Brings the guest into the state that the test needs; undone when the case ends."""
    undo_later(remove_folder, FOLDER)
    os.mkdir(FOLDER)
    os.chmod(FOLDER, 0o777)
    os.chdir(FOLDER)
    # What ran before has left memory in pieces; many a test wants a huge page.
    write("/proc/sys/vm/drop_caches", 3)
    write("/proc/sys/vm/compact_memory", 1)
    for path, value in plan["settings"]:
        set_knob(path, value)
    if plan["huge_pages"]:
        huge_pages(plan["huge_pages"])
    if plan["hugetlbfs"]:
        os.mkdir("huge")
        result = call("mount", b"none", f"{FOLDER}/huge".encode(), b"hugetlbfs", 0, None)
        require(result == 0, f"mount hugetlbfs: {result}")
        undo_later(unmount, f"{FOLDER}/huge")
    if plan["swap"]:
        swap_on_disk()


def huge_pages(count: int) -> None:
    """Has ``count`` huge pages set aside."""
    set_knob("/proc/sys/vm/nr_hugepages", count)
    free = key("/proc/meminfo", "HugePages_Free")
    require(free == count, f"{count} huge pages are free: {free}")


def become(user: str, argv: list[str]) -> NoReturn:
    """The selftest, in a process group of its own."""
    try:
        os.setsid()
        if user != "root":
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        path = f"{HERE}/bin/{argv[0]}"  # by its name a program finds itself again
        os.execv(path, [path, *argv[1:]])
    finally:
        os._exit(127)


class Output:
    """What is kept of a selftest's output: its last results and its last lines.

    It may print for ever, and without an end of line.
    """

    def __init__(self, keep: int = 0) -> None:
        self.rest = b""  # of a line that has not ended
        self.count = 0
        self.results: deque[tuple[int, str]] = deque(maxlen=KEPT)
        self.last: deque[tuple[int, str]] = deque(maxlen=keep or LINES)
        self.left_out = 0

    def take(self, piece: bytes) -> None:
        """More of it; b'' at its end."""
        *whole, self.rest = (self.rest + piece).split(b"\n")
        self.rest = self.rest[: 8 * WIDTH]
        if not piece and self.rest:
            whole, self.rest = [self.rest], b""
        for line in whole:
            for part in line.decode("utf-8", "replace").splitlines() or [""]:
                self.keep(part[:WIDTH])

    def keep(self, line: str) -> None:
        """One whole line."""
        self.count += 1
        self.last.append((self.count, line))
        if is_result(line):
            self.left_out += len(self.results) == KEPT
            self.results.append((self.count, line))

    def lines(self) -> list[str]:
        """All that is kept, in order."""
        return [line for _, line in sorted({*self.results, *self.last})]


def run(plan: dict[str, Any]) -> tuple[int | None, Output]:
    """Runs the selftest: its wait status (None: it was out of time) and what it printed."""
    limit = plan["timeout"] * TIME_FACTOR * float(os.environ.get("HARNESS_PACE", "1"))
    deadline = time.monotonic() + limit
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        become(plan["user"], plan["argv"])
    os.close(writing)
    ended = os.pidfd_open(pid)
    watched = [reading, ended]
    said = Output(plan.get("keep", 0))
    status: int | None = None
    while (left := deadline - time.monotonic()) > 0:
        ready = select.select(watched, [], [], left)[0]
        # Its last lines first; but what it left running may hold the pipe open for ever.
        if reading in ready:
            piece = os.read(reading, 65536)
            said.take(piece)
            if not piece:
                watched.remove(reading)
        elif ended in ready:
            status = os.waitpid(pid, 0)[1]
            break
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, KILL)
    if status is None:
        os.waitpid(pid, 0)
        diag(f"out of time after {limit:.1f} s")
    said.take(b"")
    return status, said


def is_result(line: str) -> bool:
    """Whether a line is a result, a plan or a total of the TAP that many selftests print.

    Of a subtest only what failed.
    """
    plain = COLOUR.sub("", line)
    results = ("ok", "not ok", "1..", "# Totals", "Bail out")
    return plain.startswith(results) or plain.lstrip().startswith("not ok ")


def tell(said: Output) -> list[str]:
    """Prints the selftest's results and its last lines; the lines that were printed."""
    shown = said.lines()
    diag("\n".join(f"| {line}" for line in shown))
    if said.left_out:
        diag(f"left out: {said.left_out} results")
    return shown


def judge(status: int | None, shown: list[str]) -> None:
    """The verdict of the case, from how the selftest ended."""
    if status is None:
        expect(False, "it was out of time")
        return
    code = os.waitstatus_to_exitcode(status)
    if code == SKIPPED:
        words = [line for line in shown if "skip" in line.lower()] or shown or [""]
        skip(words[-1].strip() or "exit status 4")
    expect_eq(code, 0, "exit status" if code >= 0 else "signal")


def register(name: str, plan: dict[str, Any]) -> None:
    """Makes a test of the plan a case of this program."""

    def one() -> None:
        prepare(plan)
        status, said = run(plan)
        judge(status, tell(said))

    one.__name__, one.__doc__ = name, " ".join(plan["argv"])
    case()(one)


if __name__ == "__main__":
    for _name, _plan in json.loads(read(f"{HERE}/plan.json")).items():
        if _name in sys.argv:
            register(_name, _plan)
    main()
