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
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import yaml

from harness.core import git, proc
from harness.core.errors import HarnessError, InvocationError, MachineError
from harness.core.events import Events, Note, StageProgress
from harness.core.settings import Settings
from harness.core.store import Store, digest
from harness.series.tar_to_git import Member, folder_members, import_tree, tar_members
from harness.setup import apt

FORMAT = 1  # raise it when what an entry contains changes
STAGE = "tree"
SEED = "seed"  # the plain copy that the first checkout takes over, see checkout.py
# Debian's tarballs have blocks that can be unpacked on several CPUs at once.
_XZ = ("xz", "-T0")
FORMS = (
    "KERNEL=6.1 or 6.12 (Debian's linux-source packages), or\n"
    "KERNEL=/path/to/linux with a git tree (and REF=), an unpacked tree, or a tarball"
)


@dataclass(frozen=True)
class Base:
    """A base kernel.

    ``name`` is what the user said, ``version`` what the tree's Makefile says;
    ``repo`` has ``commit``, whose tree is ``tree``; ``key`` identifies the base in
    the store; ``origin`` is the user's own git tree, where there is one;
    ``objects`` is how many objects a flavour's build is known to compile.
    """

    name: str
    version: str
    repo: Path
    commit: str
    tree: str
    key: str
    origin: Path | None = None
    cached: bool = False
    objects: tuple[tuple[str, int], ...] = ()

    @property
    def line(self) -> str:
        """The kernel line that picks a default series: '6.1' for 6.1.192."""
        return ".".join(self.version.split(".")[:2])


def known_kernels() -> dict[str, dict[str, Any]]:
    """The table of ``kernels.yaml``."""
    text = Path(__file__).with_name("kernels.yaml").read_text(encoding="utf-8")
    table: dict[str, dict[str, Any]] = yaml.safe_load(text)
    return table


def obtain_base(settings: Settings, store: Store, events: Events) -> Base:
    """The base kernel that ``settings`` names, from the store or made now.

    Raises:
        InvocationError: KERNEL= or REF= names nothing usable.
        MachineError: no such package here, no network, no room.
    """
    known = known_kernels()
    if settings.kernel in known:
        if settings.ref:
            raise InvocationError(
                f"REF={settings.ref} needs a git tree: KERNEL={settings.kernel} is a package",
                next_step=f"KERNEL=/path/to/a/git/tree REF={settings.ref}",
            )
        return _package(settings.kernel, known[settings.kernel], store, events)
    path = Path(settings.kernel).expanduser().absolute()
    if not path.exists():
        raise InvocationError(
            f"KERNEL={settings.kernel}: neither a kernel known by name nor a path that exists",
            next_step=FORMS,
        )
    if (path / ".git").exists() or ((path / "objects").is_dir() and (path / "HEAD").is_file()):
        return _git_tree(path, settings, store, events)
    if settings.ref:
        raise InvocationError(
            f"REF={settings.ref} needs a git tree, and {path} is none", next_step=FORMS
        )
    if path.is_dir():
        return _folder(path, settings, store, events)
    return _tarball(path, settings, store, events)


def _version(repo: Path, commit: str, name: str) -> str:
    """The version in the tree's Makefile, as in '6.1.192' or '6.12.0-rc3'."""
    try:
        makefile = git.text(repo, "show", f"{commit}:Makefile")
    except HarnessError:
        makefile = ""
    found = dict(
        re.findall(r"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION) *= *(.*)$", makefile, re.M)
    )
    if "VERSION" not in found or "PATCHLEVEL" not in found:
        raise InvocationError(
            f"KERNEL={name} is no kernel tree: its Makefile names no version", next_step=FORMS
        )
    sublevel = found.get("SUBLEVEL") or "0"
    return f"{found['VERSION']}.{found['PATCHLEVEL']}.{sublevel}{found.get('EXTRAVERSION', '')}"


