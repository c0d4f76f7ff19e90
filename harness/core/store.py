# SPDX-License-Identifier: GPL-2.0-only
"""One store for everything that is expensive: entries by hash, and work directories.

An *entry* is a directory made once from hashed inputs: it is filled under a
temporary name and renamed when complete, so a kill at any moment leaves either
the whole entry or a leftover that the next run removes. A *work directory* is a
mutable one (a source tree, a build folder) that one run at a time works in. Both
are guarded by ``flock``, which the kernel drops with the process: who makes an
entry has its lock alone, and who uses one shares it, so that what a living run
works with is never evicted.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import inspect
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from harness.core.atomic import DRAFT_PREFIX, drafted_directory, write_atomically
from harness.core.folders import files_below, remove_folder

HARNESS = Path(__file__).resolve().parents[1]
_SOURCES = (".py", ".c", ".h", ".yaml")


@dataclass(frozen=True)
class Entry:
    """``cached``: it was there before this call."""

    path: Path
    cached: bool


def digest(*inputs: object) -> str:
    """A stable hash of JSON-like inputs, 32 hex digits: 128 bits name an entry."""
    text = json.dumps(inputs, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def file_digest(*files: Path) -> str:
    """A hash of names and contents of files, and of every file below directories."""
    total = hashlib.sha256()
    for given in files:
        below = sorted(p for p in given.rglob("*") if p.is_file()) if given.is_dir() else [given]
        for path in below:
            name = str(path.relative_to(given)) if given.is_dir() else path.name
            total.update(f"{name}\0{path.stat().st_size}\0".encode())
            total.update(path.read_bytes())
    return total.hexdigest()[:32]


@functools.cache  # 1 to 3 ms a room, and a room's sources stay as they are while it runs
def room_digest(folder: Path) -> str:
    """A hash of the sources in one room of the harness, folders below it left out."""
    return file_digest(*sorted(p for p in folder.iterdir() if p.suffix in _SOURCES))


def entry_key(inputs: object, make: Callable[[Path], None], also: Sequence[str] = ()) -> str:
    """The name of an entry: of its inputs, and of the code that makes it.

    That code is the room of ``make``, a function, and the rooms ``also`` whose work it asks for.
    """
    rooms = [Path(inspect.getfile(make)).parent, *(HARNESS / room for room in also)]
    return digest(inputs, [room_digest(room) for room in rooms])


def key_of(draft: Path) -> str:
    """The key of the entry that a draft is to become."""
    return draft.name.removeprefix(DRAFT_PREFIX)


def _size(path: Path) -> int:
    """Bytes allocated below ``path``; files that vanish meanwhile count as nothing."""
    total = 0
    for entry in files_below(path):
        with contextlib.suppress(OSError):
            total += entry.stat(follow_symlinks=False).st_blocks * 512
    return total


@dataclass(frozen=True)
class Store:
    """The store below ``root``; ``limit`` in bytes bounds what ``evict`` keeps, ccache included."""

    root: Path
    limit: int
    # The locks of the entries in use; and what may have grown since, so that it is worth a look.
    _held: dict[str, TextIO] = field(default_factory=dict, compare=False, repr=False)
    _grown: set[str] = field(default_factory=set, compare=False, repr=False)
    # When each work directory was last touched as this run left it; in which others were since.
    _left: dict[Path, int] = field(default_factory=dict, compare=False, repr=False)
    _moved: set[Path] = field(default_factory=set, compare=False, repr=False)

    def __reduce__(self) -> tuple[type[Store], tuple[Path, int]]:
        """In another process it is the same folder; what is held here is held by this one."""
        return Store, (self.root, self.limit)

    @property
    def ccache_limit(self) -> int:
        """Bytes, of ``limit``, that ccache may have: it keeps them itself."""
        return max(1 << 30, self.limit // 5)

    def _lock_path(self, name: str) -> Path:
        folder = self.root / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / name.replace("/", "_")

    @contextlib.contextmanager
    def lock(
        self, name: str, on_wait: Callable[[str], None] | None = None, *, share: bool = False
    ) -> Iterator[bool]:
        """Holds the lock ``name``, and says whether it is ours alone.

        ``on_wait`` hears once who has it, if it is taken. ``share``: wait only until nobody
        has it alone; then it is not ours alone either.
        """
        path = self._lock_path(name)
        with open(path, "a+", encoding="utf-8") as handle:
            # Children that outlive a killed harness (make and its compilers) keep
            # the lock until the last of them is gone: see proc.run.
            os.set_inheritable(handle.fileno(), True)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                handle.seek(0)
                owner = handle.read().strip() or "another run"
                if on_wait is not None:
                    on_wait(f"waiting for {owner}, which holds {name}")
                fcntl.flock(handle, fcntl.LOCK_SH if share else fcntl.LOCK_EX)
                if share:
                    yield False
                    return
            handle.seek(0)
            handle.truncate()
            handle.write(f"process {os.getpid()}")
            handle.flush()
            try:
                yield True
            finally:
                handle.seek(0)
                handle.truncate()
                fcntl.flock(handle, fcntl.LOCK_UN)

    def entry(
        self,
        kind: str,
        inputs: object,
        make: Callable[[Path], None],
        on_wait: Callable[[str], None] | None = None,
        *,
        also: Sequence[str] = (),
    ) -> Entry:
        """A directory of ``kind``, made by ``make(directory)`` where it is not there yet.

        ``inputs``: JSON-like; all that decides what is in it, but for the code. ``also``: see
        ``entry_key``. Whatever ``make`` raises is raised when the half-made directory is removed.
        """
        key = entry_key(inputs, make, also)
        final, name = self.root / kind / key, f"{kind}-{key}"
        cached = share = True
        while not self._hold(final, name):
            # Who makes an entry goes on to share it until the end of its run. Should it not be
            # there after all, the lock is waited for alone: it has been removed by hand.
            with self.lock(name, on_wait, share=share) as alone:
                if alone and not final.is_dir():
                    cached = False
                    self._grown.add(str(final))
                    with drafted_directory(final) as draft:
                        make(draft)
            share = False
        return Entry(final, cached)

    def _hold(self, final: Path, name: str) -> bool:
        """Shares the entry's lock until ``release``; false: it is not there."""
        if name in self._held:
            return True
        if not final.is_dir():
            return False
        # Who has the lock alone while the entry is there is about to let go of it. Not so
        # the other way round: an entry that is there must not be waited for as its maker.
        handle = open(self._lock_path(name), "a", encoding="utf-8")  # noqa: SIM115
        fcntl.flock(handle, fcntl.LOCK_SH)
        if not final.is_dir() or self._held.setdefault(name, handle) is not handle:
            handle.close()  # gone meanwhile, or another thread's
            return name in self._held
        self._touch(final)
        return True

    def release(self) -> None:
        """The entries used so far may be evicted."""
        for handle in self._held.values():
            handle.close()
        self._held.clear()

    def work_path(self, kind: str, key: str) -> Path:
        """Where a work directory is."""
        return self.root / "work" / kind / key

    @contextlib.contextmanager
    def work_dir(
        self, kind: str, key: str, on_wait: Callable[[str], None] | None = None
    ) -> Iterator[Path]:
        """A mutable directory that only this run uses until the block ends."""
        path = self.work_path(kind, key)
        with self.lock(f"work-{kind}-{key}", on_wait):
            path.mkdir(parents=True, exist_ok=True)
            if self._left.get(path, touched := path.stat().st_mtime_ns) != touched:
                self._moved.add(path)
            self._touch(path)
            self._grown.add(str(path))
            try:
                yield path
            finally:
                if path.is_dir():
                    self._left[path] = path.stat().st_mtime_ns

    def used_by_others(self, path: Path) -> bool:
        """Whether another run was in a work directory between two uses by this one."""
        return path in self._moved

    @staticmethod
    def _touch(path: Path) -> None:
        """Marks last use; eviction goes by it."""
        with contextlib.suppress(OSError):
            os.utime(path, (time.time(), time.time()))

    def _candidates(self) -> list[Path]:
        # ccache keeps its own folder within its own limit.
        apart = ("locks", "work", "ccache")
        kinds = [p for p in self.root.iterdir() if p.is_dir() and p.name not in apart]
        if (self.root / "work").is_dir():
            kinds += [p for p in (self.root / "work").iterdir() if p.is_dir()]
        return [e for k in kinds for e in k.iterdir() if e.is_dir() and not e.is_symlink()]

    def evict(self) -> list[Path]:
        """Removes the least recently used directories until the store fits its limit.

        What a living run holds stays, this one's entries included. Looks at nothing unless
        something was added.
        """
        if not self._grown or not self.root.is_dir():
            return []
        with self.lock("sizes"):
            sizes = self._sizes()
        oldest_first = sorted((p.stat().st_mtime, p) for p in sizes if p != self.root / "ccache")
        total = sum(sizes.values())
        removed: list[Path] = []
        for _, path in oldest_first:
            if total <= self.limit:
                break
            if self._remove_unused(path):
                total -= sizes[path]
                removed.append(path)
        return removed

    def _sizes(self) -> dict[Path, int]:
        """The sizes of all that may be removed, and of ccache.

        They are kept in a file, and what this run has not worked in is as large as it was: to look
        at each file of two kernel trees and their builds takes 5 s, of ten 13 s.
        """
        kept_in = self.root / "sizes.json"
        try:
            known = {
                Path(name): int(size) for name, size in json.loads(kept_in.read_text()).items()
            }
        except (OSError, ValueError, AttributeError, TypeError):
            known = {}
        built = str(self.root / "work" / "build")
        if any(name.startswith(built) for name in self._grown):
            known.pop(self.root / "ccache", None)
        for name in self._grown:
            known.pop(Path(name), None)
        self._grown.clear()
        sizes = {
            path: known[path] if path in known and DRAFT_PREFIX not in path.name else _size(path)
            for path in (*self._candidates(), self.root / "ccache")
        }
        write_atomically(kept_in, json.dumps({str(path): size for path, size in sizes.items()}))
        return sizes

    def _remove_unused(self, path: Path) -> bool:
        # A draft is guarded by the lock of the entry that it is to become.
        kind = path.parent.relative_to(self.root).parts
        name = "-".join((*kind, key_of(path)))
        with open(self._lock_path(name), "a", encoding="utf-8") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            # Out of sight first: a reader must not meet a half-removed entry.
            doomed = path.with_name(f".doomed-{path.name}")
            os.rename(path, doomed)
            remove_folder(doomed, quietly=True)
        return True

    def clean(self) -> None:
        """Removes the whole store (``make clean-cache``) but what living runs hold."""
        if not self.root.is_dir():
            return
        for path in self._candidates():
            self._remove_unused(path)
        if not self._candidates():  # ccache's folder and the locks go with the last entry
            remove_folder(self.root, quietly=True)
