# SPDX-License-Identifier: GPL-2.0-only
"""Turns a stream of files into one git commit and, in the same pass, a plain copy.

A kernel has 80 thousand files: unpacking first and ``git add`` afterwards reads
and writes everything twice and takes 45 s on two cores; packing straight from the
tar stream, while the copy is written, takes 13 s.

The objects go into one pack with its index (git's gitformat-pack(5)), whole, not as deltas.
``git fast-import`` takes 18 s of processor time for a kernel's 1.3 GB, most of it
for a SHA-1 that guards against forged collisions, and for carrying the data through
a pipe. These are our own files: the processor's SHA-1 does, in this process, and Intel's
library deflates three times as fast as zlib.
"""

from __future__ import annotations

import bisect
import hashlib
import itertools
import os
import stat
import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from isal import isal_zlib

from harness.core import git
from harness.core.errors import InvocationError

BLOCK_BYTES = 512
BATCH_BYTES = 1 << 20  # handed to the other threads at once
BATCH_FILES = 500
MAX_BATCHES_WAITING = 16  # batches, each counted once a thread, that may wait for them
FILE, PROGRAM, LINK = b"100644", b"100755", b"120000"
_NO_PART = {b"", b".", b"..", b".git"}  # of a path, lest it leads out of the tree
KINDS = {"commit": 1, "tree": 2, "blob": 3}
FOLDER = b"40000"  # the mode of a tree in a tree
LEVEL = 1  # of 0 to 3; 0.3 GB for a kernel; higher levels only take longer
LARGE_OFFSET = 1 << 31  # offsets from here on are in a table of their own


@dataclass(frozen=True)
class Member:
    """A file of a tree: ``mode`` as git writes it, ``data`` the target for a link."""

    path: bytes
    mode: bytes
    data: bytes


def _pax(data: bytes) -> dict[bytes, bytes]:
    """The records of a pax header: ``length key=value newline``."""
    found: dict[bytes, bytes] = {}
    while data:
        length, _, _ = data.partition(b" ")
        record, data = data[: int(length)], data[int(length) :]
        key, _, value = record[len(length) + 1 : -1].partition(b"=")
        found[key] = value
    return found


def _number(field: bytes) -> int:
    return int(field.strip(b" \0") or b"0", 8)


