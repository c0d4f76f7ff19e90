# SPDX-License-Identifier: GPL-2.0-only
"""The source worktree that builds read: one per base, moved from series to series.

Moving it rewrites only files whose content changes, so that make rebuilds what
changed and no more. It has no index and no ``git status``, which would look at
80 thousand files: ``state.json`` beside it names every path that may differ from
the base, and before a path is touched it is in there. After a kill the next
checkout compares exactly those paths.

Times are those of writing. A worktree that is made anew is therefore newer than
every object built from an earlier one, and its ``id`` tells builds apart as well.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core import git, proc
from harness.core.atomic import drafted_directory, drafted_file, write_atomically
from harness.core.events import Events, StageProgress
from harness.core.store import Store
from harness.series.apply import Applied, unpatched
from harness.series.base import SEED, Base

LINK, PROGRAM = "120000", "100755"


@dataclass(frozen=True)
class SourceTree:
    """A worktree at a known commit; ``id`` changes when it is made anew."""

    path: Path
    id: str


@contextlib.contextmanager
def source_tree(store: Store, base: Base, applied: Applied, events: Events) -> Iterator[SourceTree]:
    """The worktree of ``base``, holding ``applied``, ours until the block ends."""
    with store.work_dir("source", base.key, events.note) as work_dir:
        yield checkout(base, applied, work_dir, events)


@contextlib.contextmanager
def base_twin(store: Store, base: Base, main: SourceTree, events: Events) -> Iterator[SourceTree]:
    """A second worktree that always holds the bare base; ``main`` is held by the caller.

    Made of hard links to ``main``, whose files are only ever replaced, in 3 s.
    """
    with store.work_dir("source-base", base.key, events.note) as work_dir:
        tree = work_dir / "tree"
        if not tree.is_dir():
            _write_state(work_dir, uuid.uuid4().hex, _read_state(main.path.parent)["paths"])
            with drafted_directory(tree) as draft:
                proc.capture(("cp", "-al", f"{main.path}/.", str(draft)))
        yield checkout(base, unpatched(base), work_dir, events)


def _read_state(work_dir: Path) -> dict[str, Any]:
    state: dict[str, Any] = json.loads((work_dir / "state.json").read_text(encoding="utf-8"))
    return state


def checkout(
    base: Base, applied: Applied, work_dir: Path, events: Events | None = None
) -> SourceTree:
    """Brings the worktree in the locked directory ``work_dir`` to ``applied``."""
    tree = work_dir / "tree"
    if not tree.is_dir() or not (work_dir / "state.json").is_file():
        _populate(base, work_dir, events)
    known = _read_state(work_dir)
    target = _changes(base, applied)
    if paths := sorted({*known["paths"], *target}):
        _write_state(work_dir, known["id"], paths)
        wanted = {**git.tree_files(base.repo, base.commit, *paths), **target}
        wanted = {path: what for path, what in wanted.items() if what != GONE}
        contents = git.blobs(applied.repo, sorted({blob for _, blob in wanted.values()}))
        for path in paths:
            if path not in wanted:
                _remove(tree, path)
        for path, (mode, blob) in sorted(wanted.items()):
            _put(tree / path, mode, contents[blob])
        _write_state(work_dir, known["id"], sorted(target))
    return SourceTree(tree, known["id"])


GONE = ("", "")


def _changes(base: Base, applied: Applied) -> dict[str, tuple[str, str]]:
    """``{path: (mode, blob)}`` of what the series changes; GONE for a deleted file."""
    if applied.commit == base.commit:
        return {}
    out = git.raw(
        applied.repo, "diff-tree", "-r", "-z", "--raw", "--no-renames", base.commit, applied.commit
    )
    parts = out.split(b"\0")
    changes: dict[str, tuple[str, str]] = {}
    for head, name in zip(parts[0::2], parts[1::2], strict=False):
        _, mode, _, blob, status = head.decode().split(" ")
        changes[os.fsdecode(name)] = GONE if status == "D" else (mode, blob)
    return changes


def _write_state(work_dir: Path, tree_id: str, paths: list[str]) -> None:
    write_atomically(work_dir / "state.json", json.dumps({"id": tree_id, "paths": paths}))


def _populate(base: Base, work_dir: Path, events: Events | None) -> None:
    """Fills an empty work directory with the base: takes over its plain copy, or writes one."""
    tree, seed = work_dir / "tree", base.repo.parent / SEED
    shutil.rmtree(tree, ignore_errors=True)
    _write_state(work_dir, uuid.uuid4().hex, [])
    if seed.is_dir():
        seed.rename(tree)
        return
    if events is not None:
        events.emit(StageProgress("tree", 0, 0, "files", "writing the source tree"))
    index = work_dir / "index.draft"
    index.unlink(missing_ok=True)
    with drafted_directory(tree) as draft:
        env = {"GIT_DIR": str(base.repo), "GIT_WORK_TREE": str(draft), "GIT_INDEX_FILE": str(index)}
        git.text(draft, "read-tree", base.commit, env=env)
        git.text(draft, "-c", "core.bare=false", "-c", "checkout.workers=0",
                 "checkout-index", "--all", "--force", "--quiet", env=env)  # fmt: skip
    index.unlink()


def _remove(tree: Path, path: str) -> None:
    """Removes a file and the directories that this leaves empty, as git does."""
    place = tree / path
    place.unlink(missing_ok=True)
    for folder in place.parents:
        if folder == tree or not folder.is_dir() or any(folder.iterdir()):
            break
        folder.rmdir()


def _is_there(place: Path, mode: str, content: bytes) -> bool:
    if mode == LINK or place.is_symlink():
        return mode == LINK and place.is_symlink() and os.fsencode(place.readlink()) == content
    if not place.is_file() or place.read_bytes() != content:
        return False
    return bool(place.stat().st_mode & 0o100) == (mode == PROGRAM)


def _put(place: Path, mode: str, content: bytes) -> None:
    """Writes a file unless it is there as wanted. Never in place: it may have other names."""
    if _is_there(place, mode, content):
        return
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    with drafted_file(place) as draft:
        if mode == LINK:
            draft.symlink_to(os.fsdecode(content))
        else:
            draft.write_bytes(content)
            draft.chmod(0o755 if mode == PROGRAM else 0o644)
