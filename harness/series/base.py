# SPDX-License-Identifier: GPL-2.0-only
"""The base kernel: whatever KERNEL= names, as a git repository with a commit to build on.

The repository lies in the store. For the user's own git tree it is an empty one
that reads the user's objects (``objects/info/alternates``), so that nothing is
ever written to the user's tree, not even a worktree's administrative files.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.core import git, proc
from harness.core.errors import HarnessError, InvocationError, MachineError
from harness.core.events import Events, Note, StageProgress
from harness.core.settings import Settings
from harness.core.store import Store, key_of
from harness.series.kernels import LATEST, NamedKernel, SourcePlace, known_kernels, lists_of
from harness.series.tar_to_git import Member, folder_members, import_tree, tar_members
from harness.setup import apt
from harness.setup.fetch import UnavailableError, fetch

STAGE = "tree"
SEED = "seed"  # the plain copy that the first checkout takes over, see worktree.py
# Debian's tarballs have blocks that can be unpacked on several CPUs at once.
_XZ = ("xz", "-T0")
FORMS = (
    f"KERNEL={', '.join(known_kernels())} or {LATEST}, the newest of these, or\n"
    "KERNEL=/path/to/linux with a git tree (and REF=), an unpacked tree, or a tarball"
)
# Opens a stream of files; gets a directory for what it needs on the way.
Members = Callable[[Path], contextlib.AbstractContextManager[Iterable[Member]]]


@dataclass(frozen=True)
class Base:
    """A base kernel.

    ``name`` is what the user said, ``version`` what the tree's Makefile says;
    ``repo`` has ``commit``, whose tree is ``tree``; ``key`` identifies the base in
    the store; ``source`` says where it comes from, for the screen; ``origin`` is the
    user's own git tree, where there is one. Where a series that this one stands on is part
    of it (on_top.py), ``commit`` and ``tree`` have that, and ``under`` is what it stands on.
    """

    name: str
    version: str
    repo: Path
    commit: str
    tree: str
    key: str
    source: str
    origin: Path | None = None
    cached: bool = False
    under: Base | None = None

    @property
    def chain(self) -> tuple[Base, ...]:
        """This base and those below it, from the top; the last is the kernel by itself."""
        return self, *(self.under.chain if self.under else ())

    @property
    def objects(self) -> tuple[Path, ...]:
        """Where its objects are, seen from those of a repository in another entry of the store.

        Relative, so that the store can be moved as a whole.
        """
        parts = (base.repo.parts[-3:] for base in self.chain)  # kind, key, repo.git
        return tuple(Path("../../../..", *entry, "objects") for entry in parts)

    @property
    def line(self) -> str:
        """The kernel line that picks a default series: '6.1' for 6.1.192."""
        return ".".join(self.version.split(".")[:2])


def obtain_kernel(settings: Settings, store: Store, events: Events) -> Base:
    """The kernel that ``settings`` names, from the store or made now.

    Raises:
        InvocationError: KERNEL= or REF= names nothing usable.
        MachineError: it is in none of its places, no network, no room.
    """
    return _Obtained(settings, store, events).base()


def worktree(store: Store, key: str) -> Path:
    """The one source tree of a base, by its key, that builds read; see worktree.py."""
    return store.work_path("source", key) / "tree"


def _version(repo: Path, commit: str, name: str) -> str:
    """The version in the tree's Makefile, as in '6.1.192' or '6.12.0-rc3'."""
    makefile = git.file_text(repo, commit, "Makefile") or ""
    fields = dict(re.findall(r"^(\w*VERSION|\w+LEVEL) *= *(.*)$", makefile, re.M))
    if "VERSION" not in fields or "PATCHLEVEL" not in fields:
        what = f"KERNEL={name} is no kernel tree: its Makefile names no version"
        raise InvocationError(what, next_step=FORMS)
    sublevel = fields.get("SUBLEVEL") or "0"
    return f"{fields['VERSION']}.{fields['PATCHLEVEL']}.{sublevel}{fields.get('EXTRAVERSION', '')}"


