# SPDX-License-Identifier: GPL-2.0-only
"""Boots a kernel with one program of ours as its only process.

For kernels on which the ordinary guest cannot live, such as 32-bit ones under a 64-bit
user space. The program is freestanding C, so that no C library for that architecture is
needed; it is the initramfs's /init, prints KTAP to the console, and reboots, which ends QEMU.
"""

from __future__ import annotations

import stat
from pathlib import Path

from harness.cases.ktap import read_case
from harness.core import proc
from harness.vm.machine import QEMU
from harness.vm.splats import find_splats

HANG_TIMEOUT_S = 600.0  # only for a kernel that hangs, one that works takes seconds
FREESTANDING = ("-O1", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-fno-stack-protector",
                "-fno-pic", "-no-pie", "-nostdlib", "-static")  # fmt: skip
MEMORY_MB = 256
COMMAND_LINE = "console=ttyS0 panic=-1 nokaslr"


def initramfs(program: bytes) -> bytes:
    """A cpio archive in the kernel's newc format with ``program`` as /init.

    /dev/console comes from the archive that every kernel has built in.
    Source: Documentation/driver-api/early-userspace/buffer-format.rst.
    """
    files = ((b"init", stat.S_IFREG | 0o755, program), (b"TRAILER!!!", 0, b""))
    whole = b""
    for number, (name, mode, content) in enumerate(files, 1):
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08X" % value for value in fields) + name + b"\0"
        whole += head + b"\0" * (-len(head) % 4) + content + b"\0" * (-len(content) % 4)
    return whole


def judge(console: str, case: str, ended: bool) -> tuple[list[str], tuple[str, ...]]:
    """What is wrong by the whole console, and the program's diagnostics.

    Args:
        ended: QEMU did so by itself.
    """
    lines = [line.rstrip("\r") for line in console.splitlines()]
    text = "\n".join(lines)
    # It has no exit status to disagree with its result line, and it always reboots.
    failed = any(line.startswith("not ok") for line in lines)
    found = read_case(text, case, (1 if failed else 0) if ended else None)
    wrong = [] if found.outcome == "pass" else [f"guest: {found.outcome}: {found.reason}"]
    wrong += [f"guest: the kernel complained: {splat.title}" for splat in find_splats(text)]
    return wrong, found.diagnostics


def run(kernel: Path, program: Path, case: str, log: Path) -> tuple[list[str], tuple[str, ...]]:
    """Boots ``kernel`` (an ELF with a PVH entry, or a bzImage) and judges what it said.

    The console goes to ``log``. QEMU gets an ISA serial line and no device that it does not need.
    """
    archive = program.with_suffix(".cpio")
    archive.write_bytes(initramfs(program.read_bytes()))
    argv = (
        QEMU, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
        "-M", "pc", "-accel", "tcg", "-m", str(MEMORY_MB), "-serial", "stdio",
        "-kernel", str(kernel), "-initrd", str(archive), "-append", COMMAND_LINE,
    )  # fmt: skip
    done = proc.run(argv, log=log, timeout_s=HANG_TIMEOUT_S)
    # Asked to end, by SIGTERM, QEMU ends with 0 as well.
    ended = done.returncode == 0 and done.seconds < HANG_TIMEOUT_S
    return judge(log.read_text("utf-8", "replace"), case, ended)
