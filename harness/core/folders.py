# SPDX-License-Identifier: GPL-2.0-only
"""Folders that a series' own programs have filled: gone through, and removed, however deep.

A Makefile can make a folder in a folder thousands of times. For each of them os.walk and
shutil.rmtree call themselves, until Python 3.12 and 3.13, and that is too often for Python at
a thousand. What cannot be removed would stay in the cache for good.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path


def remove_folder(path: Path, *, quietly: bool = False) -> None:
    """Removes a folder, if it is there, and what is in it, links as links.

    Args:
        quietly: what cannot be removed is left.

    Raises:
        PermissionError: something in it cannot be removed; not with ``quietly``.
    """
    try:
        shutil.rmtree(path)
        return
    except FileNotFoundError:
        return
    except (OSError, RecursionError):  # too deep for calls, or for open folders
        argv = ("rm", "-rf", "--", str(path))
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode != 0 and not quietly:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise PermissionError(errno.EACCES, said, str(path))


def files_below(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Whatever is no folder below a folder, links as such.

    A folder that cannot be read, as it vanishes meanwhile or lies deeper than a path can
    say, is passed over.
    """
    todo = [str(folder)]
    while todo:
        with contextlib.suppress(OSError), os.scandir(todo.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    todo.append(entry.path)
                else:
                    yield entry