@dataclass(frozen=True)
class _Obtained:
    """The four ways from KERNEL= to a base: by name, a tarball, a folder, a git tree."""

    settings: Settings
    store: Store
    events: Events

    def base(self) -> Base:
        kernel, ref = self.settings.kernel, self.settings.ref
        if about := known_kernels().get(kernel):
            if ref:
                what = f"REF={ref} needs a git tree: KERNEL={kernel} is fetched as files"
                raise InvocationError(what, next_step=f"KERNEL=/path/to/a/git/tree REF={ref}")
            return self._named(about)
        path = Path(kernel).expanduser().absolute()
        if not path.exists():
            what = f"KERNEL={kernel}: neither a kernel known by name nor a path that exists"
            raise InvocationError(what, next_step=FORMS)
        if (path / ".git").exists() or ((path / "objects").is_dir() and (path / "HEAD").is_file()):
            return self._git_tree(path)
        if ref:
            what = f"REF={ref} needs a git tree, and {path} is none"
            raise InvocationError(what, next_step=FORMS)
        return self._folder(path) if path.is_dir() else self._tarball(path)

    def _warn(self, text: str) -> None:
        self.events.emit(Note(text, "warning"))

    def _entry(
        self, inputs: object, source: str, fill: Callable[[Path], str], origin: Path | None = None
    ) -> Base:
        """The base of these inputs; ``fill`` makes the repository in a draft, names the commit."""

        def make(draft: Path) -> None:
            repo, commit = draft / "repo.git", fill(draft)
            about = {
                "version": _version(repo, commit, self.settings.kernel),
                "commit": commit,
                "tree": git.text(repo, "rev-parse", f"{commit}^{{tree}}"),
                "source": source,
            }
            (draft / "base.json").write_text(json.dumps(about, indent=1) + "\n", "utf-8")

        entry = self.store.entry("base", inputs, make, self.events.note)
        return self._read(entry.path, cached=entry.cached, origin=origin)

    def _read(self, entry: Path, *, cached: bool, origin: Path | None = None) -> Base:
        about = json.loads((entry / "base.json").read_text("utf-8"))
        same = {name: about[name] for name in ("version", "commit", "tree")}
        repo, name = entry / "repo.git", self.settings.kernel
        return Base(
            name, repo=repo, key=entry.name, source=name, origin=origin, cached=cached, **same
        )

    def _imported(self, inputs: object, source: str, members: Members, files: int = 0) -> Base:
        """A base made from so many files (0: unknown), and a plain copy unless there is one."""

        def progress(done: int) -> None:
            self.events.emit(StageProgress(STAGE, done, files, "files"))

        def fill(draft: Path) -> str:
            repo, about = draft / "repo.git", f"base: {source}"
            copy = None if worktree(self.store, key_of(draft)).exists() else draft / SEED
            git.init(repo)
            with members(draft) as stream:
                return import_tree(repo, stream, about, copy=copy, progress=progress)

        return self._entry(inputs, source, fill)

    def _named(self, about: NamedKernel) -> Base:
        """From the first of its places that has it; else what is left of it on this machine."""
        missed = []
        for place in about.places:
            try:
                if place.url is not None and place.sha256 is not None:
                    return self._release(place.url, place.sha256, about.files)
                return self._package(about, place)
            except UnavailableError as error:
                missed.append(f"{place}: {error.what}")
        # Offline, or lists that are gone: an older revision is better than none.
        why = "; ".join(missed)
        if (here := self._installed(about)) is not None:
            self._warn(f"{about.package}: using the installed {here}; {why}")
            return self._version(about, here, (), "installed")
        entries = (self.store.root / "base").glob("[!.]*")
        for entry in sorted(entries, key=os.path.getmtime, reverse=True):
            source = json.loads((entry / "base.json").read_text("utf-8"))["source"]
            if source.startswith(f"{about.package} "):
                self._warn(f"offline: using {source} from the store; {why}")
                return replace(self._read(entry, cached=True), source=f"{source}, the store")
        what = "\n".join([f"KERNEL={self.settings.kernel} is in none of its places", *missed])
        step = "apt-get update, or give a tree: KERNEL=/path/to/linux (git, unpacked or tarball)"
        raise MachineError(what, next_step=step)

    def _package(self, about: NamedKernel, place: SourcePlace) -> Base:
        """From Debian's package in ``place``; an UnavailableError: it is not there."""
        with lists_of(place, self.store) as options:
            version = apt.candidate(about.package, options)
            if version is None:
                raise UnavailableError(f"it has no {about.package}")
            return self._version(about, version, options, str(place))

    def _version(
        self, about: NamedKernel, version: str, options: Sequence[str], place: str
    ) -> Base:
        """One version of the package, fetched unless it is installed."""

        def members(draft: Path) -> contextlib.AbstractContextManager[Iterable[Member]]:
            if version == self._installed(about):
                return _unpacked(Path("/", about.tarball))
            return self._downloaded(about, version, options, draft)

        inputs, source = ("package", about.package, version), f"{about.package} {version}"
        base = self._imported(inputs, source, members, about.files)
        return replace(base, source=f"{source}, {place}")

    @staticmethod
    def _installed(about: NamedKernel) -> str | None:
        there = apt.available() and Path("/", about.tarball).is_file()
        return apt.installed(about.package) if there else None

    def _release(self, url: str, sha256: str, files: int) -> Base:
        """From a tarball; an UnavailableError: it cannot be fetched, or is not the one."""

        @contextlib.contextmanager
        def members(draft: Path) -> Iterator[Iterable[Member]]:
            tarball = draft / Path(url).name
            self.events.emit(StageProgress(STAGE, 0, 0, "files", f"downloading {url}"))
            fetch(url, sha256, tarball)
            with _unpacked(tarball) as stream:
                yield stream
            tarball.unlink()

        base = self._imported(("tarball", sha256), Path(url).name, members, files)
        return replace(base, source=url)

    @contextlib.contextmanager
    def _downloaded(
        self, about: NamedKernel, version: str, options: Sequence[str], draft: Path
    ) -> Iterator[Iterable[Member]]:
        """The files of the tarball in a package, which is fetched and not installed."""
        note = f"downloading {about.package} {version}"
        self.events.emit(StageProgress(STAGE, 0, 0, "files", note))
        apt.download({about.package: version}, draft, options)
        (deb,), inside = draft.glob("*.deb"), f"./{about.tarball}"
        with (
            proc.start(("dpkg-deb", "--fsys-tarfile", str(deb)), stderr=None) as outer,
            proc.start(("tar", "-xO", inside), stdin=outer.stdout, stderr=None) as inner,
            proc.start((*_XZ, "-dc"), stdin=inner.stdout, stderr=None, much=True) as xz,
        ):
            yield from _members_of(xz)
        deb.unlink()

    def _tarball(self, path: Path) -> Base:
        with open(path, "rb") as raw:
            inputs = "tarball", hashlib.file_digest(raw, "sha256").hexdigest()
        try:
            return self._imported(inputs, path.name, lambda _: _unpacked(path))
        except InvocationError as error:
            raise InvocationError(f"KERNEL={path}: {error.what}", next_step=FORMS) from error

    def _folder(self, path: Path) -> Base:
        if not (path / "Makefile").is_file():
            raise InvocationError(f"KERNEL={path} is no kernel tree: no Makefile", next_step=FORMS)
        words = [f"--work-tree={path}", "ls-files", "-z", "--others"]
        # What a build left behind does not count.
        if (path / "include" / "config").exists() or (path / ".config").exists():
            words.append("--exclude-standard")
            self._warn(f"{path} has been built in: files that its .gitignore names are left out")
        with tempfile.TemporaryDirectory(prefix="harness-") as scratch:
            git.init(Path(scratch))
            listed = git.raw(path, f"--git-dir={scratch}", *words)
        names = sorted(os.fsdecode(name) for name in listed.split(b"\0") if name)
        stamps = [(n, (s := (path / n).lstat()).st_size, s.st_mtime_ns, s.st_mode) for n in names]
        members, inputs = folder_members(path, names), ("folder", str(path), stamps)
        opened = contextlib.nullcontext(members)
        return self._imported(inputs, path.name, lambda _: opened, len(names))

    def _look_for_edits(self, path: Path, commit: str) -> None:
        """Warns of what the tree has beside its commit."""
        try:
            edited = git.text(path, "status", "--porcelain", "--untracked-files=no").splitlines()
        except HarnessError as error:  # a damaged index, which nothing else here reads
            said = error.what.splitlines()[-1]
            self._warn(
                f"{path}: git cannot say what is not committed, and {commit[:12]} is tested: {said}"
            )
            return
        if edited:
            without = f"testing {commit[:12]} without them"
            self._warn(f"{path} has {len(edited)} changed files that are not committed: {without}")

    def _git_tree(self, path: Path) -> Base:
        ref = self.settings.ref or "HEAD"
        try:
            commit = git.commit_id(path, ref)
            common = Path(git.text(path, "rev-parse", "--path-format=absolute", "--git-common-dir"))
        except HarnessError as error:
            said = error.what.partition("\n")[2]  # below the command: git's own words
            what = f"KERNEL={path} has no commit {ref}\n{said}".rstrip()
            step = "REF= takes a commit, a tag or a branch of that tree; git log shows them"
            raise InvocationError(what, next_step=step) from error
        if not self.settings.ref and git.text(path, "rev-parse", "--is-inside-work-tree") == "true":
            self._look_for_edits(path, commit)
        objects = common / "objects"

        def fill(draft: Path) -> str:
            git.init(draft / "repo.git", objects, like=path)
            git.text(draft / "repo.git", "update-ref", "refs/heads/base", commit)
            return commit

        # Deepened, a clone has commits that a range may name.
        shallow = common / "shallow"
        inputs = "git", str(objects), commit, shallow.read_text() if shallow.is_file() else ""
        return self._entry(inputs, f"{path} {commit}", fill, origin=path)


