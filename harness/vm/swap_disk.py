# SPDX-License-Identifier: GPL-2.0-only
"""The guest's swap disk as the host sees it: made ready, and searched afterwards."""

from __future__ import annotations

import errno
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path

PAGE_BYTES = 4096
UUID = bytes(range(16))  # always the same: a replay of a guest must find the disk as it was
TAG_BYTES = 16  # bytes: the magic, then a little-endian index


def make_swap(image: Path, megabytes: int) -> None:
    """A fresh sparse swap disk at ``image``, as of mkswap; whatever was there is gone."""
    size = megabytes << 20
    header = bytearray(PAGE_BYTES)
    # include/linux/swap.h: 1 KiB of boot block, version, last page, number of bad pages, uuid.
    struct.pack_into("<III16s", header, 1024, 1, size // PAGE_BYTES - 1, 0, UUID)
    header[-10:] = b"SWAPSPACE2"
    with open(image, "wb") as handle:
        handle.write(header)
        handle.truncate(size)


def _extents(handle: int, size: int) -> Iterator[tuple[int, int]]:
    """Ranges of the file that hold data; holes are skipped where the file system tells."""
    at = 0
    while at < size:
        try:
            start = os.lseek(handle, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        at = os.lseek(handle, start, os.SEEK_HOLE)
        yield start, at


def find_tags(image: Path, magic: bytes, count: int) -> set[int]:
    """Which tags ``magic || LE64(index)``, 8 bytes each, with index below ``count`` are there."""
    if len(magic) != 8:
        raise ValueError("a tag's magic is 8 bytes")
    found: set[int] = set()
    size = image.stat().st_size
    if size == 0:
        return found
    with open(image, "rb") as handle, mmap.mmap(handle.fileno(), 0, prot=mmap.PROT_READ) as view:
        for start, end in _extents(handle.fileno(), size):
            # A tag may begin before a border between two extents.
            at = view.find(magic, max(0, start - TAG_BYTES), end)
            while at >= 0:
                if at + TAG_BYTES <= size:
                    (index,) = struct.unpack_from("<Q", view, at + 8)
                    if index < count:
                        found.add(index)
                at = view.find(magic, at + 1, end)
    return found
