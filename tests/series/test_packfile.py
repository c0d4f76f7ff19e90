# SPDX-License-Identifier: GPL-2.0-only
"""Packs that git itself finds sound."""

from __future__ import annotations

from pathlib import Path

from harness.core import git
from harness.series import tar_to_git
from harness.series.tar_to_git import PackWriter, TreeBuilder

FILES = {
    b"a.c": b"int a;\n",
    b"a/b": b"in a directory\n",
    b"a-b": b"sorts between\n",
    b"a0": b"",
    b"deep/er/est/file": b"x" * 100_000,
    b"copy": b"int a;\n",
}


def repository(folder: Path) -> Path:
    repo = folder / "repo.git"
    git.init(repo)
    return repo


def commit(repo: Path) -> str:
    """A commit of FILES made by our own writer."""
    pack, trees = PackWriter(repo / "objects" / "pack"), TreeBuilder()
    for path, data in FILES.items():
        trees.add(path, b"100644", pack.add("blob", data))
    tree = trees.write(pack).hex()
    text = f"tree {tree}\nauthor A <a@b.c> 1 +0000\ncommitter A <a@b.c> 1 +0000\n\nx\n"
    name = pack.add("commit", text.encode()).hex()
    pack.finish()
    git.text(repo, "update-ref", "refs/heads/base", name)
    return name


def test_git_reads_it_back(tmp_path: Path) -> None:
    repo = repository(tmp_path)
    name = commit(repo)
    git.text(repo, "fsck", "--strict", "--full")
    files = git.tree_files(repo, name)
    found = git.blobs(repo, [blob for _, blob in files.values()])
    assert {p.encode(): found[blob] for p, (_, blob) in files.items()} == FILES


def test_offsets_beyond_two_gib_are_in_the_second_table(tmp_path: Path) -> None:
    repo = repository(tmp_path)
    commit(repo)
    (own,) = (repo / "objects" / "pack").glob("*.idx")
    check = bytes.fromhex(own.stem.removeprefix("pack-"))
    far = {bytes([n]) * 20: (n, (3 << 30) + n) for n in (7, 1, 250)}
    index = tmp_path / "far.idx"
    index.write_bytes(tar_to_git._index({**far, bytes([9]) * 20: (9, 99)}, check))
    listed = git.text(repo, "show-index", stdin=index.read_bytes()).splitlines()
    assert [line.split()[0] for line in listed] == [
        str((3 << 30) + 1), str((3 << 30) + 7), "99", str((3 << 30) + 250)
    ]  # fmt: skip


def test_the_tree_is_the_one_that_git_makes(tmp_path: Path) -> None:
    repo = repository(tmp_path)
    name = commit(repo)
    place = tmp_path / "files"
    for path, data in FILES.items():
        file = place / path.decode()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    git.text(None, "init", "--quiet", str(place))
    git.text(place, "add", "--all", "--force")
    assert git.text(place, "write-tree") == git.text(repo, "rev-parse", f"{name}^{{tree}}")


def test_equal_contents_are_stored_once(tmp_path: Path) -> None:
    repo = repository(tmp_path)
    commit(repo)
    counted = git.text(repo, "count-objects", "-v")
    # Five contents, five directories, one commit.
    assert "in-pack: 11" in counted.splitlines()


def test_an_unfinished_pack_does_not_count(tmp_path: Path) -> None:
    repo = repository(tmp_path)
    pack = PackWriter(repo / "objects" / "pack")
    pack.add("blob", b"x")
    pack.abandon()
    assert "in-pack: 0" in git.text(repo, "count-objects", "-v").splitlines()


def test_a_file_that_becomes_a_directory(tmp_path: Path) -> None:
    repo = repository(tmp_path)
    pack, trees = PackWriter(repo / "objects" / "pack"), TreeBuilder()
    blob = pack.add("blob", b"x")
    trees.add(b"a", b"100644", blob)
    trees.add(b"a/b", b"100755", blob)
    tree = trees.write(pack).hex()
    pack.finish()
    assert git.tree_files(repo, tree) == {"a/b": ("100755", blob.hex())}
