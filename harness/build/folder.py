# SPDX-License-Identifier: GPL-2.0-only
"""The build folder (make's O=): one per base, flavour and compiler, kept between runs.

While make runs a marker lies in it. A marker found on entry means that the last
make was killed, and that some file may be half written. Everything since the
marker is then removed, whatever it is: kbuild makes it again, and what had been
compiled comes from ccache. Nothing is written through a link that a build has left.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from harness.build.toolchain import BuildTools
from harness.core.atomic import write_atomically
from harness.core.folders import files_below, remove_folder
from harness.core.store import digest
from harness.series.base import Base
from harness.series.worktree import SourceTree

KBUILD_LINK = "source"  # to the tree, in every build folder
MARKER = ".harness-make-is-running"
SOURCE_ID = ".harness-source"


@contextlib.contextmanager
def build_dir(tools: BuildTools, base: Base, purpose: str, source: SourceTree) -> Iterator[Path]:
    """The build folder for ``purpose`` (a flavour), ours until the block ends.

    The caller holds the source worktree's lock already: always in that order.
    """
    key = digest(base.key, purpose, tools.toolchain.version)
    with tools.store.work_dir("build", key, tools.events.note) as out:
        drop_links(out)
        recover(out)
        adopt(out, source.id)
        yield out


def drop_links(out: Path) -> None:
    """Removes what an earlier build has linked in the place of files that we and kbuild write."""
    for path in out.iterdir():
        if path.is_symlink() and path.name != KBUILD_LINK:
            path.unlink()


def adopt(out: Path, source_id: str) -> None:
    """Empties a folder whose objects were built from another worktree.

    make compares times, and those of two worktrees say nothing about each other.
    """
    stamp = out / SOURCE_ID
    if stamp.is_file() and stamp.read_text("utf-8") == source_id:
        return
    remove_folder(out)
    out.mkdir()
    stamp.write_text(source_id, "utf-8")


def recover(out: Path) -> None:
    """Removes what a killed make may have left half written."""
    marker = out / MARKER
    if not marker.exists():
        return
    since = marker.stat().st_mtime_ns
    files = (Path(entry.path) for entry in files_below(out))
    plain = (p for p in files if not p.is_symlink() and p != marker and p.name != SOURCE_ID)
    for path in [*(path for path in plain if path.stat().st_mtime_ns >= since), marker]:
        path.unlink()


@contextlib.contextmanager
def marked(out: Path) -> Iterator[None]:
    """Marks the folder while the block runs; an exception leaves the mark."""
    marker = out / MARKER
    write_atomically(marker, "")
    yield
    marker.unlink(missing_ok=True)


def place_config(config: str, out: Path) -> None:
    """Puts the text of a configuration in place, touching nothing where it is the same."""
    place = out / ".config"
    if not place.is_file() or place.read_text("utf-8") != config:
        write_atomically(place, config)
