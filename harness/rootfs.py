# SPDX-License-Identifier: GPL-2.0-only
"""The guest's root file system: a read-only ext2 image, made once from Debian packages.

No package script is run and nothing needs root: packages are fetched and
unpacked by hand, our init is compiled, and the image is packed. ``ROOTFS=``
replaces the packages with a directory or an image of the user's; into a
directory's copy and into an image's copy go the same few files of ours, all
below ``/harness``.
"""

from __future__ import annotations

import base64
import os
import shutil
import struct
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from harness import ext2
from harness.errors import InvocationError, MachineError
from harness.events import Events, Note
from harness.settings import Settings
from harness.store import Store, digest, file_digest

_HERE = Path(__file__).resolve().parent
RECIPE = _HERE / "rootfs.yaml"
INIT_SOURCE = _HERE / "guest_init.c"

WHAT_IS_NEEDED = """a root file system for the guest must hold:
  python3 of version 3.11 or later in the default path, with ctypes
  /bin/sh
  an SSH server: /usr/sbin/dropbear, or OpenSSH's /usr/sbin/sshd
  the libraries of these; no init, no configuration, no keys (the harness adds its own)
An image must be ext2, for that is what the kernel mounts: mkfs.ext2 -d DIRECTORY IMAGE SIZE"""


@dataclass(frozen=True)
class Rootfs:
    """``image``: shared by all guests, never written; ``host_key``: 'ssh-ed25519 BASE64'."""

    image: Path
    host_key: str
    key: str
    cached: bool


@dataclass(frozen=True)
class Recipe:
    """``rootfs.yaml``, read."""

    pythons: tuple[str, ...]
    packages: tuple[str, ...]
    exclude: tuple[str, ...]
    directories: tuple[str, ...]
    files: Mapping[str, str]


def load_recipe(path: Path = RECIPE) -> Recipe:
    """Reads the recipe."""
    data: dict[str, Any] = yaml.safe_load(path.read_text())
    return Recipe(
        tuple(data["pythons"]),
        tuple(data["packages"]),
        tuple(data["exclude"]),
        tuple(data["directories"]),
        dict(data["files"]),
    )


def choose_packages(recipe: Recipe, exists: Callable[[str], bool]) -> tuple[tuple[str, ...], str]:
    """The packages to fetch and the version of Python among them.

    Args:
        exists: whether the distribution has a package of that name.

    Raises:
        MachineError: no alternative of an entry exists.
    """
    python = next((p for p in recipe.pythons if exists(f"python{p}-minimal")), None)
    if python is None:
        raise MachineError(
            f"no package of Python {' or '.join(recipe.pythons)} is known to apt",
            next_step=f"apt-get update, or ROOTFS=/a/directory; {WHAT_IS_NEEDED}",
        )
    chosen = []
    for entry in recipe.packages:
        names = [name.strip().format(python=python) for name in entry.split("|")]
        found = next((name for name in names if exists(name)), None)
        if found is None:
            raise MachineError(
                f"the package {' or '.join(names)} is not known to apt",
                next_step=f"apt-get update, or ROOTFS=/a/directory; {WHAT_IS_NEEDED}",
            )
        chosen.append(found)
    return tuple(chosen), python


def wire_strings(*parts: bytes) -> bytes:
    """SSH's encoding of byte strings: each with its length in front (RFC 4251)."""
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


@dataclass(frozen=True)
class HostKey:
    """One ed25519 key in the three forms that are needed."""

    public: str  # 'ssh-ed25519 BASE64'
    dropbear: bytes
    openssh: bytes


def new_host_key() -> HostKey:
    """A fresh key; the guest proves itself with it, so that the host can pin it."""
    key = Ed25519PrivateKey.generate()
    raw = serialization.Encoding.Raw
    seed = key.private_bytes(raw, serialization.PrivateFormat.Raw, serialization.NoEncryption())
    public = key.public_key().public_bytes(raw, serialization.PublicFormat.Raw)
    blob = wire_strings(b"ssh-ed25519", public)
    return HostKey(
        public=f"ssh-ed25519 {base64.b64encode(blob).decode()}",
        # dropbear's own format: the name, then seed and public half as one string.
        dropbear=wire_strings(b"ssh-ed25519", seed + public),
        openssh=key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        ),
    )


