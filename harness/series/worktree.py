# SPDX-License-Identifier: GPL-2.0-only
"""The source worktree that builds read: one per base, moved from series to series.

Nothing is written, read or removed through a link, so a series reaches nothing but the tree.
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
import tempfile
import uuid
from collections.abc import Iterator, Mapping
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


@contextlib.contextmanager
def partial_tree(applied: Applied, files: Mapping[str, tuple[str, str]]) -> Iterator[SourceTree]:
    """A tree of its own until the block ends, with only ``files``: ``{path: (mode, blob)}``."""
    ids = {blob for mode, blob in files.values() if mode != git.SUBMODULE}
    contents = git.blobs(applied.repo, sorted(ids))
    with tempfile.TemporaryDirectory(prefix="harness-") as folder:
        tree = Path(folder) / "tree"  # the sandbox's user can read it, unlike the folder
        tree.mkdir()
        for path, (mode, blob) in files.items():
            _put(tree, path, mode, contents.get(blob, b""))
        yield SourceTree(tree, uuid.uuid4().hex)


def _read_state(work_dir: Path) -> dict[str, Any]:
    state: dict[str, Any] = json.loads((work_dir / "state.json").read_text(encoding="utf-8"))
    return state


def checkout(base: Base, applied: Applied, work_dir: Path, events: Events) -> SourceTree:
    """Brings the worktree in the locked directory ``work_dir`` to ``applied``.

    The kernel alone is what the state is told against: it has one worktree, whatever is
    part of the base.
    """
    base = base.chain[-1]
    tree = work_dir / "tree"
    if not tree.is_dir() or not (work_dir / "state.json").is_file():
        _populate(base, work_dir, events)
    known = _read_state(work_dir)
    changed = git.changed_files(applied.repo, base.commit, applied.commit)
    target = {c.path: GONE if c.status == "D" else (c.mode, c.blob) for c in changed}
    if paths := sorted({*known["paths"], *target}):
        _write_state(work_dir, known["id"], paths)
        wanted = {**git.tree_files(base.repo, base.commit, *paths), **target}
        wanted = {path: what for path, what in wanted.items() if what != GONE}
        files = {blob for mode, blob in wanted.values() if mode != git.SUBMODULE}
        contents = git.blobs(applied.repo, sorted(files))
        for path in paths:
            if path not in wanted:
                _remove(tree, path)
        for path, (mode, blob) in sorted(wanted.items()):
            _put(tree, path, mode, contents.get(blob, b""))
        _write_state(work_dir, known["id"], sorted(target))
    return SourceTree(tree, known["id"])


GONE = ("", "")


def _write_state(work_dir: Path, tree_id: str, paths: list[str]) -> None:
    write_atomically(work_dir / "state.json", json.dumps({"id": tree_id, "paths": paths}))


def _populate(base: Base, work_dir: Path, events: Events) -> None:
    """Fills an empty work directory with the base: takes over its plain copy, or writes one."""
    tree, seed = work_dir / "tree", base.repo.parent / SEED
    shutil.rmtree(tree, ignore_errors=True)
    _write_state(work_dir, uuid.uuid4().hex, [])
    if seed.is_dir():
        seed.rename(tree)
        return
    events.emit(StageProgress("tree", 0, 0, "files", "writing the source tree"))
    index = work_dir / "index.draft"
    index.unlink(missing_ok=True)
    with drafted_directory(tree) as draft:
        env = {"GIT_DIR": str(base.repo), "GIT_WORK_TREE": str(draft), "GIT_INDEX_FILE": str(index)}
        git.text(draft, "read-tree", base.commit, env=env)
        git.text(draft, "-c", "core.bare=false", "-c", "checkout.workers=0",
                 "checkout-index", "--all", "--force", "--quiet", env=env)  # fmt: skip
    index.unlink()


def _open_folder(path: str | Path, parent: int | None = None) -> int:
    """A folder by its descriptor, never through a link (NotADirectoryError)."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)


@contextlib.contextmanager
def _folder_of(tree: Path, path: str, *, make: bool) -> Iterator[Path]:
    """The folder that holds ``path``, by its descriptor, reached without following a link.

    A series may turn a folder into a link, to anywhere: what was below the folder must
    not be looked for behind the link, as git does not either.

    Args:
        make: makes folders that are missing, in place of a file or a link in their way.

    Raises:
        FileNotFoundError, NotADirectoryError: there is no such folder; not with ``make``.
    """
    with contextlib.ExitStack() as opened:
        folder = _open_folder(tree)
        opened.callback(os.close, folder)
        for part in path.split("/")[:-1]:
            try:
                folder = _open_folder(part, folder)
            except (FileNotFoundError, NotADirectoryError) as error:
                if not make:
                    raise
                if isinstance(error, NotADirectoryError):
                    os.unlink(part, dir_fd=folder)
                os.mkdir(part, dir_fd=folder)
                folder = _open_folder(part, folder)
            opened.callback(os.close, folder)
        yield Path(f"/proc/self/fd/{folder}")


def _remove(tree: Path, path: str) -> None:
    """Removes a file and the directories that this leaves empty, as git does."""
    with (
        contextlib.suppress(FileNotFoundError, NotADirectoryError),
        _folder_of(tree, path, make=False) as folder,
    ):
        place = folder / os.path.basename(path)
        if place.is_dir() and not place.is_symlink():  # a submodule's
            with contextlib.suppress(OSError):  # git too leaves what somebody put there
                place.rmdir()
        else:
            place.unlink()
    while path := os.path.dirname(path):
        try:
            with _folder_of(tree, path, make=False) as folder:
                os.rmdir(folder / os.path.basename(path))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:  # not empty
            break


def _is_there(place: Path, mode: str, content: bytes) -> bool:
    if mode == LINK or place.is_symlink():
        return mode == LINK and place.is_symlink() and os.fsencode(place.readlink()) == content
    if mode == git.SUBMODULE or not place.is_file():
        return mode == git.SUBMODULE and place.is_dir()
    if place.read_bytes() != content:
        return False
    return bool(place.stat().st_mode & 0o100) == (mode == PROGRAM)


def _put(tree: Path, path: str, mode: str, content: bytes) -> None:
    """Writes a file unless it is there as wanted. Never in place: it may have other names."""
    with _folder_of(tree, path, make=True) as folder:
        place = folder / os.path.basename(path)
        if _is_there(place, mode, content):
            return
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        if mode == git.SUBMODULE:
            place.unlink(missing_ok=True)
            place.mkdir()
            return
        with drafted_file(place) as draft:
            if mode == LINK:
                draft.symlink_to(os.fsdecode(content))
            else:
                draft.write_bytes(content)
                draft.chmod(0o755 if mode == PROGRAM else 0o644)
