# SPDX-License-Identifier: GPL-2.0-only
"""Streams of files become commits that depend on nothing else."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from harness.core import git
from harness.core.errors import InvocationError
from harness.series.tar_to_git import Member, folder_members, import_tree, tar_members

LONG = "linux/" + "/".join(["a-rather-long-directory-name"] * 8) + "/file.c"


def tarball(kind: int, *, prefix: str = "linux/") -> io.BytesIO:
    """A tar stream with a program, an empty file, a link and a very long name."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=kind) as tar:
        folder = tarfile.TarInfo(prefix.rstrip("/"))
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, mode, data in (
            (f"{prefix}Makefile", 0o644, b"VERSION = 6\n"),
            (f"{prefix}scripts/run.sh", 0o755, b"#!/bin/sh\n"),
            (f"{prefix}empty", 0o644, b""),
            (LONG, 0o644, b"x" * 1000),
        ):
            info = tarfile.TarInfo(name)
            info.mode, info.size = mode, len(data)
            tar.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo(f"{prefix}link")
        link.type, link.linkname = tarfile.SYMTYPE, "scripts/run.sh"
        tar.addfile(link)
    stream.seek(0)
    return stream


@pytest.mark.parametrize("kind", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_tar_stream_is_read_in_both_dialects(kind: int) -> None:
    members = {m.path: m for m in tar_members(tarball(kind))}
    assert members[b"Makefile"] == Member(b"Makefile", b"100644", b"VERSION = 6\n")
    assert members[b"scripts/run.sh"].mode == b"100755"
    assert members[b"empty"].data == b""
    assert members[b"link"] == Member(b"link", b"120000", b"scripts/run.sh")
    assert members[LONG.removeprefix("linux/").encode()].data == b"x" * 1000


def test_two_top_level_directories_are_refused() -> None:
    with pytest.raises(InvocationError, match="one top-level directory"):
        list(tar_members(tarball(tarfile.GNU_FORMAT, prefix="other/")))


@pytest.mark.parametrize("keep", [700, 2048 + 100])
def test_a_truncated_tarball_is_noticed(keep: int) -> None:
    with pytest.raises(InvocationError, match="ends in the middle"):
        list(tar_members(io.BytesIO(tarball(tarfile.GNU_FORMAT).read()[:keep])))


@pytest.mark.parametrize("data", [b"", b"no tarball" * 100])
def test_what_is_no_tarball_is_refused(data: bytes) -> None:
    with pytest.raises(InvocationError):
        list(tar_members(io.BytesIO(data)))


def test_commit_and_copy_agree_and_the_commit_is_reproducible(tmp_path: Path) -> None:
    ids = []
    for number in (1, 2):
        repo = tmp_path / f"{number}.git"
        git.init(repo)
        copy = tmp_path / f"copy{number}"
        ids.append(import_tree(repo, tar_members(tarball(tarfile.PAX_FORMAT)), "base", copy=copy))
    assert ids[0] == ids[1]
    files = git.tree_files(repo, ids[0])
    assert files["scripts/run.sh"][0] == "100755"
    assert files["link"][0] == "120000"
    assert os.access(copy / "scripts/run.sh", os.X_OK)
    assert (copy / "link").readlink() == Path("scripts/run.sh")
    again = tmp_path / "again.git"
    git.init(again)
    names = sorted(str(p.relative_to(copy)) for p in copy.rglob("*") if not p.is_dir())
    assert import_tree(again, folder_members(copy, names), "base") == ids[0]


@pytest.mark.parametrize("path", [b"../out", b"a/../../out", b"/etc/x", b".git/config", b"a//b"])
def test_a_path_that_leaves_the_tree_is_refused(tmp_path: Path, path: bytes) -> None:
    git.init(tmp_path / "repo.git")
    with pytest.raises(InvocationError, match="cannot have"):
        import_tree(tmp_path / "repo.git", [Member(path, b"100644", b"")], "base")


@pytest.mark.parametrize(
    "second",
    [
        Member(b"folder/file", b"100644", b"through the link"),
        Member(b"folder", b"100644", b"a second thing"),
    ],
)
def test_a_tarball_that_writes_through_its_own_link_is_refused(
    tmp_path: Path, second: Member
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    members = [Member(b"folder", b"120000", os.fsencode(outside)), second]
    git.init(tmp_path / "repo.git")
    with pytest.raises(InvocationError, match="two things"):
        import_tree(tmp_path / "repo.git", members, "base", copy=tmp_path / "copy")
    assert not list(outside.iterdir())