def tar_members(stream: IO[bytes]) -> Iterator[Member]:
    """The files of an uncompressed tar stream, less their one common top directory.

    Reads ustar, GNU long names and pax; Python's ``tarfile`` takes four seconds
    more for a kernel. Directories, which git does not keep, are passed over.

    Raises:
        InvocationError: it is not a tarball with one top-level directory.
    """
    top = b""
    override: dict[bytes, bytes] = {}
    while True:
        head = stream.read(BLOCK_BYTES)
        if len(head) < BLOCK_BYTES and top:
            raise InvocationError("the tarball ends in the middle")
        if len(head) < BLOCK_BYTES or head[148:156] == b"\0" * 8:
            break
        try:
            mode, size = _number(head[100:108]), _number(head[124:136])
        except ValueError as error:
            raise InvocationError("this is no tarball") from error
        data = stream.read(-(-size // BLOCK_BYTES) * BLOCK_BYTES)[:size] if size else b""
        kind = head[156:157]
        if len(data) < size:
            raise InvocationError("the tarball ends in the middle")
        if kind in (b"L", b"K"):
            override[b"path" if kind == b"L" else b"linkpath"] = data.rstrip(b"\0")
        elif kind == b"x":
            override.update(_pax(data))
        if kind in (b"L", b"K", b"x", b"g"):
            continue
        name = head[:100].rstrip(b"\0")
        prefix = head[345:500].rstrip(b"\0") if head[257:263] == b"ustar\0" else b""
        name = override.get(b"path", prefix + b"/" + name if prefix else name)
        target = override.get(b"linkpath", head[157:257].rstrip(b"\0"))
        override = {}
        name = name.removeprefix(b"./")
        top = top or name.split(b"/", 1)[0]
        first, _, path = name.partition(b"/")
        if first != top or (not path and kind != b"5"):
            raise InvocationError(
                "the tarball must have one top-level directory, as those of kernel.org have"
            )
        if kind in (b"0", b"\0"):
            yield Member(path, PROGRAM if mode & stat.S_IXUSR else FILE, data)
        elif kind == b"2":
            yield Member(path, LINK, target)
    if not top:
        raise InvocationError("the tarball is empty")


def folder_members(root: Path, names: Iterable[str]) -> Iterator[Member]:
    """The files ``names`` (relative) of a directory."""
    for name in names:
        path = root / name
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            yield Member(os.fsencode(name), LINK, os.fsencode(path.readlink()))
        elif stat.S_ISREG(mode):
            kind = PROGRAM if mode & stat.S_IXUSR else FILE
            yield Member(os.fsencode(name), kind, path.read_bytes())


def _writer(root: Path) -> Callable[[list[Member]], None]:
    """Writes files to a plain copy below ``root``. Times are those of writing, see worktree.py.

    Names are bytes, as git and tar have them, which pathlib does not take.
    """
    root.mkdir(parents=True)
    top = os.fsencode(root)
    made = {top}

    def make_folder(path: bytes) -> None:
        if path not in made:
            make_folder(os.path.dirname(path))
            os.mkdir(path)  # not where a link is: that could lead out of the copy
            made.add(path)

    def write(members: list[Member]) -> None:
        for member in members:
            name = top + b"/" + member.path
            make_folder(os.path.dirname(name))
            if member.mode == LINK:
                os.symlink(member.data, name)
                continue
            mode = 0o755 if member.mode == PROGRAM else 0o644
            with open(name, "xb", opener=lambda n, flags, m=mode: os.open(n, flags, m)) as file:  # type: ignore[misc]
                file.write(member.data)

    return write


class PackWriter:
    """Collects objects in ``folder`` (objects/pack); each is written once."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "tmp_pack_harness"
        self._file = open(self._path, "wb", buffering=1 << 20)  # noqa: SIM115
        self._file.write(struct.pack(">4sII", b"PACK", 2, 0))
        self._at = 12
        self._objects: dict[bytes, tuple[int, int]] = {}  # id: (crc, offset)

    def add(self, kind: str, data: bytes) -> bytes:
        """Adds an object and returns its id (20 bytes)."""
        sha = hashlib.sha1(b"%s %d\0" % (kind.encode(), len(data)), usedforsecurity=False)
        sha.update(data)
        name = sha.digest()
        if name not in self._objects:
            head = _head(KINDS[kind], len(data))
            body = isal_zlib.compress(data, LEVEL)
            self._objects[name] = (isal_zlib.crc32(body, isal_zlib.crc32(head)), self._at)
            self._file.write(head)
            self._file.write(body)
            self._at += len(head) + len(body)
        return name

    def finish(self) -> None:
        """Completes the pack and writes its index; without it nothing counts."""
        self._file.seek(8)
        self._file.write(struct.pack(">I", len(self._objects)))
        self._file.close()
        with open(self._path, "rb") as file:
            check = hashlib.file_digest(file, lambda: hashlib.sha1(usedforsecurity=False)).digest()
        with open(self._path, "ab") as file:
            file.write(check)
        pack = self._path.with_name(f"pack-{check.hex()}.pack")
        pack.with_suffix(".idx").write_bytes(_index(self._objects, check))
        self._path.rename(pack)

    def abandon(self) -> None:
        """Closes the file of a pack that will not be finished."""
        self._file.close()


def _head(kind: int, size: int) -> bytes:
    """Kind and size of an object, seven bits a byte after the first four."""
    head, byte = b"", (kind << 4) | (size & 15)
    size >>= 4
    while size:
        head, byte = head + bytes([byte | 0x80]), size & 0x7F
        size >>= 7
    return head + bytes([byte])


def _index(objects: dict[bytes, tuple[int, int]], check: bytes) -> bytes:
    """The index, version 2: ids in order, their checksums, their offsets."""
    names = sorted(objects)
    fan = [bisect.bisect(names, bytes([first]) + b"\xff" * 20) for first in range(256)]
    offsets = [objects[name][1] for name in names]
    large = [offset for offset in offsets if offset >= LARGE_OFFSET]
    numbers = itertools.count(LARGE_OFFSET)
    small = [offset if offset < LARGE_OFFSET else next(numbers) for offset in offsets]
    sums = [objects[name][0] for name in names]
    parts = [b"\xfftOc", struct.pack(">257I", 2, *fan), *names]
    parts += [struct.pack(f">{2 * len(names)}I", *sums, *small)]
    parts += [struct.pack(f">{len(large)}Q", *large), check]
    body = b"".join(parts)
    return body + hashlib.sha1(body, usedforsecurity=False).digest()


class TreeBuilder:
    """Directories from paths, in git's order."""

    def __init__(self) -> None:
        self._folders: dict[bytes, dict[bytes, tuple[bytes, bytes]]] = {b"": {}}

    def add(self, path: bytes, mode: bytes, blob: bytes) -> None:
        """Puts a file at ``path``; a file given twice is the later one."""
        folder, _, name = path.rpartition(b"/")
        if folder not in self._folders:
            self._folders[folder] = {}
            self.add(folder, FOLDER, b"")
        self._folders[folder][name] = (mode, blob)

    def write(self, pack: PackWriter) -> bytes:
        """Adds all trees to ``pack``; the id of the top one."""
        tree = b""
        for folder in sorted(self._folders, reverse=True):  # what is below one comes before it
            entries = sorted(
                (name + b"/" if mode == FOLDER else name, b"%s %s\0%s" % (mode, name, blob))
                for name, (mode, blob) in self._folders[folder].items()
            )
            tree = pack.add("tree", b"".join(entry for _, entry in entries))
            if folder:
                self.add(folder, FOLDER, tree)
        return tree


def import_tree(
    repo: Path,
    members: Iterable[Member],
    message: str,
    *,
    copy: Path | None = None,
    progress: Callable[[int], None] = lambda files: None,
) -> str:
    """Commits ``members`` to the branch ``base`` of ``repo``; the commit id.

    The id depends on nothing but the files and the message. ``copy``, where
    given, is a directory to be made with the same files: one thread reads, one hashes
    and compresses, and one writes.

    Raises:
        InvocationError: a path that would leave the tree, or that is given twice.
    """
    pack, trees = PackWriter(repo / "objects" / "pack"), TreeBuilder()

    def keep(batch: list[Member]) -> None:
        for member in batch:
            trees.add(member.path, member.mode, pack.add("blob", member.data))

    try:
        write = None if copy is None else _writer(copy)
        with ThreadPoolExecutor(1) as packer, ThreadPoolExecutor(1) as writer:
            pending: deque[Future[None]] = deque()
            for batch in _batches(members, progress):
                pending.append(packer.submit(keep, batch))
                if write is not None:
                    pending.append(writer.submit(write, batch))
                while len(pending) > MAX_BATCHES_WAITING:
                    pending.popleft().result()
            for future in pending:
                future.result()
        who = f"{git.NAME} <{git.EMAIL}> {git.EPOCH}"
        text = f"tree {trees.write(pack).hex()}\nauthor {who}\ncommitter {who}\n\n{message}\n"
        commit = pack.add("commit", text.encode()).hex()
        pack.finish()
    except FileExistsError as error:
        raise InvocationError(
            f"two things at one path, or below a link: {error.filename!r}"
        ) from error
    finally:
        pack.abandon()
    git.text(repo, "update-ref", "refs/heads/base", commit)
    return commit


def _batches(members: Iterable[Member], progress: Callable[[int], None]) -> Iterator[list[Member]]:
    """The members in portions worth handing to another thread."""
    batch: list[Member] = []
    size = 0
    for count, member in enumerate(members, 1):
        if b"\n" in member.path or _NO_PART & set(member.path.split(b"/")):
            what = f"a path that a kernel tree cannot have: {os.fsdecode(member.path)!r}"
            raise InvocationError(what)
        batch.append(member)
        size += len(member.data)
        if size >= BATCH_BYTES or len(batch) >= BATCH_FILES:
            yield batch
            batch, size = [], 0
        if count % BATCH_FILES == 0:
            progress(count)
    yield batch
