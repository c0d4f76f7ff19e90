# SPDX-License-Identifier: GPL-2.0-only
"""KERNEL= in all its forms; the user's tree is never written to."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.core import git
from harness.core.errors import InvocationError, MachineError
from harness.core.events import Note
from harness.core.store import Store
from harness.series.base import obtain_base
from harness.setup import apt
from tests.support.recorder import Recorder
from tests.support.toy import Toy, commit, grow, unpack


def listing(tree: Path) -> dict[str, tuple[int, int]]:
    """Everything below a directory with sizes and times."""
    return {
        str(p.relative_to(tree)): (p.lstat().st_size, p.lstat().st_mtime_ns)
        for p in tree.rglob("*")
    }


def test_a_git_tree_is_used_and_not_touched(toy: Toy) -> None:
    before = listing(toy.tree)
    base, _ = toy.apply(toy.series(("one", {"mm/swap.c": grow})))
    assert base.version == "6.1.7"
    assert base.line == "6.1"
    assert base.commit == git.text(toy.tree, "rev-parse", "HEAD")
    assert listing(toy.tree) == before


def test_the_second_time_it_comes_from_the_store(toy: Toy) -> None:
    assert not toy.base().cached
    assert toy.base().cached


def test_ref_names_a_commit(toy: Toy) -> None:
    first = git.text(toy.tree, "rev-parse", "HEAD")
    git.text(toy.tree, "tag", "v6.1.7")
    commit(toy.tree, {"mm/swap.c": grow}, "later")
    assert toy.base(ref="v6.1.7").commit == first
    assert toy.base().commit != first


@pytest.mark.parametrize("ref", ["no-such-tag", "--help", "HEAD:Makefile"])
def test_a_ref_that_is_no_commit_is_the_invocations_fault(toy: Toy, ref: str) -> None:
    with pytest.raises(InvocationError, match="has no commit"):
        toy.base(ref=ref)


def test_uncommitted_edits_are_left_out_and_said(toy: Toy, recorder: Recorder) -> None:
    (toy.tree / "mm/swap.c").write_text("broken")
    base = toy.base()
    assert base.commit == git.text(toy.tree, "rev-parse", "HEAD")
    notes = [str(note) for note in recorder.of(Note)]
    assert any("1 changed files that are not committed" in note for note in notes)


def test_a_bare_repository_and_a_shallow_clone_do(toy: Toy) -> None:
    commit(toy.tree, {"mm/swap.c": grow}, "later")
    bare, shallow = toy.root / "bare.git", toy.root / "shallow"
    git.text(None, "clone", "--quiet", "--bare", str(toy.tree), str(bare))
    git.text(None, "clone", "--quiet", "--depth=1", f"file://{toy.tree}", str(shallow))
    assert toy.base(kernel=str(bare)).version == "6.1.7"
    toy.tree = shallow
    _, applied = toy.apply(toy.series(("one", {"mm/swap.c": grow})))
    assert len(applied.patches) == 1


def test_an_unpacked_tree_is_copied(toy: Toy) -> None:
    plain = unpack(toy.root / "plain")
    before = listing(plain)
    base = toy.base(kernel=str(plain))
    assert listing(plain) == before
    assert base.tree == git.text(toy.tree, "rev-parse", "HEAD^{tree}")
    assert toy.base(kernel=str(plain)).cached
    (plain / "mm/swap.c").write_text("int x;\n")
    assert not toy.base(kernel=str(plain)).cached


def test_what_a_build_left_in_an_unpacked_tree_is_left_out(toy: Toy) -> None:
    plain = unpack(toy.root / "plain")
    (plain / ".gitignore").write_text("*.o\n.config\n")
    (plain / "mm/swap.o").write_text("object")
    (plain / ".config").write_text("CONFIG_X=y\n")
    base = toy.base(kernel=str(plain))
    files = git.tree_files(base.repo, base.commit)
    assert "mm/swap.c" in files
    assert not {"mm/swap.o", ".config"} & files.keys()


@pytest.mark.parametrize("suffix", ["tar", "tar.xz", "tar.gz"])
def test_a_tarball_gives_the_same_tree(toy: Toy, suffix: str) -> None:
    unpack(toy.root / "linux-6.1.7")
    flag = {"tar": "", "tar.xz": "J", "tar.gz": "z"}[suffix]
    name = toy.root / f"linux.{suffix}"
    subprocess.run(["tar", f"-c{flag}f", str(name), "-C", str(toy.root), "linux-6.1.7"], check=True)
    base = toy.base(kernel=str(name))
    assert base.tree == git.text(toy.tree, "rev-parse", "HEAD^{tree}")
    assert toy.base(kernel=str(name)).cached


def test_a_damaged_tarball_is_the_invocations_fault_and_leaves_nothing(toy: Toy) -> None:
    unpack(toy.root / "linux-6.1.7")
    name = toy.root / "linux.tar.xz"
    subprocess.run(["tar", "-cJf", str(name), "-C", str(toy.root), "linux-6.1.7"], check=True)
    name.write_bytes(name.read_bytes()[:-2000])
    with pytest.raises(InvocationError, match=r"linux\.tar\.xz"):
        toy.base(kernel=str(name))
    assert not list((toy.store.root / "base").iterdir())


def test_what_is_no_kernel_is_refused(toy: Toy) -> None:
    (toy.root / "empty").mkdir()
    (toy.root / "other").mkdir()
    (toy.root / "other" / "Makefile").write_text("all:\n")
    for kernel in ("5.10", "empty", "other"):
        path = kernel if kernel == "5.10" else str(toy.root / kernel)
        with pytest.raises(InvocationError) as caught:
            toy.base(kernel=path)
        assert "KERNEL=/path/to/linux" in str(caught.value.next_step)


def test_ref_without_git_is_refused(toy: Toy) -> None:
    plain = unpack(toy.root / "plain")
    for kernel in ("6.1", str(plain)):
        with pytest.raises(InvocationError, match="needs a git tree"):
            toy.base(kernel=kernel, ref="v6.1")


# --- packages, without apt ---------------------------------------------------------


@pytest.fixture
def packaged(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """A machine whose apt has linux-source-6.1 1.0, made of the toy."""
    monkeypatch.setattr(apt, "available", lambda: True)
    monkeypatch.setattr(apt, "candidate", lambda package, store: "1.0")
    monkeypatch.setattr(apt, "installed", lambda package: None)
    monkeypatch.setattr(apt, "update", lambda: False)
    source = toy.root / "deb" / "usr" / "src"
    source.mkdir(parents=True)
    unpack(toy.root / "linux-source-6.1")
    subprocess.run(
        ["tar", "-cJf", str(source / "linux-source-6.1.tar.xz"), "-C", str(toy.root),
         "linux-source-6.1"],
        check=True,
    )  # fmt: skip
    control = toy.root / "deb" / "DEBIAN"
    control.mkdir()
    (control / "control").write_text(
        "Package: linux-source-6.1\nVersion: 1.0\nArchitecture: all\n"
        "Maintainer: Toy <toy@example.org>\nDescription: toy\n"
    )

    def download(package: str, version: str, folder: Path, store: Store) -> Path:
        target = folder / f"{package}_{version}_all.deb"
        subprocess.run(
            ["dpkg-deb", "--build", str(toy.root / "deb"), str(target)],
            check=True,
            capture_output=True,
        )
        return target

    monkeypatch.setattr(apt, "download", download)
    return toy


needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="no dpkg-deb here")


@needs_dpkg
def test_a_package_is_unpacked_without_installing_it(packaged: Toy) -> None:
    base = packaged.base(kernel="6.1")
    assert base.version == "6.1.7"
    assert base.tree == git.text(packaged.tree, "rev-parse", "HEAD^{tree}")
    assert not list(base.repo.parent.glob("*.deb"))
    assert packaged.base(kernel="6.1").cached


@needs_dpkg
def test_a_new_revision_is_a_new_base(packaged: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    first = packaged.base(kernel="6.1")
    monkeypatch.setattr(apt, "candidate", lambda package, store: "1.1")
    assert packaged.base(kernel="6.1").key != first.key


@needs_dpkg
def test_a_revision_that_left_the_mirror_is_looked_up_again(
    packaged: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = ["1.0"]
    real = apt.download

    def download(package: str, version: str, folder: Path, store: Store) -> Path:
        if version == "1.0":
            raise apt.UnavailableError("404")
        return real(package, version, folder, store)

    monkeypatch.setattr(apt, "download", download)
    monkeypatch.setattr(apt, "candidate", lambda package, store: versions[-1])

    def update() -> bool:
        versions.append("1.1")
        return True

    monkeypatch.setattr(apt, "update", update)
    assert "1.1" in (packaged.base(kernel="6.1").repo.parent / "base.json").read_text()


@needs_dpkg
def test_offline_the_store_helps_out_and_says_so(
    packaged: Toy, monkeypatch: pytest.MonkeyPatch, recorder: Recorder
) -> None:
    first = packaged.base(kernel="6.1")

    def fail(*_: object) -> Path:
        raise apt.UnavailableError("no network")

    monkeypatch.setattr(apt, "candidate", lambda package, store: "1.1")
    monkeypatch.setattr(apt, "download", fail)
    assert packaged.base(kernel="6.1").key == first.key
    assert any("offline" in str(note) for note in recorder.of(Note))
    packaged.store.release()
    packaged.store.clean()
    with pytest.raises(MachineError, match="no network"):
        packaged.base(kernel="6.1")


def test_without_apt_the_next_form_is_named(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apt, "available", lambda: False)
    with pytest.raises(MachineError) as caught:
        obtain_base(toy.settings(kernel="6.1"), toy.store, toy.events)
    assert "KERNEL=/path/to/linux" in str(caught.value.next_step)


def test_the_candidate_is_what_apt_says_with_its_parsed_lists_kept(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "bin"
    fake.mkdir()
    asked = tmp_path / "asked"
    (fake / "apt-cache").write_text(f"#!/bin/sh\necho \"$@\" >> {asked}\necho '  Candidate: 2.0'\n")
    (fake / "apt-cache").chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake}{os.pathsep}{os.environ['PATH']}")
    assert apt.candidate("linux-source-6.1", toy.store) == "2.0"
    (call,) = asked.read_text().splitlines()
    assert call.endswith("policy linux-source-6.1")
    assert f"Dir::Cache::pkgcache={toy.store.root}/apt/" in call