_UNPACK = {
    b"\xfd7zXZ\0": (*_XZ, "-dc"),
    b"\x1f\x8b": ("gzip", "-dc"),
    b"BZh": ("bzip2", "-dc"),
    b"\x28\xb5\x2f\xfd": ("zstd", "-dcq"),
}


def _members_of(process: subprocess.Popen[bytes]) -> Iterator[Iterable[Member]]:
    """The files in the tar stream that a program writes, once; the rest of a context manager."""
    assert process.stdout is not None
    yield tar_members(process.stdout)
    while process.stdout.read(1 << 20):  # what padding is left, so that the program can end
        pass


@contextlib.contextmanager
def _unpacked(tarball: Path) -> Iterator[Iterable[Member]]:
    """The files in a tarball, whatever compressed it (by its first bytes)."""
    with open(tarball, "rb", buffering=0) as raw:
        magic = raw.read(6)
        raw.seek(0)
        argv = next((a for m, a in _UNPACK.items() if magic.startswith(m)), None)
        if argv is None:
            yield tar_members(raw)
            return
        with proc.start(argv, stdin=raw, stderr=subprocess.DEVNULL, much=True) as process:
            yield from _members_of(process)
        if process.returncode != 0:
            raise InvocationError(f"{tarball} is damaged: {argv[0]} cannot unpack it")
