# SPDX-License-Identifier: GPL-2.0-only
"""KERNEL= in all its forms; the user's tree is never written to."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from harness.core import git
from harness.core.errors import InvocationError, MachineError
from harness.core.events import Note
from harness.core.store import Store
from harness.series import base as base_module
from harness.series.kernels import NamedKernel, SourcePlace, lists_of
from harness.setup import apt
from harness.setup.fetch import UnavailableError
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


@pytest.mark.parametrize("ref", ["no-such-tag", "--help", "HEAD:Makefile", "^HEAD"])
def test_a_ref_that_is_no_commit_is_the_invocations_fault(toy: Toy, ref: str) -> None:
    with pytest.raises(InvocationError, match="has no commit"):
        toy.base(ref=ref)


def test_uncommitted_edits_are_left_out_and_said(toy: Toy, recorder: Recorder) -> None:
    (toy.tree / "mm/swap.c").write_text("broken")
    base = toy.base()
    assert base.commit == git.text(toy.tree, "rev-parse", "HEAD")
    notes = [str(note) for note in recorder.of(Note)]
    assert any("1 changed files that are not committed" in note for note in notes)


def test_what_git_cannot_say_of_edits_is_told(toy: Toy, recorder: Recorder) -> None:
    (toy.tree / ".git" / "index").write_bytes(b"damaged")
    assert toy.base().commit == git.text(toy.tree, "rev-parse", "HEAD")
    assert any("git cannot say what is not committed" in str(n) for n in recorder.of(Note))


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


# --- by name: packages without apt, and a tarball without a network -------------------


class Packages:
    """What apt would say: the version of linux-source-6.1 in each place, and those out of reach."""

    def __init__(self, toy: Toy) -> None:
        self.toy = toy
        self.versions: dict[str, str | None] = {"machine": "1.0", "other": None}
        self.gone: set[str] = set()
        self.downloads: list[tuple[str, str]] = []

    @contextlib.contextmanager
    def lists(self, place: SourcePlace, store: Store) -> Iterator[tuple[str, ...]]:
        yield (str(place.apt),)

    def candidate(self, package: str, options: Sequence[str]) -> str | None:
        return self.versions[options[0]]

    def download(self, versions: Mapping[str, str], folder: Path, options: Sequence[str]) -> None:
        ((package, version),) = versions.items()
        if version in self.gone:
            raise UnavailableError(f"no network for {version}")
        self.downloads.append((options[0], version))
        target = folder / f"{package}_{version}_all.deb"
        words = ["dpkg-deb", "--build", str(self.toy.root / "deb"), str(target)]
        subprocess.run(words, check=True, capture_output=True)


@pytest.fixture
def tarball(toy: Toy) -> Path:
    """The toy as the tarball of a release."""
    unpack(toy.root / "linux-source-6.1")
    path = toy.root / "release" / "linux-6.1.7.tar.xz"
    path.parent.mkdir()
    words = ["tar", "-cJf", str(path), "-C", str(toy.root), "linux-source-6.1"]
    subprocess.run(words, check=True)
    return path


@pytest.fixture
def packages(toy: Toy, tarball: Path, monkeypatch: pytest.MonkeyPatch) -> Packages:
    """A machine whose apt has linux-source-6.1 1.0, made of the toy; two more places."""
    found = Packages(toy)
    monkeypatch.setattr(apt, "available", lambda: True)
    monkeypatch.setattr(apt, "installed", lambda package: None)
    monkeypatch.setattr(apt, "candidate", found.candidate)
    monkeypatch.setattr(apt, "download", found.download)
    monkeypatch.setattr(base_module, "lists_of", found.lists)
    places = (
        SourcePlace(apt="machine"),
        SourcePlace(apt="other", archive="Debian"),
        SourcePlace(url=tarball.as_uri(), sha256=hashlib.sha256(tarball.read_bytes()).hexdigest()),
    )
    table = {"6.1": NamedKernel("linux-source-6.1", places, 20)}
    monkeypatch.setattr(base_module, "known_kernels", lambda: table)
    source = toy.root / "deb" / "usr" / "src"
    source.mkdir(parents=True)
    shutil.copy(tarball, source / "linux-source-6.1.tar.xz")
    control = toy.root / "deb" / "DEBIAN"
    control.mkdir()
    (control / "control").write_text(
        "Package: linux-source-6.1\nVersion: 1.0\nArchitecture: all\n"
        "Maintainer: Toy <toy@example.org>\nDescription: toy\n"
    )
    return found


needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="no dpkg-deb here")


@needs_dpkg
def test_a_package_is_unpacked_without_installing_it(toy: Toy, packages: Packages) -> None:
    base = toy.base(kernel="6.1")
    assert base.version == "6.1.7"
    assert base.source == "linux-source-6.1 1.0, this machine's apt"
    assert base.tree == git.text(toy.tree, "rev-parse", "HEAD^{tree}")
    assert not list(base.repo.parent.glob("*.deb"))
    assert toy.base(kernel="6.1").cached


@needs_dpkg
def test_a_new_revision_is_a_new_base(toy: Toy, packages: Packages) -> None:
    first = toy.base(kernel="6.1")
    packages.versions["machine"] = "1.1"
    assert toy.base(kernel="6.1").key != first.key


@needs_dpkg
@pytest.mark.parametrize("machine", [None, "0.9"])
def test_what_the_machine_does_not_have_is_taken_from_the_next_place(
    toy: Toy, packages: Packages, machine: str | None
) -> None:
    packages.versions = {"machine": machine, "other": "1.1"}
    packages.gone = {"0.9"}
    assert toy.base(kernel="6.1").source == "linux-source-6.1 1.1, Debian's suite other"
    assert packages.downloads == [("other", "1.1")]


def test_what_no_suite_has_is_the_tarball_of_a_release(
    toy: Toy, packages: Packages, tarball: Path
) -> None:
    packages.versions = {"machine": None, "other": None}
    base = toy.base(kernel="6.1")
    assert base.tree == git.text(toy.tree, "rev-parse", "HEAD^{tree}")
    assert base.source == tarball.as_uri()
    assert not list(base.repo.parent.glob("*.tar.xz"))
    tarball.unlink()
    assert toy.base(kernel="6.1").cached


def test_another_tarball_than_the_one_of_the_table_is_not_taken(
    toy: Toy, packages: Packages, tarball: Path
) -> None:
    packages.versions = {"machine": None, "other": None}
    tarball.write_bytes(tarball.read_bytes() + b"more")
    with pytest.raises(MachineError) as caught:
        toy.base(kernel="6.1")
    said = caught.value.what.splitlines()
    assert said[0] == "KERNEL=6.1 is in none of its places"
    assert said[1] == "this machine's apt: it has no linux-source-6.1"
    assert said[2] == "Debian's suite other: it has no linux-source-6.1"
    assert "has the SHA256" in said[3]
    assert "KERNEL=/path/to/linux" in str(caught.value.next_step)
    assert not list((toy.store.root / "base").iterdir())


@needs_dpkg
def test_offline_the_store_helps_out_and_says_so(
    toy: Toy, packages: Packages, tarball: Path, recorder: Recorder
) -> None:
    first = toy.base(kernel="6.1")
    tarball.unlink()
    packages.versions["machine"] = "1.1"
    packages.gone = {"1.1"}
    again = toy.base(kernel="6.1")
    assert (again.key, again.source) == (first.key, "linux-source-6.1 1.0, the store")
    assert any("offline" in str(note) for note in recorder.of(Note))
    toy.store.release()
    toy.store.clean()
    with pytest.raises(MachineError, match=r"no network for 1\.1"):
        toy.base(kernel="6.1")


def test_without_apt_the_next_form_is_named(
    toy: Toy, packages: Packages, tarball: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apt, "available", lambda: False)
    monkeypatch.setattr(base_module, "lists_of", lists_of)
    assert toy.base(kernel="6.1").source == tarball.as_uri()
    toy.store.release()
    toy.store.clean()
    tarball.unlink()
    with pytest.raises(MachineError, match="this machine has no apt") as caught:
        toy.base(kernel="6.1")
    assert "KERNEL=/path/to/linux" in str(caught.value.next_step)
