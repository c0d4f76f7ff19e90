# SPDX-License-Identifier: GPL-2.0-only
"""The build folder (make's O=): one per base, flavour and compiler, kept between runs.

While make runs a marker lies in it. A marker found on entry means that the last
make was killed, and that some file may be half written. Everything since the
marker is then removed, whatever it is: kbuild makes it again, and what had been
compiled comes from ccache.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from harness.build.toolchain import Workbench
from harness.core.store import digest
from harness.series.base import Base
from harness.series.worktree import SourceTree

MARKER = ".harness-make-is-running"
SOURCE_ID = ".harness-source"


@contextlib.contextmanager
def build_dir(bench: Workbench, base: Base, purpose: str, source: SourceTree) -> Iterator[Path]:
    """The build folder for ``purpose`` (a flavour), ours until the block ends.

    The caller holds the source worktree's lock already: always in that order.
    """
    key = digest(base.key, purpose, bench.toolchain.version)
    with bench.store.work_dir("build", key, bench.events.note) as out:
        recover(out)
        adopt(out, source.id)
        yield out


def adopt(out: Path, source_id: str) -> None:
    """Empties a folder whose objects were built from another worktree.

    make compares times, and those of two worktrees say nothing about each other.
    """
    stamp = out / SOURCE_ID
    if stamp.is_file() and stamp.read_text("utf-8") == source_id:
        return
    for path in out.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    stamp.write_text(source_id, "utf-8")


def recover(out: Path) -> int:
    """Removes what a killed make may have left half written; how many files that was."""
    marker = out / MARKER
    if not marker.exists():
        return 0
    since = marker.stat().st_mtime_ns
    removed = 0
    for folder, _, names in os.walk(out):
        for name in names:
            path = Path(folder) / name
            if path.is_symlink() or path == marker or name == SOURCE_ID:
                continue
            if path.stat().st_mtime_ns >= since:
                path.unlink()
                removed += 1
    marker.unlink()
    return removed


@contextlib.contextmanager
def marked(out: Path) -> Iterator[None]:
    """Marks the folder while the block runs; an exception leaves the mark."""
    marker = out / MARKER
    marker.touch()
    yield
    marker.unlink()