def _finish(entry: Path, commit: str, name: str, source: str) -> None:
    """Writes the description that makes an entry a base."""
    repo = entry / "repo.git"
    about = {
        "version": _version(repo, commit, name),
        "commit": commit,
        "tree": git.text(repo, "rev-parse", f"{commit}^{{tree}}"),
        "source": source,
    }
    (entry / "base.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def _base(entry: Path, name: str, *, cached: bool, origin: Path | None = None) -> Base:
    about = json.loads((entry / "base.json").read_text(encoding="utf-8"))
    line = ".".join(about["version"].split(".")[:2])
    objects = known_kernels().get(line, {}).get("objects", {})
    return Base(
        name=name,
        version=about["version"],
        repo=entry / "repo.git",
        commit=about["commit"],
        tree=about["tree"],
        key=entry.name,
        origin=origin,
        cached=cached,
        objects=tuple(sorted(objects.items())),
    )


def worktree(store: Store, key: str) -> Path:
    """The one source tree of a base, by its key, that builds read; see checkout.py."""
    return store.work_path("source", key) / "tree"


def _imported(
    store: Store,
    events: Events,
    key: str,
    name: str,
    source: str,
    members: Callable[[Path], contextlib.AbstractContextManager[Iterable[Member]]],
    files: int,
) -> Base:
    """A base made from files, with its plain copy unless a checkout has one.

    Args:
        members: opens the stream of files; gets a directory for what it needs on the way.
        files: how many are expected; 0: nobody knows.
    """

    def make(draft: Path) -> None:
        git.init(draft / "repo.git")
        with members(draft) as stream:
            commit = import_tree(
                draft / "repo.git",
                stream,
                f"base: {source}",
                copy=None if worktree(store, key).exists() else draft / SEED,
                progress=lambda done: events.emit(StageProgress(STAGE, done, files, "files")),
            )
        for package in draft.glob("*.deb"):
            package.unlink()
        _finish(draft, commit, name, source)

    entry = store.entry("base", key, make, events.note)
    return _base(entry.path, name, cached=entry.cached)


# --- a package -----------------------------------------------------------------


def _package(name: str, about: dict[str, Any], store: Store, events: Events) -> Base:
    package, inside = str(about["package"]), str(about["tarball"])
    if not apt.available():
        raise MachineError(
            f"KERNEL={name} is Debian's package {package}, and this machine has no apt",
            next_step="give a tree instead: KERNEL=/path/to/linux (git, unpacked or tarball)",
        )
    here = apt.installed(package) if Path("/", inside).is_file() else None
    failure: HarnessError = MachineError(
        f"apt has no package {package}",
        next_step="apt-get update, or give a kernel tree: KERNEL=/path/to/linux",
    )
    for fresh in (False, True):
        # Lists that are missing or older than the mirror are renewed once, by root only.
        if fresh and not apt.update():
            break
        version = apt.candidate(package, store)
        if version is None:
            continue
        try:
            return _package_version(name, about, version, here, store, events)
        except apt.UnavailableError as error:
            failure = error
    # Offline, or lists that are gone: an older revision is better than none.
    if here is not None:
        events.emit(Note(f"{package}: using the installed {here}; {failure.what}", "warning"))
        return _package_version(name, about, here, here, store, events)
    for entry in sorted((store.root / "base").glob("[!.]*"), key=os.path.getmtime, reverse=True):
        kept = json.loads((entry / "base.json").read_text(encoding="utf-8"))
        if kept["source"].startswith(f"{package} "):
            text = f"offline: using {kept['source']} from the store; {failure.what}"
            events.emit(Note(text, "warning"))
            return _base(entry, name, cached=True)
    raise failure


def _package_version(
    name: str, about: dict[str, Any], version: str, here: str | None, store: Store, events: Events
) -> Base:
    package, inside = str(about["package"]), str(about["tarball"])

    @contextlib.contextmanager
    def members(draft: Path) -> Iterator[Iterable[Member]]:
        if here == version:
            with _unpacked(Path("/", inside)) as found:
                yield found
            return
        events.emit(StageProgress(STAGE, 0, 0, "files", f"downloading {package} {version}"))
        deb = apt.download(package, version, draft, store)
        with (
            proc.start(("dpkg-deb", "--fsys-tarfile", str(deb)), stderr=None) as outer,
            proc.start(("tar", "-xO", f"./{inside}"), stdin=outer.stdout, stderr=None) as inner,
            proc.start((*_XZ, "-dc"), stdin=inner.stdout, stderr=None, much=True) as xz,
        ):
            assert xz.stdout is not None
            yield tar_members(xz.stdout)
            _drain(xz.stdout)

    key = digest(FORMAT, "package", package, version)
    return _imported(store, events, key, name, f"{package} {version}", members, int(about["files"]))


# --- a tarball -------------------------------------------------------------------

_UNPACK = {
    b"\xfd7zXZ\0": (*_XZ, "-dc"),
    b"\x1f\x8b": ("gzip", "-dc"),
    b"BZh": ("bzip2", "-dc"),
    b"\x28\xb5\x2f\xfd": ("zstd", "-dcq"),
}


def _drain(stream: IO[bytes]) -> None:
    """Reads what padding is left, so that the program that writes it can end."""
    while stream.read(1 << 20):
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
            assert process.stdout is not None
            yield tar_members(process.stdout)
            _drain(process.stdout)
        if process.returncode != 0:
            raise InvocationError(f"{tarball} is damaged: {argv[0]} cannot unpack it")


def _tarball(path: Path, settings: Settings, store: Store, events: Events) -> Base:
    with open(path, "rb") as raw:
        key = digest(FORMAT, "tarball", hashlib.file_digest(raw, "sha256").hexdigest())
    try:
        return _imported(
            store, events, key, settings.kernel, path.name, lambda _: _unpacked(path), 0
        )
    except InvocationError as error:
        raise InvocationError(f"KERNEL={path}: {error.what}", next_step=FORMS) from error


# --- an unpacked tree --------------------------------------------------------------


def _folder(path: Path, settings: Settings, store: Store, events: Events) -> Base:
    if not (path / "Makefile").is_file():
        raise InvocationError(f"KERNEL={path} is no kernel tree: no Makefile", next_step=FORMS)
    names = _files_of(path, events)
    stamps = [(n, (s := (path / n).lstat()).st_size, s.st_mtime_ns, s.st_mode) for n in names]
    key = digest(FORMAT, "folder", str(path), stamps)

    return _imported(
        store, events, key, settings.kernel, path.name,
        lambda _: contextlib.nullcontext(folder_members(path, names)), len(names),
    )  # fmt: skip


def _files_of(path: Path, events: Events) -> list[str]:
    """The files of an unpacked tree; what a build in it left behind does not count."""
    only: tuple[str, ...] = ()
    if (path / "include" / "config").exists() or (path / ".config").exists():
        only = ("--exclude-standard",)
        text = f"{path} has been built in: files that its .gitignore names are left out"
        events.emit(Note(text, "warning"))
    with tempfile.TemporaryDirectory(prefix="harness-") as scratch:
        repo = Path(scratch) / "empty.git"
        git.init(repo)
        where = (f"--git-dir={repo}", f"--work-tree={path}")
        listed = git.raw(path, *where, "ls-files", "-z", "--others", *only)
    return sorted(os.fsdecode(name) for name in listed.split(b"\0") if name)


# --- a git tree ----------------------------------------------------------------------


def _git_tree(path: Path, settings: Settings, store: Store, events: Events) -> Base:
    ref = settings.ref or "HEAD"
    try:
        commit = git.commit_id(path, ref)
        common = Path(git.text(path, "rev-parse", "--path-format=absolute", "--git-common-dir"))
    except HarnessError as error:
        raise InvocationError(
            f"KERNEL={path} has no commit {ref}",
            next_step="REF= takes a commit, a tag or a branch of that tree; git log shows them",
        ) from error
    if not settings.ref:
        _warn_of_edits(path, commit, events)
    objects = common / "objects"
    key = digest(FORMAT, "git", str(objects), commit)

    def make(draft: Path) -> None:
        git.init(draft / "repo.git", objects)
        if (common / "shallow").is_file():
            (draft / "repo.git" / "shallow").write_bytes((common / "shallow").read_bytes())
        git.text(draft / "repo.git", "update-ref", "refs/heads/base", commit)
        _finish(draft, commit, settings.kernel, f"{path} {commit}")

    entry = store.entry("base", key, make, events.note)
    return _base(entry.path, settings.kernel, cached=entry.cached, origin=path)


def _warn_of_edits(path: Path, commit: str, events: Events) -> None:
    if git.text(path, "rev-parse", "--is-bare-repository") == "true":
        return
    edited = git.text(path, "status", "--porcelain", "--untracked-files=no")
    if edited:
        count = len(edited.splitlines())
        text = f"{path} has {count} changed files that are not committed: testing {commit[:12]}"
        events.emit(Note(text + " without them", "warning"))