def _run(command: Sequence[str], what: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """Runs a tool; what it says on failure becomes the message.

    Raises:
        MachineError: the tool is missing or failed.
    """
    env = {**os.environ, "LC_ALL": "C", "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    env.update(more.pop("env", {}))
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, **more)
    except FileNotFoundError as error:
        raise MachineError(
            f"{what}: {command[0]} is not installed", next_step="make setup lists the packages"
        ) from error
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise MachineError(f"{what} failed:\n{said}", next_step=f"try: {' '.join(command)[:300]}")
    return done


def _apt_knows(options: Sequence[str]) -> Callable[[str], bool]:
    def exists(name: str) -> bool:
        done = subprocess.run(
            ["apt-cache", *options, "show", "--no-all-versions", name],
            capture_output=True,
            check=False,
        )
        return done.returncode == 0 and bool(done.stdout)

    return exists


def _private_lists(folder: Path) -> list[str]:
    """Fetches package lists into a folder of ours; the options that make apt use them.

    An image fresh from a registry has no lists at all, and lists that are some
    weeks old name packages that the mirrors no longer have; neither is fixed in
    the system's own place, which may not be ours to write.
    """
    (folder / "lists" / "partial").mkdir(parents=True)
    options = ["-o", f"Dir::State::lists={folder}/lists", "-o", f"Dir::Cache={folder}"]
    options += ["-o", "Debug::NoLocking=1"]
    _run(["apt-get", *options, "update", "-q"], "fetching the package lists")
    return options


def _fetch(recipe: Recipe, folder: Path) -> str:
    """Downloads the recipe's packages into ``folder``; returns the Python version."""

    def attempt(options: list[str]) -> str:
        packages, python = choose_packages(recipe, _apt_knows(options))
        _run(["apt-get", *options, "-q", "download", *packages], "downloading packages", cwd=folder)
        return python

    # As root apt would hand the download to a user who may not write here.
    plain = ["-o", "APT::Sandbox::User=root"]
    try:
        return attempt(plain)
    except MachineError:
        return attempt([*plain, *_private_lists(folder / "apt")])


def _unpack(packages: Sequence[Path], root: Path, exclude: Sequence[str]) -> None:
    """Unpacks packages onto a merged-/usr tree, its links made first."""
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    flags = ["--keep-directory-symlink", "--no-same-owner"]
    flags += [f"--exclude={pattern}" for pattern in exclude]
    for package in packages:
        with subprocess.Popen(
            ["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE
        ) as source:
            _run(
                ["tar", "-x", "-C", str(root), *flags],
                f"unpacking {package.name}",
                stdin=source.stdout,
            )
        if source.returncode != 0:
            raise MachineError(f"{package.name} is no Debian package", evidence=package)


def _in_root(root: Path, *command: str) -> list[str]:
    """A command line that runs a program of ``root`` with its own loader and libraries."""
    libraries = f"{root}/usr/lib/x86_64-linux-gnu:{root}/usr/lib"
    loader = f"{root}/usr/lib64/ld-linux-x86-64.so.2"
    return [loader, "--library-path", libraries, f"{root}{command[0]}", *command[1:]]


def _furnish(root: Path, recipe: Recipe, python: str) -> None:
    """Everything the packages' scripts would have done, as far as a guest needs it."""
    for name in recipe.directories:
        (root / name).mkdir(exist_ok=True)
    for name, text in recipe.files.items():
        (root / name).write_text(text)
    (root / "usr/bin/python3").symlink_to(f"python{python}")
    applets = _run(_in_root(root, "/usr/bin/busybox", "--list"), "listing busybox").stdout.split()
    for applet in applets:
        with_shell = root / "usr/bin" / applet
        if not with_shell.exists() and not (root / "usr/sbin" / applet).exists():
            with_shell.symlink_to("busybox")
    _run(["ldconfig", "-r", str(root)], "ldconfig")
    # Compiled here and never checked again: under TCG compiling at import is painful.
    library = f"/usr/lib/python{python}"
    _run(
        _in_root(
            root,
            f"/usr/bin/python{python}",
            "-S",
            "-E",
            "-m",
            "compileall",
            "-q",
            "--invalidation-mode",
            "unchecked-hash",
            "-s",
            str(root),
            "-p",
            "/",
            f"{root}{library}",
        ),
        "compiling the guest's Python library",
        env={"PYTHONHOME": f"{root}/usr"},
    )


def compile_init(target: Path) -> None:
    """Compiles process 1 of the guest, statically.

    Raises:
        MachineError: there is no compiler or no static C library.
    """
    _run(
        ["gcc", "-static", "-O2", "-o", str(target), str(INIT_SOURCE)],
        "compiling the guest's init (it needs gcc and a static libc)",
    )


def debugfs_script(files: Mapping[str, tuple[Path, int]], have: frozenset[str]) -> str:
    """Commands for debugfs that put files into an image, all of them root's.

    Args:
        files: path in the image: (file here, permissions).
        have: directories of the image's top level that exist already.
    """
    lines = [
        f"mkdir {name}"
        for name in ("harness", "proc", "sys", "dev", "run", "tmp", "root", "tests")
        if name not in have
    ]
    for inside, (here, mode) in files.items():
        lines += [f"rm {inside}", f"write {here} {inside}"]
        lines += [
            f"set_inode_field {inside} mode 0100{mode:o}",
            f"set_inode_field {inside} uid 0",
            f"set_inode_field {inside} gid 0",
        ]
    return "\n".join([*lines, ""])


def owner_script(tree: Path) -> str:
    """Commands for debugfs that give everything in an image made from ``tree`` to root."""
    lines = []
    for folder, folders, names in os.walk(tree):
        for name in folders + names:
            inside = "/" + str((Path(folder) / name).relative_to(tree))
            lines += [f'set_inode_field "{inside}" {who} 0' for who in ("uid", "gid")]
    return "\n".join([*lines, ""])


def _debugfs(image: Path, script: str, scratch: Path) -> None:
    scratch.write_text(script)
    _run(["debugfs", "-w", "-f", str(scratch), str(image)], "writing into the image")
    scratch.unlink()


# Incompatible features of ext4 that a kernel's ext2 driver refuses, all but these.
_EXT2_KNOWS = 0x0002 | 0x0010  # filetype, meta_bg


def check_ext2(image: Path) -> None:
    """Refuses an image that the guest's kernel could not mount.

    Raises:
        InvocationError: not ext2.
    """
    with open(image, "rb") as handle:
        handle.seek(1024)
        block = handle.read(1024)
    if len(block) < 1024 or block[0x38:0x3A] != b"\x53\xef":
        raise InvocationError(f"ROOTFS={image} is no ext2 image", next_step=WHAT_IS_NEEDED)
    (incompatible,) = struct.unpack_from("<I", block, 0x60)
    if incompatible & ~_EXT2_KNOWS:
        raise InvocationError(
            f"ROOTFS={image} has features beyond ext2 (0x{incompatible:x}), probably ext4's",
            next_step=WHAT_IS_NEEDED,
        )


_MUST_HAVE = (
    ("python3", ("usr/bin/python3", "bin/python3", "usr/local/bin/python3")),
    ("/bin/sh", ("bin/sh", "usr/bin/sh")),
    ("an SSH server", ("usr/sbin/dropbear", "sbin/dropbear", "usr/sbin/sshd", "sbin/sshd")),
)


def missing_from(tree: Path) -> tuple[str, ...]:
    """What a user's directory lacks, by the names of ``WHAT_IS_NEEDED``."""

    def there(name: str) -> bool:
        return os.path.lexists(tree / name)

    return tuple(what for what, places in _MUST_HAVE if not any(map(there, places)))


def _finish_image(image: Path, tops: frozenset[str], draft: Path) -> None:
    """Puts init and the host key into the image; keeps the public half beside it."""
    key = new_host_key()
    compile_init(draft / "init")
    (draft / "hostkey.dropbear").write_bytes(key.dropbear)
    (draft / "hostkey.openssh").write_bytes(key.openssh)
    files = {"init": 0o755, "hostkey.dropbear": 0o600, "hostkey.openssh": 0o600}
    script = debugfs_script(
        {f"/harness/{name}": (draft / name, mode) for name, mode in files.items()}, tops
    )
    _debugfs(image, script, draft / "script")
    for name in files:
        # debugfs ends with 0 whatever happened.
        shown = _run(["debugfs", "-R", f"stat /harness/{name}", str(image)], "reading the image")
        if f"Size: {(draft / name).stat().st_size}" not in shown.stdout:
            raise MachineError(
                f"{name} did not get into the image: is there room in it?", evidence=image
            )
        (draft / name).unlink()
    (draft / "host_key").write_text(key.public + "\n")


def _from_tree(tree: Path, image: Path, draft: Path) -> None:
    ext2.make_image(tree, image)
    if os.geteuid() != 0:
        _debugfs(image, owner_script(tree), draft / "owners")
    _finish_image(image, frozenset(p.name for p in tree.iterdir()), draft)


def _from_packages(draft: Path) -> None:
    recipe = load_recipe()
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise MachineError(
            "the guest's root file system is made from Debian packages, and here is no apt",
            next_step=f"ROOTFS=/a/directory or an image; {WHAT_IS_NEEDED}",
        )
    debs, root = draft / "debs", draft / "root"
    debs.mkdir()
    root.mkdir()
    python = _fetch(recipe, debs)
    packages = sorted(debs.glob("*.deb"))
    _unpack(packages, root, recipe.exclude)
    (draft / "packages").write_text("".join(f"{p.name}\n" for p in packages))
    _furnish(root, recipe, python)
    _from_tree(root, draft / "rootfs.img", draft)
    shutil.rmtree(root)
    shutil.rmtree(debs)


def _from_user(given: Path, draft: Path) -> None:
    image = draft / "rootfs.img"
    if given.is_dir():
        lacks = missing_from(given)
        if lacks:
            raise InvocationError(
                f"ROOTFS={given} lacks {', '.join(lacks)}", next_step=WHAT_IS_NEEDED
            )
        _from_tree(given, image, draft)
        return
    check_ext2(given)
    shutil.copyfile(given, image)
    have = _run(["debugfs", "-R", "ls -p /", str(image)], "reading the image").stdout
    tops = frozenset(line.split("/")[5] for line in have.splitlines() if line.count("/") >= 6)
    _finish_image(image, tops, draft)


def _identity(given: Path) -> object:
    """What stands for a user's root in the key: names, sizes, times; not the contents."""
    if not given.is_dir():
        stat = given.stat()
        return [str(given), stat.st_size, stat.st_mtime_ns]
    rows = []
    for folder, _, names in os.walk(given):
        for name in sorted(names):
            stat = os.lstat(os.path.join(folder, name))
            rows.append([folder, name, stat.st_size, stat.st_mtime_ns])
    return sorted(rows)


def _release() -> str:
    """The distribution's release: another release, other packages."""
    try:
        return Path("/etc/os-release").read_text()
    except OSError:
        return ""


def build_rootfs(settings: Settings, store: Store, events: Events) -> Rootfs:
    """The image for ``settings.rootfs``, from the store or made now (seconds, 12 MB fetched).

    The key is the recipe, this code and the distribution's release, never the
    network's answer: the same image serves until one of them changes.

    Raises:
        InvocationError: ``ROOTFS=`` names something that cannot be a guest's root.
        MachineError: no apt here, no network, a tool is missing.
    """
    code = file_digest(RECIPE, INIT_SOURCE, Path(__file__), Path(ext2.__file__))
    if settings.rootfs:
        given = Path(settings.rootfs).absolute()
        if not given.exists():
            raise InvocationError(f"ROOTFS={given} does not exist", next_step=WHAT_IS_NEEDED)
        key = digest("given", code, _identity(given))

        def make(draft: Path) -> None:
            _from_user(given, draft)
    else:
        key = digest("debian", code, _release())
        make = _from_packages
    entry = store.entry("rootfs", key, make, lambda text: events.emit(Note(text)))
    host_key = (entry.path / "host_key").read_text().strip()
    return Rootfs(entry.path / "rootfs.img", host_key, key, entry.cached)
