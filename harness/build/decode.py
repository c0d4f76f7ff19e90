# SPDX-License-Identifier: GPL-2.0-only
"""Traces with file names and line numbers, by the tree's own decode_stacktrace.sh."""

from __future__ import annotations

import os
from pathlib import Path

from harness.core import proc
from harness.core.errors import InternalError, MachineError

SECONDS = 180  # addr2line takes up to a second for each new function


def decode(text: str, vmlinux: Path, source: Path, *, timeout: float = SECONDS) -> str:
    """The report ``text`` with source lines added to its frames.

    Args:
        vmlinux: the kernel with debug information.
        source: its tree; paths in the result are relative to it.

    Raises:
        MachineError: the script or one of its tools is missing.
        InternalError: it failed or took too long.
    """
    script = source / "scripts" / "decode_stacktrace.sh"
    if not script.is_file():
        raise MachineError(f"the tree has no {script.relative_to(source)}", evidence=source)
    # The script also disassembles 'Code:' lines, with an assembler run for each; nobody
    # reads that in a report, and the line stays as it is.
    kept = text.splitlines()
    frames = [line for line in kept if "Code:" not in line]
    out = proc.capture(
        ("bash", str(script), str(vmlinux), str(source)),
        stdin="\n".join([*frames, ""]).encode(),
        timeout_s=timeout,
        env={**os.environ, "LC_ALL": "C"},
        problem=lambda said: InternalError(
            f"decode_stacktrace.sh failed: {said[-1000:]}", evidence=script
        ),
    )
    decoded = out.decode("utf-8", "replace").splitlines()
    if len(decoded) != len(frames):
        said = f"{len(decoded)} of {len(frames)} lines came back"
        raise InternalError(f"decode_stacktrace.sh failed: {said}", evidence=script)
    lines = iter(decoded)
    return "\n".join(line if "Code:" in line else next(lines) for line in kept)
