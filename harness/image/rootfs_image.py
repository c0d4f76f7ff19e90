# SPDX-License-Identifier: GPL-2.0-only
"""From a directory, or an image, to an image that a guest can be booted from.

Whatever the root file system comes from, the same few files of ours go into
its image, all below ``/harness``: process 1, and the SSH server's host key,
whose public half stays on the host to be pinned.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from harness.core import proc
from harness.core.errors import InvocationError, MachineError
from harness.image import ext2

_AGENT = Path(__file__).resolve().parents[1] / "agent"
INIT_SOURCES = tuple(_AGENT / name for name in ("init.c", "case.c", "serve.c", "pace.c"))

WHAT_IS_NEEDED = """a root file system for the guest must hold:
  python3 of version 3.11 or later in the default path, with ctypes
  /bin/sh
  an SSH server: /usr/sbin/dropbear, or OpenSSH's /usr/sbin/sshd
  the libraries of these; no init, no configuration, no keys (the harness adds its own)
An image must be ext2, for that is what the kernel mounts: mkfs.ext2 -d DIRECTORY IMAGE SIZE"""

# Tried: systemd starts a getty on the serial console by itself, if udev shows it that.
HOW_TO_MAKE_ONE = """an image with an init of its own, from Debian:
  mmdebstrap --variant=minbase --include=systemd-sysv,udev,openssh-server,python3 \\
    --customize-hook='chroot "$1" passwd -d root' bookworm DIRECTORY
  mke2fs -t ext2 -d DIRECTORY IMAGE 700M
or ROOTFS_LOGIN=no, and the harness's init runs in place of the image's"""

OWN_INIT = "own_init"  # a file beside an image that boots by its own init


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
        public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode(),
        b"".join(struct.pack(">I", len(part)) + part for part in strings),
        key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()),
    )


def compile_init(target: Path) -> None:
    """Compiles process 1 of the guest, statically.

    Raises:
        MachineError: there is no compiler or no static C library.
    """
    command = ["gcc", "-static", "-O2", "-o", str(target), *map(str, INIT_SOURCES)]
    proc.run_tool(command, "compiling the guest's init (it needs gcc and a static libc)")


def debugfs_script(files: Mapping[str, tuple[Path, int]], have: frozenset[str]) -> str:
    """Commands for debugfs that put files into an image, all of them root's.

    Args:
        files: path in the image: (file here, permissions).
        have: directories of the image's top level that exist already.
    """
    folders = ("harness", "proc", "sys", "dev", "run", "tmp", "root", "tests")
    lines = [f"mkdir {name}" for name in folders if name not in have]
    for inside, (here, mode) in files.items():
        fields = (f"mode 0100{mode:o}", "uid 0", "gid 0")
        lines += [f"rm {inside}", f"write {here} {inside}"]
        lines += [f"set_inode_field {inside} {field}" for field in fields]
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
    proc.run_tool(["debugfs", "-w", "-f", str(scratch), str(image)], "writing into the image")
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
    if block[0x38:0x3A] != b"\x53\xef" or len(block) < 1024:
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
    """What a user's directory, or image, lacks, by the names of ``WHAT_IS_NEEDED``."""

    def there(name: str) -> bool:
        return os.path.lexists(tree / name) if tree.is_dir() else in_image(tree, name)

    return tuple(what for what, places in _MUST_HAVE if not any(map(there, places)))


def in_image(image: Path, name: str) -> bool:
    """Whether an ext2 image holds ``name``, or a link of that name."""
    return "Inode: " in _ask(image, f"stat /{name}")


def _ask(image: Path, question: str) -> str:
    return proc.run_tool(["debugfs", "-R", question, str(image)], "reading the image")


def _finish_image(image: Path, tops: frozenset[str], draft: Path) -> None:
    """Puts init and the host key into the image; keeps the public half beside it."""
    key = new_host_key()
    compile_init(draft / "init")
    (draft / "hostkey.dropbear").write_bytes(key.dropbear)
    (draft / "hostkey.openssh").write_bytes(key.openssh)
    modes = {"init": 0o755, "hostkey.dropbear": 0o600, "hostkey.openssh": 0o600}
    files = {f"/harness/{name}": (draft / name, mode) for name, mode in modes.items()}
    _debugfs(image, debugfs_script(files, tops), draft / "script")
    for inside, (here, _) in files.items():
        # debugfs ends with 0 whatever happened.
        if f"Size: {here.stat().st_size}" not in _ask(image, f"stat {inside}"):
            what = f"{here.name} did not get into the image: is there room in it?"
            raise MachineError(what, evidence=image)
        here.unlink()
    (draft / "host_key").write_text(key.public + "\n")


def image_from_tree(tree: Path, draft: Path) -> None:
    """Packs ``tree`` into ``draft/rootfs.img``, everything in it root's, with our files added."""
    image = draft / "rootfs.img"
    ext2.make_image(tree, image)
    if os.geteuid() != 0:
        _debugfs(image, owner_script(tree), draft / "owners")
    _finish_image(image, frozenset(p.name for p in tree.iterdir()), draft)


def image_from_user(given: Path, draft: Path, *, own_init: bool = True) -> None:
    """Makes ``draft/rootfs.img`` from a user's directory or image, which stays as it is.

    Args:
        own_init: an image that has an init is to be booted by it, and ``OWN_INIT`` says so.

    Raises:
        InvocationError: it lacks something, or is no ext2.
    """
    if not given.is_dir():
        check_ext2(given)
    own_init = own_init and not given.is_dir() and in_image(given, "sbin/init")
    if lacks := missing_from(given):
        raise InvocationError(
            f"ROOTFS={given} lacks {', '.join(lacks)}",
            next_step=HOW_TO_MAKE_ONE if own_init else WHAT_IS_NEEDED,
        )
    if given.is_dir():
        image_from_tree(given, draft)
        return
    image = draft / "rootfs.img"
    proc.run_tool(["cp", "--sparse=always", str(given), str(image)], "copying the image")
    have = _ask(image, "ls -p /").splitlines()
    tops = frozenset(line.split("/")[5] for line in have if line.count("/") >= 6)
    _finish_image(image, tops, draft)
    if own_init:
        (draft / OWN_INIT).touch()
