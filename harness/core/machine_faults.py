# SPDX-License-Identifier: GPL-2.0-only
"""Failures that are the machine's: full disks, limits, places that cannot be written or run in.

A program says them in the C library's words, Python raises them as OSError: one table for both.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from harness.core.command_table import command
from harness.core.errors import MachineError

FULL = (errno.ENOSPC, errno.EDQUOT)
# What each means to the user, who does not think in system calls.
REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "a file may not be that large here: ulimit -f, or the file system",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "this user may not do that, or the mount is noexec",
    errno.EPERM: "this user may not do that",
    errno.EMFILE: "too many open files: ulimit -n",
    errno.ENFILE: "too many open files on this machine",
    errno.ENOMEM: "there is no memory left",
    errno.EAGAIN: "no more processes or threads: ulimit -u, or a limit of the control group",
    errno.EIO: "a disk cannot be read or written",
    errno.ENAMETOOLONG: "the path is too long: choose a shorter folder",
}
# In a program's output only what no program says for another reason.
_SURE = (*FULL, errno.EFBIG, errno.EROFS, errno.EMFILE, errno.ENFILE)
SAID = {os.strerror(number): number for number in _SURE}
SAID["File size limit exceeded"] = errno.EFBIG
ROOM = f"{command('clean-cache')}, or set HARNESS_CACHE, OUT or TMPDIR to more room"
MORE_ROOM_HELPS = (*FULL, errno.EROFS, errno.EFBIG)
# In a path, what kbuild refuses (blanks, colons) or hands to make and a shell as it is. Tried with
# Linux 6.1, whose tinyconfig and headers take all else that stands on a keyboard.
_NOT_IN_A_PATH = re.compile(r"""[\s:#$%&;()<>|`'"\\*?]""")


def mount_of(path: Path) -> Path:
    """The mount point of the file system that ``path`` is on, or would be."""
    place = path.absolute()
    while not os.path.ismount(place):
        place = place.parent
    return place


def check_output(program: str, output: str, evidence: Path | None = None) -> None:
    """Looks in a program's output for a failure that is not its own.

    Raises:
        MachineError: there is one.
    """
    for sign, number in SAID.items():
        if sign in output:
            step = ROOM if number in MORE_ROOM_HELPS else ""
            what = f"{REASONS[number]} ({program} says: {sign})"
            raise MachineError(what, evidence=evidence, next_step=step)


def check_store(root: Path) -> None:
    """Whether a kernel can be built in the store, and the programs of its build can run there.

    Raises:
        MachineError: its path has a character that a build cannot have; its mount is noexec.
    """
    if odd := _NOT_IN_A_PATH.search(str(root)):
        raise MachineError(
            f"no kernel can be built in {root}: make and the shell read {odd[0]!r} otherwise",
            next_step="set HARNESS_CACHE to a folder without such a character in its path",
        )
    if os.statvfs(mount_of(root)).f_flag & os.ST_NOEXEC:
        mount = mount_of(root)
        raise MachineError(
            f"{mount} is mounted noexec, and a kernel's build runs what it builds in {root}",
            next_step=f"set HARNESS_CACHE to another disk, or mount -o remount,exec {mount}",
        )


@contextlib.contextmanager
def machine_faults(*places: Path) -> Iterator[None]:
    """An OSError of the block that is the machine's fault is said as such.

    Args:
        places: where the block writes, besides the folder for temporary files.

    Raises:
        MachineError: with the file, its mount, and for a full disk which of ``places`` is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in REASONS:
            raise
        where = ""
        if isinstance(error.filename, str | bytes):
            file = Path(os.fsdecode(error.filename))
            where = f": {file} (on {mount_of(file)})"
        elif error.errno in FULL:
            full = {str(mount_of(place)) for place in (*places, Path(tempfile.gettempdir()))
                    if os.statvfs(mount_of(place)).f_bavail == 0}  # fmt: skip
            where = f": {', '.join(sorted(full))}" if full else ""
        step = ROOM if error.errno in MORE_ROOM_HELPS else ""
        raise MachineError(f"{REASONS[error.errno]}{where}", next_step=step) from error
