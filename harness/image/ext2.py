# SPDX-License-Identifier: GPL-2.0-only
"""ext2 images made, read and written without root and without mounting."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from harness.core import proc

_SPARE = 4 << 20  # bytes beyond the contents, for metadata


def make_image(tree: Path, image: Path) -> None:
    """Writes ``image``, an ext2 file system just large enough for ``tree``.

    Uncompressed on purpose: under TCG decompressing costs more than reading.

    Raises:
        MachineError: mkfs.ext2 is missing or failed.
    """
    sizes = [
        os.lstat(os.path.join(folder, name)).st_size
        for folder, folders, names in os.walk(tree)
        for name in names + folders
    ]
    # Each file takes whole 4 KiB blocks and may need indirect ones.
    need = sum(-(-size // 4096) * 4096 + 8192 for size in sizes)
    blocks = (need + need // 16 + _SPARE) // 4096
    words = "-q -t ext2 -b 4096 -m 0 -O none,filetype,sparse_super,large_file -E root_owner=0:0"
    command = ["mke2fs", *words.split(), "-N", str(len(sizes) + 64), "-d", str(tree)]
    proc.run_tool([*command, str(image), str(blocks)], "mke2fs")


def debugfs_script(files: Mapping[str, tuple[Path, int]], have: frozenset[str]) -> str:
    """Commands for debugfs that put files into an image, all of them root's.

    ``files``: path in the image: (file here, permissions); ``have``: its top directories.
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
    inside = sorted(f"/{path.relative_to(tree)}" for path in tree.rglob("*"))
    return "".join(f'set_inode_field "{i}" {who} 0\n' for i in inside for who in ("uid", "gid"))


def write_into(image: Path, script: str) -> None:
    """Runs commands of debugfs on an image."""
    argv, what = ["debugfs", "-w", "-f", "/dev/stdin", str(image)], "writing into the image"
    proc.run_tool(argv, what, stdin=script.encode())


def in_image(image: Path, name: str) -> bool:
    """Whether an ext2 image holds ``name``, or a link of that name."""
    return "Inode: " in debugfs(image, f"stat /{name}")


def debugfs(image: Path, question: str) -> str:
    """What debugfs answers; it ends with 0 whatever happened."""
    return proc.run_tool(["debugfs", "-R", question, str(image)], "reading the image")
