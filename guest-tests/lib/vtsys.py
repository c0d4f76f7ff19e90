# SPDX-License-Identifier: GPL-2.0-only
"""The guest's knobs: files of /proc and /sys, swap, control groups, CPUs.

Whatever is changed here is put back when the case ends, however it ends. pathlib is
not used: importing it takes longer than most cases.
"""

from __future__ import annotations

import os
import select
import struct

from vtest import AbandonedError, call, diag, failed, require, require_eq, skip, undo_later, undoing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

PAGE = 4096
CGROUPS = "/sys/fs/cgroup"


def read(path: str) -> str:
    """The contents of a file, without the last newline."""
    with open(path) as file:
        return file.read().rstrip("\n")


def write(path: str, text: object) -> None:
    """Writes to an existing file in one call; OSError if the kernel refuses."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, str(text).encode())
    finally:
        os.close(fd)


def key(path: str, name: str) -> int:
    """The number behind ``name`` in a file of 'name number' lines; -1 if not there."""
    for line in read(path).splitlines():
        words = line.replace(":", " ").split()
        if words and words[0] == name:
            return int(words[1])
    return -1


@undoing
def put_back(argument: str) -> None:
    """Undoes ``set_knob``: argument is 'path newline value'."""
    path, _, value = argument.partition("\n")
    try:
        write(path, value)
    except OSError as error:
        failed(f"cannot put {value!r} back into {path}: {error}")


def set_knob(path: str, value: object) -> None:
    """Sets a knob for the time of this case."""
    old = read(path)
    # A choice like 'always [madvise] never' is set by its word.
    if "[" in old:
        old = old.partition("[")[2].partition("]")[0]
    undo_later(put_back, f"{path}\n{old}")
    write(path, value)


@undoing
def swap_off(device: str) -> None:
    """Undoes ``swap_on``."""
    result = call("swapoff", device.encode())
    if result not in (0, -22):
        failed(f"swapoff {device}: {result}")


def swap_on(device: str) -> None:
    """Adds a swap device."""
    undo_later(swap_off, device)
    require_eq(call("swapon", device.encode(), 0), 0, f"swapon {device}")


def swap_on_disk() -> None:
    """Uses the raw swap disk that the host can read."""
    device = os.environ.get("VTEST_SWAPDISK", "")
    require(bool(device), "VTEST_SWAPDISK is set")
    swap_on(device)


@undoing
def reset_zram(argument: str) -> None:
    """Undoes ``swap_on_zram``."""
    try:
        write("/sys/block/zram0/reset", 1)
    except OSError as error:
        failed(f"zram reset: {error}{argument}")


def swap_on_zram(megabytes: int) -> None:
    """Uses compressed memory as swap."""
    if not os.access("/dev/zram0", os.F_OK):
        skip("no zram in this kernel")
    undo_later(reset_zram, "")
    write("/sys/block/zram0/disksize", f"{megabytes}M")
    header = bytearray(PAGE)
    struct.pack_into("<II", header, 1024, 1, megabytes * 256 - 1)  # version, last page
    header[-10:] = b"SWAPSPACE2"
    with open("/dev/zram0", "wb") as file:
        file.write(header)
    swap_on("/dev/zram0")


@undoing
def remove_cgroup(path: str) -> None:
    """Undoes ``Cgroup``: kills what is in it and waits for the group to be empty."""
    try:
        write(f"{path}/cgroup.kill", 1)
        with open(f"{path}/cgroup.events") as file:
            poll = select.poll()
            poll.register(file, select.POLLPRI)
            while "populated 0" not in file.read():
                if not poll.poll(2000):
                    break
                file.seek(0)
        os.rmdir(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        failed(f"rmdir {path}: {error}")


class Cgroup:
    """A control group below the root one, for the time of this case."""

    def __init__(self, name: str) -> None:
        self.path = f"{CGROUPS}/{name}"
        undo_later(remove_cgroup, self.path)
        os.mkdir(self.path)

    def enter(self) -> None:
        """Puts the calling process in."""
        self.write("cgroup.procs", 0)

    def write(self, file: str, value: object) -> None:
        """Writes one of its files; OSError if the kernel refuses."""
        write(f"{self.path}/{file}", value)

    def try_write(self, file: str, value: object) -> int:
        """As ``write``, but returns 0 or -errno."""
        try:
            self.write(file, value)
        except OSError as error:
            return -(error.errno or 0)
        return 0

    def read(self, file: str) -> str:
        """Reads one of its files."""
        return read(f"{self.path}/{file}")

    def number(self, file: str) -> int:
        """Reads one of its files that holds one number."""
        return int(self.read(file))

    def key(self, file: str, name: str) -> int:
        """The number behind ``name`` in one of its files; -1 if not there."""
        return key(f"{self.path}/{file}", name)


def pin(cpu: int) -> None:
    """Stays on one CPU: what is touched and what is called share its caches."""
    os.sched_setaffinity(0, {cpu})


def mglru(on: bool) -> None:
    """Switches the multi-generational LRU for the time of this case."""
    path = "/sys/kernel/mm/lru_gen/enabled"
    if not os.access(path, os.F_OK):
        skip("no CONFIG_LRU_GEN in this kernel")
    set_knob(path, "y" if on else "n")


def child(function: Callable[[], None]) -> int:
    """Starts a process that runs ``function`` and exits with 0, or 1 if it raised."""
    pid = os.fork()
    if not pid:
        _child(function)
    return pid


def _child(function: Callable[[], None]) -> NoReturn:
    status = 1
    try:
        function()
        status = 0
    except AbandonedError as error:
        diag(str(error))
    except Exception:
        import traceback

        diag(traceback.format_exc())
    finally:
        os._exit(status)


def wait(pid: int) -> int:
    """The wait status of a child."""
    return os.waitpid(pid, 0)[1]
