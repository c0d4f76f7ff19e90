# SPDX-License-Identifier: GPL-2.0-only
"""The tested kernel once more, with debug information, to decode what it said.

Debug information doubles the time of a build, so the tested kernel has none. The
same tree and configuration with DEBUG_INFO_REDUCED gives the same instructions at
the same addresses, and whether it did is checked symbol by symbol.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.build.kernel import KernelBuild, build
from harness.build.toolchain import environment
from harness.build.tree import TreeUnderTest
from harness.core import proc
from harness.core.errors import InternalError, MachineError
from harness.core.sandbox import Inside
from harness.series.base import worktree

STAGE = "debuginfo"
DECODE_TIMEOUT_S = 180  # addr2line takes up to a second for each new function
MAX_DIFFERENCES = 5  # told


@dataclass(frozen=True)
class DebugKernel:
    """``differences``: a few symbols of the text that the tested kernel has elsewhere."""

    vmlinux: Path
    source: Path
    cached: bool
    differences: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """Whether every symbol of the text is where the tested kernel has it, in words."""
        return "text addresses DIFFER" if self.differences else "text addresses agree"


def build_debug(tree: TreeUnderTest, kernel: KernelBuild) -> DebugKernel:
    """The debug twin of ``kernel``, from the store or built now; raises what ``build`` does."""
    twin = build(tree, kernel.config, stage=STAGE, debug=True)
    maps = (path.read_text("utf-8") for path in (kernel.system_map, twin.system_map))
    source = worktree(tree.tools.store, tree.base.key)
    return DebugKernel(twin.entry / "debug", source, twin.cached, tuple(differences(*maps)))


def differences(tested: str, debug: str) -> list[str]:
    """Where two System.maps disagree on the text, a few symbols by address."""
    here, there = ({line for line in text.splitlines() if line.split()[1] in "tTwW"}
                   for text in (tested, debug))  # fmt: skip
    told = {line: "tested" if line in here else "with debug" for line in sorted(here ^ there)}
    return [f"{line} only {where}" for line, where in told.items()][:MAX_DIFFERENCES]


def decode(text: str, vmlinux: Path, source: Path) -> str:
    """The report ``text`` with source lines added by the tree's decode_stacktrace.sh.

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

    def problem(said: str) -> InternalError:
        return InternalError(f"decode_stacktrace.sh failed: {said[-1000:]}", evidence=script)

    # Not the user's environment: the script takes its tools by LLVM and CROSS_COMPILE.
    # It also disassembles 'Code:' lines, with an assembler run for each; nobody
    # reads that in a report, and the line stays as it is.
    frames = [line for line in text.splitlines() if "Code:" not in line]
    out = proc.capture(
        ("bash", str(script), str(vmlinux), str(source)),
        stdin="\n".join([*frames, ""]).encode(),
        timeout_s=DECODE_TIMEOUT_S,
        env=environment(),
        inside=Inside(reads=(vmlinux, source)),
        problem=problem,
    )
    decoded = out.decode("utf-8", "replace").splitlines()
    if len(decoded) != len(frames):
        raise problem(f"{len(decoded)} of {len(frames)} lines came back")
    lines = iter(decoded)
    return "\n".join(line if "Code:" in line else next(lines) for line in text.splitlines())
