# SPDX-License-Identifier: GPL-2.0-only
"""A directory as an ext2 image, made without root and without mounting."""

from __future__ import annotations

import os
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
    command = ["mke2fs", "-q", "-t", "ext2", "-b", "4096", "-N", str(len(sizes) + 64)]
    command += ["-m", "0", "-O", "none,filetype,sparse_super,large_file"]
    command += ["-E", "root_owner=0:0", "-d", str(tree), str(image), str(blocks)]
    proc.run_tool(command, "mke2fs")
