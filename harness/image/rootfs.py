# SPDX-License-Identifier: GPL-2.0-only
"""The guest's root file system: a read-only ext2 image, made once from Debian packages.

No package script is run and nothing needs root: packages are fetched and
unpacked by hand, our init is compiled, and the image is packed. ``ROOTFS=``
replaces the packages with a copy of the user's directory or image. Into each go the
same few files of ours, all below ``/harness``: process 1, and the SSH server's host
key, whose public half stays on the host to be pinned.
"""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from cryptography.hazmat.primitives import serialization as ssh
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from harness.core import proc
from harness.core.command_table import HOW_TO_MAKE_A_ROOTFS
from harness.core.errors import InvocationError, MachineError
from harness.core.events import Events
from harness.core.jsondata import from_json
from harness.core.settings import Login, Settings
from harness.core.store import Store
from harness.image import ext2
from harness.setup import apt

_AGENT = Path(__file__).resolve().parents[1] / "agent"
INIT_SOURCES = tuple(_AGENT / name for name in ("init.c", "case.c", "serve.c", "benchmark.c"))

WHAT_IS_NEEDED = """a root file system for the guest must hold:
  python3 of version 3.11 or later in the default path, with ctypes
  /bin/sh
  an SSH server: /usr/sbin/dropbear, or OpenSSH's /usr/sbin/sshd
  the libraries of these; no init, no configuration, no keys (the harness adds its own)
An image must be ext2, for that is what the kernel mounts: mkfs.ext2 -d DIRECTORY IMAGE SIZE"""

OWN_INIT = "own_init"  # a file beside an image that boots by its own init
NO_LOGIN = "no"  # as ROOTFS_LOGIN=: our init, even where the image has one


@dataclass(frozen=True)
class Rootfs:
    """``image``: shared by all guests, never written; ``host_key``: 'ssh-ed25519 BASE64'.

    ``login``: for an image that boots by its own init.
    """

    image: Path
    host_key: str
    cached: bool
    login: Login | None = None


@dataclass(frozen=True)
class Recipe:
    """``rootfs.yaml``, read."""

    pythons: tuple[str, ...]
    packages: tuple[str, ...]
    exclude: tuple[str, ...]
    directories: tuple[str, ...]
    files: dict[str, str]


def load_recipe() -> Recipe:
    """Reads the recipe."""
    return from_json(Recipe, yaml.safe_load(Path(__file__).with_name("rootfs.yaml").read_text()))


def choose_packages(recipe: Recipe, known: Collection[str]) -> tuple[tuple[str, ...], str]:
    """The packages to fetch, of those that are ``known``, and the version of Python among them.

    Raises:
        MachineError: no alternative of an entry exists.
    """

    def first(names: Sequence[str]) -> str:
        if found := [name for name in names if name in known]:
            return found[0]
        step = f"apt-get update, or ROOTFS=/a/directory; {WHAT_IS_NEEDED}"
        raise MachineError(f"the package {' or '.join(names)} is not known to apt", next_step=step)

    minimal = first([f"python{version}-minimal" for version in recipe.pythons])
    python = minimal.removeprefix("python").removesuffix("-minimal")
    entries = [entry.format(python=python).split("|") for entry in recipe.packages]
    return tuple(first([name.strip() for name in names]) for names in entries), python


def _fetch(recipe: Recipe, folder: Path, store: Store) -> str:
    """Downloads the recipe's packages into ``folder``; returns the Python version."""

    def attempt(*, fresh: bool) -> str:
        with apt.machine_lists(store, fresh=fresh) as options:
            packages, python = choose_packages(recipe, apt.known(options))
            command = ["apt-get", *options, "-q", "download", *packages]
            proc.run_tool(command, "downloading packages", cwd=folder)
        return python

    try:
        return attempt(fresh=False)
    except MachineError:
        return attempt(fresh=True)


