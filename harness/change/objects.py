# SPDX-License-Identifier: GPL-2.0-only
"""Which objects of a built kernel were made from a file: as the compiler noted it beside each."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from harness.build import make
from harness.build.kernel import KernelBuild
from harness.build.tree import TreeUnderTest
from harness.core.store import digest

STAGE = "change"


def made_from(
    tree: TreeUnderTest, kernel: KernelBuild, paths: Sequence[str]
) -> dict[str, list[str]]:
    """The objects of ``kernel`` that were made from each of ``paths``, those that have some.

    Where its build folder has another state of the series by now, that is built again.
    """
    flavour, config, tools = kernel.config.name, kernel.config.text, tree.tools

    def fill(draft: Path) -> None:
        with tree.folder(flavour, config) as (source, out):
            if kernel.cached or tools.store.used_by_others(out):  # not built just now
                make.Job(tree, source, out, flavour, STAGE).run(("vmlinux",), draft)
            found = dependents(out, source.path, kernel.compiled, frozenset(paths))
        (draft / "objects.json").write_text(json.dumps(found, indent=1), "utf-8")

    if not paths:
        return {}
    inputs = tree.applied.tree, digest(config), tools.toolchain.version, sorted(paths)
    entry = tools.store.entry("objects", inputs, fill, tools.events.note, also=("build",))
    found: dict[str, list[str]] = json.loads((entry.path / "objects.json").read_text("utf-8"))
    return found


def dependents(
    out: Path, source: Path, compiled: Sequence[str], paths: frozenset[str]
) -> dict[str, list[str]]:
    """Of each path the objects of the build folder ``out`` whose command file names it."""
    named = re.compile(rb"(?<=\s)%s/(\S+)" % re.escape(str(source)).encode())
    found: dict[str, list[str]] = defaultdict(list)
    for name in compiled:
        command = (out / name).with_name(f".{Path(name).name}.cmd")
        if command.is_symlink() or not command.is_file():
            continue
        _, _, noted = command.read_bytes().partition(b"\ndeps_")
        here = {name.decode("utf-8", "surrogateescape") for name in named.findall(noted)}
        for path in sorted(here & paths):
            found[path].append(name)
    return dict(found)
