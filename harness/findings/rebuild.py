# SPDX-License-Identifier: GPL-2.0-only
"""A finding without its kernel and images: what it is built from, and the commands that build it.

For whoever must not trust what a file brings along to run.
"""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

from harness.findings.finding import CONFIG, PATCHES, RECIPE, SOURCE, Finding


def _again(finding: Finding, target: Path) -> str:
    """The harness's command on the sources in ``target``."""
    origin = finding.origin
    given = {"KERNEL": origin.base, "SERIES": target / PATCHES, "CONFIG": target / CONFIG}
    given |= {name: origin.asked.get(name, "") for name in ("PROJECT", "CPUS", "MACHINE")}
    if origin.variant:
        given["VARIANT"] = target / origin.variant
    if finding.mode == "case":
        program, _, name = finding.test.partition("::")
        given["TESTS"] = f"{Path(program).stem} and {name}"
    else:
        given["RACE"] = next((target / SOURCE).glob("*.c"))
    words = [f"{name}={value}" for name, value in given.items() if value]
    return shlex.join(["make", origin.command, *words])


def rebuild(finding: Finding, folder: Path, target: Path) -> str:
    """Copies the sources from ``folder`` to ``target``; what to type there, in lines."""
    target.mkdir(parents=True, exist_ok=True)
    for name in (PATCHES, CONFIG, SOURCE, RECIPE, finding.origin.variant or PATCHES):
        source = folder / name
        if source.is_dir():
            shutil.copytree(source, target / name, dirs_exist_ok=True)
        elif source.is_file():
            shutil.copy(source, target / name)
    origin, quoted = finding.origin, shlex.quote(str(target))
    files = [f"{quoted}/{PATCHES}/{name}" for name in origin.patches]
    files += [f"{quoted}/{origin.variant}"] if origin.variant else []
    lines = [
        f"sources: {target}",
        f"base: Linux {origin.version}, the tree {origin.tree} (git rev-parse HEAD^{{tree}})",
        "with the harness, in its folder:",
        f"  {_again(finding, target)}",
        "the kernel alone, in a git tree of the base:",
        f"  git am --keep-cr {' '.join(files)}",
        f"  cp {quoted}/{CONFIG} .config && make olddefconfig && make -j$(nproc)",
    ]
    return "\n".join(lines)
