# SPDX-License-Identifier: GPL-2.0-only
"""Where in the tested kernel the code of each line of the changed files begins."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.build.kernel import KernelBuild
from harness.build.tree import TreeUnderTest
from harness.core.jsondata import read_json, write_json
from harness.core.store import digest
from harness.coverage.changed_lines import ChangedFile
from harness.coverage.objects import (
    PlacedObject,
    compile_objects,
    line_tables,
    objects_of,
    place,
)
from harness.debugger.dwarf import DebugInfo
from harness.series.base import worktree

_FILE = "statements.json"


@dataclass(frozen=True)
class Statements:
    """``lines``: file → line → the addresses at which code of it begins, copies included.

    ``missing``: objects whose code was not found in the kernel. ``cached``: all of that was in
    the store.
    """

    lines: dict[str, dict[int, list[int]]]
    objects: tuple[str, ...]
    missing: tuple[str, ...]
    cached: bool = False

    @property
    def addresses(self) -> frozenset[int]:
        """All of them."""
        return frozenset(a for lines in self.lines.values() for at in lines.values() for a in at)


def find_statements(
    tree: TreeUnderTest, kernel: KernelBuild, files: Sequence[ChangedFile]
) -> Statements:
    """Those of the changed files, from the store or found now."""
    tools, base = tree.tools, tree.base
    symbol_map = kernel.system_map.read_text("utf-8")
    read = digest(kernel.config.text), tools.toolchain.version, digest(symbol_map)
    inputs = base.tree, tree.applied.tree, *read

    def fill(draft: Path) -> None:
        folder = draft / "objects"
        folder.mkdir()
        names = objects_of(tree.applied, files, kernel.compiled)
        made = compile_objects(tree, kernel, names, folder, line_tables(tools.toolchain))
        named = {name.replace("/", "-"): name for name in names}
        symbols = symbols_of(symbol_map)
        placed = [place(named[path.name], path, symbols) for path in made]
        found = _read(placed, {file.path for file in files}, worktree(tools.store, base.key), names)
        shutil.rmtree(folder)
        write_json(draft / _FILE, found)

    entry = tools.store.entry("statements", inputs, fill, tools.events.note,
                              also=("build", "debugger"))  # fmt: skip
    return replace(read_json(Statements, entry.path / _FILE), cached=entry.cached)


def symbols_of(symbol_map: str) -> dict[str, list[int]]:
    """The addresses of each name of a System.map."""
    found: dict[str, list[int]] = {}
    for row in symbol_map.splitlines():
        address, _, name = row.split(" ", 2)
        found.setdefault(name, []).append(int(address, 16))
    return found


def _read(
    placed: Sequence[PlacedObject], paths: set[str], source: Path, names: Sequence[str]
) -> Statements:
    lines: dict[str, dict[int, set[int]]] = {}
    for item in placed:
        debug = DebugInfo(item.path, source, item.path.with_suffix(".dwarf"))
        for row in debug.rows():
            ours = row.file in paths and row.line and not row.end
            if ours and any(low <= row.address < high for low, high in item.code):
                lines.setdefault(row.file, {}).setdefault(row.line, set()).add(row.address)
        debug.close()
    found = {item.name for item in placed if item.code}
    return Statements(
        {path: {n: sorted(at) for n, at in sorted(rows.items())} for path, rows in lines.items()},
        tuple(sorted(found)),
        tuple(sorted(set(names) - found)),
    )
