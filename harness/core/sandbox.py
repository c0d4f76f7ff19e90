# SPDX-License-Identifier: GPL-2.0-only
"""The sandbox that code of the tree under test runs in on this machine: bubblewrap's.

A series is code: its Makefiles, scripts and host programs run in a build. In the sandbox they
see the system read-only and of all else only what the caller names; they have no
network, no capabilities, and processes of their own, none of which outlives the program.
docs/security.md has what each of these keeps out.

For root bwrap needs no user namespace, and the program runs as ``USER_ID``: a namespace in which
root is called nobody is root to the kernel, and lets it write /proc/sys (tried: core_pattern).
An ordinary user gets a user namespace, and stays who it is.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import MachineError, SeriesError

# In a range that nobody allocates from (systemd's UIDS-GIDS: 60578 to 61183 are unused), and
# below 65536, where the user namespace of a container ends.
USER_ID = 60951
PROBE_TIMEOUT_S = 30.0
INSTALL = "install bubblewrap"
# What a compiler's run needs of the system. Not /run and /var, which have the sockets of
# services, nor the rest of /etc.
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix", "/gnu")
_ETC = ("alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "passwd", "group", "localtime")
# What belongs to the programs in a folder bin, beside it; and a cross compiler's own folder.
_BESIDE = re.compile(r"s?bin|lib(32|64|exec)?|include|pyvenv\.cfg|\w+-(\w+-)?linux(-\w+)?")
# PID 1 is a shell that waits for the program. When it ends the kernel ends all that is left,
# and only then does bwrap end: who reads what the program wrote is alone with it.
_FIRST = ("/bin/sh", "-c", '"$@"; exit $?', "sh")
_APART = ("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts",
          "--die-with-parent", "--as-pid-1", "--cap-drop", "ALL")  # fmt: skip
# What PID 1 keeps where root runs it: to become USER_ID, and to give these up. It stays root
# itself, for a dying bwrap of root's ends no process of another user (tried).
_BECOME = ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP")
_LEAVE = ("--reuid", str(USER_ID), "--regid", str(USER_ID), "--clear-groups", "--no-new-privs",
          "--inh-caps=-all", "--bounding-set=-all", "--")  # fmt: skip
# What a program says that tried to leave: to write, to connect, to signal.
_REFUSED = re.compile(
    r"Read-only file system|Network is unreachable|Connection refused|Operation not permitted|"
    r"Permission denied|No such process"
)

_off = False  # by SANDBOX=no: one for the process, as the machine is


@dataclass(frozen=True)
class Inside:
    """Where a program runs that is, or that runs, code of the tree under test.

    Args:
        reads, writes: all that it sees besides the system, by the same absolute paths.
    """

    reads: tuple[Path, ...] = ()
    writes: tuple[Path, ...] = ()

    def prefix(self) -> tuple[str, ...]:
        """What stands before the program's command line; nothing where there is no sandbox.

        Where that runs as another user, what it ``writes`` is given to that user.

        Raises:
            MachineError: this user cannot read what it ``reads``.
        """
        return () if _off or why_not() else self._prefix()

    def _prefix(self) -> tuple[str, ...]:
        root = os.geteuid() == 0
        programs = _programs(os.environ.get("PATH", os.defpath), _home())
        binds = dict.fromkeys((*programs, *self.reads), "--ro-bind")
        binds |= dict.fromkeys(self.writes, "--bind")
        if root:
            for path in self.writes:
                _hand_over(path)
            for path in self.reads:
                _check_readable(path)
        # A folder comes before what is in it.
        placed = (word for path in sorted(binds) for word in _mount(binds[path], path, path))
        leave = ("setpriv", *_LEAVE) if root else ()
        return (*_bare(), *placed, "--remount-ro", "/", "--", *_FIRST, *leave)


def _mount(how: str, *paths: Path) -> Iterator[str]:
    """bwrap's words for a mount; folders above it are for all to pass and nobody to write."""
    for folder in reversed(paths[-1].parents[:-1]):
        yield from ("--perms", "0555", "--dir", str(folder))
    mode = ("--perms", "0555") if how == "--tmpfs" else ()
    yield from (*mode, how, *map(str, paths))


def _bare() -> Iterator[str]:
    """bwrap, and the part of its arguments that no caller decides."""
    yield from ("bwrap", *_APART)
    if os.geteuid() == 0:
        yield from (word for name in _BECOME for word in ("--cap-add", name))
    else:
        yield "--unshare-user"
    for path in map(Path, (*_SYSTEM, *(f"/etc/{name}" for name in _ETC))):
        yield from _mount("--ro-bind-try", path, path)
    yield from ("--dev", "/dev", "--proc", "/proc", "--perms", "1777", "--tmpfs", "/tmp")
    yield from ("--setenv", "TMPDIR", "/tmp")
    if (home := _home()) is not None:
        yield from _mount("--tmpfs", home)