def _unpack(packages: Sequence[Path], root: Path, exclude: Sequence[str]) -> None:
    """Unpacks packages onto a merged-/usr tree, its links made first."""
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    flags = ["--keep-directory-symlink", "--no-same-owner"]
    flags += [f"--exclude={pattern}" for pattern in exclude]
    for package in packages:
        unpack = ("dpkg-deb", "--fsys-tarfile", str(package))
        with proc.start(unpack, stderr=None) as source:
            assert source.stdout is not None
            what = f"unpacking {package.name}"
            proc.run_tool(["tar", "-x", "-C", str(root), *flags], what, stdin=source.stdout)
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
    applets = proc.run_tool(_in_root(root, "/usr/bin/busybox", "--list"), "listing busybox").split()
    for applet in applets:
        if not any((root / folder / applet).exists() for folder in ("usr/bin", "usr/sbin")):
            (root / "usr/bin" / applet).symlink_to("busybox")
    proc.run_tool(["ldconfig", "-r", str(root)], "ldconfig")
    # Compiled here and never checked again: under TCG compiling at import is painful.
    words = ["-S", "-E", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    words += ["-s", str(root), "-p", "/", f"{root}/usr/lib/python{python}"]
    command = _in_root(root, f"/usr/bin/python{python}", *words)
    what, env = "compiling the guest's Python library", {"PYTHONHOME": f"{root}/usr"}
    proc.run_tool(command, what, env=env)


def _from_packages(draft: Path, store: Store) -> None:
    recipe = load_recipe()
    if not apt.available():
        what = "the guest's root file system is made from Debian packages, and here is no apt"
        step = f"ROOTFS=/a/directory or an image; {WHAT_IS_NEEDED}"
        raise MachineError(what, next_step=step)
    debs, root = draft / "debs", draft / "root"
    debs.mkdir()
    python = _fetch(recipe, debs, store)
    packages = sorted(debs.glob("*.deb"))
    _unpack(packages, root, recipe.exclude)
    (draft / "packages").write_text("".join(f"{p.name}\n" for p in packages))
    _furnish(root, recipe, python)
    _image_from_tree(root, draft)
    shutil.rmtree(root)
    shutil.rmtree(debs)


def _identity(given: Path) -> object:
    """What stands for a user's root in the key: names, sizes, times; not the contents."""
    files = [os.path.join(folder, name) for folder, _, names in os.walk(given) for name in names]
    stats = {path: os.lstat(path) for path in sorted(files)} or {str(given): given.stat()}
    return [(path, stat.st_size, stat.st_mtime_ns) for path, stat in stats.items()]


@dataclass(frozen=True)
class HostKey:
    """One ed25519 key in the three forms that are needed."""

    public: str  # 'ssh-ed25519 BASE64'
    dropbear: bytes
    openssh: bytes


def new_host_key() -> HostKey:
    """A fresh key; the guest proves itself with it, so that the host can pin it."""
    key = Ed25519PrivateKey.generate()
    public = key.public_key()
    # dropbear's own format: the name, then seed and public half as one string, each with its
    # length in front (RFC 4251).
    strings = b"ssh-ed25519", key.private_bytes_raw() + public.public_bytes_raw()
    return HostKey(
        public.public_bytes(ssh.Encoding.OpenSSH, ssh.PublicFormat.OpenSSH).decode(),
        b"".join(struct.pack(">I", len(part)) + part for part in strings),
        key.private_bytes(ssh.Encoding.PEM, ssh.PrivateFormat.OpenSSH, ssh.NoEncryption()),
    )


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
    if block[0x38:0x3A] != b"\x53\xef" or len(block) < 1024:
        raise InvocationError(f"ROOTFS={image} is no ext2 image", next_step=WHAT_IS_NEEDED)
    (incompatible,) = struct.unpack_from("<I", block, 0x60)
    if incompatible & ~_EXT2_KNOWS:
        what = f"ROOTFS={image} has features beyond ext2 (0x{incompatible:x}), probably ext4's"
        raise InvocationError(what, next_step=WHAT_IS_NEEDED)


_MUST_HAVE = (
    ("python3", ("usr/bin/python3", "bin/python3", "usr/local/bin/python3")),
    ("/bin/sh", ("bin/sh", "usr/bin/sh")),
    ("an SSH server", ("usr/sbin/dropbear", "sbin/dropbear", "usr/sbin/sshd", "sbin/sshd")),
)


def missing_from(tree: Path) -> tuple[str, ...]:
    """What a user's directory, or image, lacks, by the names of ``WHAT_IS_NEEDED``."""

    def there(name: str) -> bool:
        return os.path.lexists(tree / name) if tree.is_dir() else ext2.in_image(tree, name)

    return tuple(what for what, places in _MUST_HAVE if not any(map(there, places)))


def _finish_image(image: Path, tops: frozenset[str], draft: Path) -> None:
    """Puts init and the host key into the image; keeps the public half beside it."""
    key = new_host_key()
    command = ["gcc", "-static", "-O2", "-o", str(draft / "init"), *map(str, INIT_SOURCES)]
    proc.run_tool(command, "compiling the guest's init (it needs gcc and a static libc)")
    (draft / "hostkey.dropbear").write_bytes(key.dropbear)
    (draft / "hostkey.openssh").write_bytes(key.openssh)
    modes = {"init": 0o755, "hostkey.dropbear": 0o600, "hostkey.openssh": 0o600}
    files = {f"/harness/{name}": (draft / name, mode) for name, mode in modes.items()}
    ext2.write_into(image, ext2.debugfs_script(files, tops))
    for inside, (here, _) in files.items():
        if f"Size: {here.stat().st_size}" not in ext2.debugfs(image, f"stat {inside}"):
            what = f"{here.name} did not get into the image: is there room in it?"
            raise MachineError(what, evidence=image)
        here.unlink()
    (draft / "host_key").write_text(key.public + "\n")


def _image_from_tree(tree: Path, draft: Path) -> None:
    """Packs ``tree`` into ``draft/rootfs.img``, everything in it root's, with our files added."""
    image = draft / "rootfs.img"
    ext2.make_image(tree, image)
    if os.geteuid() != 0:
        ext2.write_into(image, ext2.owner_script(tree))
    _finish_image(image, frozenset(p.name for p in tree.iterdir()), draft)


def _image_from_user(given: Path, draft: Path, *, own_init: bool) -> None:
    """Makes ``draft/rootfs.img`` from a user's directory or image, which stays as it is.

    ``own_init``: an image that has an init is to be booted by it, and ``OWN_INIT`` says so.
    """
    if not given.is_dir():
        check_ext2(given)
    own_init = own_init and not given.is_dir() and ext2.in_image(given, "sbin/init")
    if lacks := missing_from(given):
        step = HOW_TO_MAKE_A_ROOTFS if own_init else WHAT_IS_NEEDED
        raise InvocationError(f"ROOTFS={given} lacks {', '.join(lacks)}", next_step=step)
    if given.is_dir():
        _image_from_tree(given, draft)
        return
    image = draft / "rootfs.img"
    proc.run_tool(["cp", "--sparse=always", str(given), str(image)], "copying the image")
    have = ext2.debugfs(image, "ls -p /").splitlines()
    tops = frozenset(line.split("/")[5] for line in have if line.count("/") >= 6)
    _finish_image(image, tops, draft)
    if own_init:
        (draft / OWN_INIT).touch()


def build_rootfs(settings: Settings, store: Store, events: Events) -> Rootfs:
    """The image for ``settings.rootfs``, from the store or made now (seconds, 12 MB fetched).

    The key is the code, the recipe and the distribution's release, never the
    network's answer: the same image serves until one of them changes.

    Raises:
        InvocationError: ``ROOTFS=`` names something that cannot be a guest's root.
        MachineError: no apt here, no network, a tool is missing.
    """
    if settings.rootfs:
        given = Path(settings.rootfs).absolute()
        if not given.exists():
            raise InvocationError(f"ROOTFS={given} does not exist", next_step=WHAT_IS_NEEDED)
        own_init = settings.rootfs_login != NO_LOGIN
        inputs: object = ("given", _identity(given), own_init)

        def make(draft: Path) -> None:
            _image_from_user(given, draft, own_init=own_init)
    else:
        release = Path("/etc/os-release")  # of the distribution: another one, other packages
        inputs = ("debian", release.read_text() if release.is_file() else "")

        def make(draft: Path) -> None:
            _from_packages(draft, store)

    entry = store.entry("rootfs", inputs, make, events.note, also=("agent",))
    host_key = (entry.path / "host_key").read_text().strip()
    login = None
    if (entry.path / OWN_INIT).exists():
        user, colon, password = settings.rootfs_login.partition(":")
        login = Login(user, password if colon else None)
    return Rootfs(entry.path / "rootfs.img", host_key, entry.cached, login)
