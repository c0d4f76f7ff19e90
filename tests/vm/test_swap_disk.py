# SPDX-License-Identifier: GPL-2.0-only
"""The swap disk: its header, and the search for tags in it."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.vm import swap_disk
from harness.vm.swap_disk import PAGE_BYTES, _extents, find_tags, make_swap

MAGIC = b"VTESTTAG"


def tag(index: int, magic: bytes = MAGIC) -> bytes:
    return magic + struct.pack("<Q", index)


def test_header_is_what_mkswap_writes(tmp_path: Path) -> None:
    if shutil.which("mkswap") is None and not Path("/sbin/mkswap").exists():
        pytest.skip("no mkswap to compare with")
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    make_swap(ours, 1)
    named = uuid.UUID(bytes=ours.read_bytes()[1036:1052])
    theirs.write_bytes(b"")
    os.truncate(theirs, 1 << 20)
    subprocess.run(
        ["mkswap", "-q", "-U", str(named), str(theirs)],
        check=True,
        capture_output=True,
        env={**os.environ, "PATH": f"{os.environ['PATH']}:/sbin:/usr/sbin"},
    )
    assert theirs.read_bytes() == ours.read_bytes()


def test_fresh_disk_is_sparse_and_replaces_what_was_there(tmp_path: Path) -> None:
    image = tmp_path / "swap"
    image.write_bytes(tag(1) * 4096)
    make_swap(image, 64)
    assert image.stat().st_size == 64 << 20
    assert image.stat().st_blocks * 512 < 1 << 20
    assert find_tags(image, MAGIC, 10) == set()


def test_tags_are_found_wherever_they_are(tmp_path: Path) -> None:
    image = tmp_path / "swap"
    make_swap(image, 64)
    with open(image, "r+b") as handle:
        for index, place in enumerate(
            (PAGE_BYTES, 5 * PAGE_BYTES + 100, (32 << 20) + 3, (64 << 20) - 16)
        ):
            handle.seek(place)
            handle.write(tag(index))
    assert find_tags(image, MAGIC, 4) == {0, 1, 2, 3}


def test_other_magic_high_index_and_cut_tag_do_not_count(tmp_path: Path) -> None:
    image = tmp_path / "swap"
    image.write_bytes(tag(1, b"OTHERTAG") + tag(7) + tag(2) + MAGIC + b"\x03")
    assert find_tags(image, MAGIC, 7) == {2}


def test_tag_across_the_border_of_an_extent(tmp_path: Path) -> None:
    image = tmp_path / "swap"
    with open(image, "wb") as handle:
        handle.truncate(1 << 20)
        handle.seek(2 * PAGE_BYTES - 8)
        handle.write(tag(5))
    assert find_tags(image, MAGIC, 6) == {5}


def test_empty_image_has_no_tags(tmp_path: Path) -> None:
    image = tmp_path / "swap"
    image.write_bytes(b"")
    assert find_tags(image, MAGIC, 6) == set()


def test_magic_has_eight_bytes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="8 bytes"):
        find_tags(tmp_path / "swap", b"short", 1)


def test_the_holes_of_a_large_image_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = tmp_path / "swap"
    make_swap(image, 256)
    searched: list[int] = []

    def extents(handle: int, size: int) -> Iterator[tuple[int, int]]:
        for start, end in _extents(handle, size):
            searched.append(end - start)
            yield start, end

    monkeypatch.setattr(swap_disk, "_extents", extents)
    with open(image, "r+b") as handle:
        handle.seek(1 << 20)
        for index in range(4096):
            handle.write(tag(index) + bytes(PAGE_BYTES - 16))
    assert len(find_tags(image, MAGIC, 4096)) == 4096
    assert 16 << 20 <= sum(searched) < 20 << 20  # bytes: of the header and the 16 MiB of tags