def _home() -> Path | None:
    """The home folder; None where it is not there, or is /, as in some containers."""
    home = Path(os.environ.get("HOME") or "/").absolute()
    return home if home.is_dir() and home != Path("/") else None


def _visible(path: Path, home: Path | None) -> bool:
    """Whether the sandbox shows it without being asked to."""
    hidden = home is not None and path.is_relative_to(home)
    return not hidden and any(path.is_relative_to(folder) for folder in _SYSTEM)


@functools.cache
def _programs(path: str, home: Path | None) -> tuple[Path, ...]:
    """The programs of ``path`` that are not the system's, and what belongs to them.

    A virtual environment, a compiler or ccache below the home folder are found there.
    """
    found: dict[Path, None] = {}
    around_home = (home, *home.parents) if home else ()
    for name in path.split(os.pathsep):
        folder = Path(name)
        if not folder.is_absolute() or _visible(folder, home) or not folder.is_dir():
            continue
        links = (entry.resolve() for entry in folder.iterdir() if entry.is_symlink())
        for at in (folder, *(link.parent for link in links if link.is_file())):
            if not (_visible(at, home) or at in around_home):
                found |= dict.fromkeys(_belonging(at, home))
    return tuple(found)


def _belonging(folder: Path, home: Path | None) -> Iterator[Path]:
    yield folder
    if folder.name in ("bin", "sbin") and folder.parent != home:
        yield from (path for path in folder.parent.iterdir() if _BESIDE.fullmatch(path.name))


def _hand_over(path: Path) -> None:
    """Gives a folder to the sandbox's user; what is below, where it is not that user's already.

    A file that the harness has put into it since lies directly there.
    """
    own = path.lstat().st_uid == USER_ID
    for place, folders, files in os.walk(path):
        for name in (".", *folders, *files):
            at = os.path.join(place, name)
            if os.lstat(at).st_uid != USER_ID:
                os.chown(at, USER_ID, USER_ID, follow_symlinks=False)
        if own:
            break


def _check_readable(path: Path) -> None:
    mode = path.stat().st_mode
    if not mode & (0o001 if path.is_dir() else 0o004):
        raise MachineError(
            f"{path} is not for others to read, and the sandbox's user is another",
            next_step=f"chmod -R o+rX {path}, or SANDBOX=no",
        )


@functools.cache
def why_not() -> str | None:
    """Why this machine has no sandbox; None: it has one. Tried once, with a program in it."""
    for program in ("bwrap", "setpriv"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    try:
        subprocess.run(
            (*Inside()._prefix(), "true"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=PROBE_TIMEOUT_S,
        )
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode("utf-8", "replace").strip().splitlines()
        return said[-1] if said else f"bwrap ends with {error.returncode}"
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None


def settle(asked: str, note: Callable[[str], None]) -> None:
    """What SANDBOX= asks for ('auto', 'require', 'no') holds from now on; ``note`` hears of none.

    Raises:
        MachineError: it is required, and this machine has none.
    """
    global _off
    _off = asked == "no"
    why = "SANDBOX=no" if _off else why_not()
    if why is None:
        if os.geteuid() == 0:
            os.umask(0o022)  # the sandbox's user reads what root makes for it
        return
    if asked == "require":
        raise MachineError(f"SANDBOX=require, and there is none here: {why}", next_step=INSTALL)
    note(f"no sandbox ({why}): what the series builds and runs here may do all that you may")


def refused(lines: Iterable[str]) -> list[str]:
    """Of a program's output, what tells that it tried what the sandbox does not let it do."""
    if _off or why_not():
        return []
    home = f"{_home()}/"
    return [line for line in lines
            if _REFUSED.search(line) or (home in line and "No such file" in line)]  # fmt: skip


def taken(folder: Path, name: str, plain: Callable[[Path], bool] = Path.is_file) -> Path:
    """The file ``name`` in a folder that code of the tree wrote, to be read outside of it.

    Args:
        plain: what it must be; ``Path.is_dir`` for a folder.

    Raises:
        SeriesError: it is something else. A link may lead to the user's own.
    """
    path = folder / name
    if os.path.lexists(path) and not (plain(path) and path.resolve() == folder.resolve() / name):
        what = f"the build leaves {name} as a link or something else that is not read"
        raise SeriesError(what, evidence=path, next_step="a build makes files of its own")
    return path
