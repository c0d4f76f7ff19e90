# SPDX-License-Identifier: GPL-2.0-only
"""The tested kernel once more, with debug information, to decode what it said.

Debug information doubles the time of a build, so the tested kernel has none. The
same tree and configuration with DEBUG_INFO_REDUCED gives the same instructions at
the same addresses, and whether it did is checked symbol by symbol.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from harness.build.kernel import Kernel
from harness.build.make import made
from harness.build.toolchain import Workbench
from harness.series.apply import Applied
from harness.series.base import Base, worktree

STAGE = "debuginfo"
# In this order: the first two are a choice.
_SWITCH_OFF = ("DEBUG_INFO_NONE",)
_SWITCH_ON = ("DEBUG_INFO_DWARF_TOOLCHAIN_DEFAULT", "DEBUG_INFO_REDUCED")


@dataclass(frozen=True)
class DebugKernel:
    """``text_matches``: every symbol of the text is where the tested kernel has it.

    ``differences`` says what is not, a few symbols at most.
    """

    vmlinux: Path
    source: Path
    text_matches: bool
    cached: bool = False
    differences: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """``text_matches`` as the stage says it."""
        return "text addresses agree" if self.text_matches else "text addresses DIFFER"


def purpose(flavour: str) -> str:
    """The build folder of a flavour's kernels with debug information."""
    return f"{flavour}-debug"


def build_debug(
    bench: Workbench, base: Base, applied: Applied, kernel: Kernel, flavour: str, log: Path
) -> DebugKernel:
    """The debug twin of ``kernel``, from the store or built now.

    Args:
        flavour: the configuration's name, by which the build folder is found again.
        log: gets what make says.

    Raises:
        SeriesError, MachineError: as for any build.
    """
    wanted = debug_config(kernel.config.read_text("utf-8"))
    sha = hashlib.sha256(wanted.encode()).hexdigest()
    inputs = applied.tree, sha, bench.toolchain.version

    def make(draft: Path) -> None:
        with made(
            bench, base, applied, wanted, purpose(flavour), STAGE, draft, log, settle=True
        ) as job:
            shutil.copyfile(job.out / "vmlinux", draft / "vmlinux")
            here, there = kernel.system_map, job.out / "System.map"
            about = {"differences": differences(here.read_text("utf-8"), there.read_text("utf-8"))}
            (draft / "debug.json").write_text(json.dumps(about) + "\n", "utf-8")

    entry = bench.store.entry("debug", inputs, make, bench.events.note)
    told = json.loads((entry.path / "debug.json").read_text("utf-8"))["differences"]
    source = worktree(bench.store, base.key)
    return DebugKernel(entry.path / "vmlinux", source, not told, entry.cached, tuple(told))


def debug_config(config: str) -> str:
    """A .config with debug information switched on and nothing else changed."""
    drop = {f"CONFIG_{name}" for name in (*_SWITCH_OFF, *_SWITCH_ON)}
    lines = [
        line
        for line in config.splitlines()
        if line.partition("=")[0] not in drop
        and line.removeprefix("# ").removesuffix(" is not set") not in drop
    ]
    lines += [f"# CONFIG_{name} is not set" for name in _SWITCH_OFF]
    lines += [f"CONFIG_{name}=y" for name in _SWITCH_ON]
    return "\n".join(lines) + "\n"


def text_symbols(system_map: str) -> dict[str, str]:
    """``{symbol: address}`` of the text in a System.map; names that repeat are left out."""
    found: dict[str, str] = {}
    twice: set[str] = set()
    for line in system_map.splitlines():
        address, kind, name = line.split(" ", 2)
        if kind in "tTwW":
            if name in found:
                twice.add(name)
            found[name] = address
    return {name: address for name, address in found.items() if name not in twice}


def differences(tested: str, debug: str, most: int = 5) -> list[str]:
    """Where two System.maps disagree on the text, a few symbols."""
    here, there = text_symbols(tested), text_symbols(debug)
    return [
        f"{name}: {here.get(name, 'missing')} tested, {there.get(name, 'missing')} with debug"
        for name in sorted(here.keys() | there.keys())
        if here.get(name) != there.get(name)
    ][:most]
