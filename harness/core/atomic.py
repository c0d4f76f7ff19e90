# SPDX-License-Identifier: GPL-2.0-only
"""Files, links and directories that a reader sees whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from harness.core.folders import remove_folder

DRAFT_PREFIX = ".draft-"  # of a directory that is being made


@contextlib.contextmanager
def drafted_file(path: Path) -> Iterator[Path]:
    """Where the block makes a file or a link that then takes the place of ``path``."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        yield draft
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, content: str | bytes) -> None:
    """Writes a file that a reader sees whole or not at all."""
    with drafted_file(path) as draft:
        draft.write_bytes(content if isinstance(content, bytes) else content.encode())


@contextlib.contextmanager
def drafted_directory(path: Path) -> Iterator[Path]:
    """An empty directory that becomes ``path``, which is not there or empty, after the block.

    Only one at a time may make it: what a killed run has left of it is removed first.
    """
    draft = path.with_name(f"{DRAFT_PREFIX}{path.name}")
    remove_folder(draft, quietly=True)
    draft.mkdir(parents=True)
    try:
        yield draft
        os.rename(draft, path)
    except BaseException:
        remove_folder(draft, quietly=True)
        raise
