# SPDX-License-Identifier: GPL-2.0-only
"""Where in the tested kernel the code of each line of the changed files begins."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.build.kernel import KernelBuild
from harness.build.tree import TreeUnderTest
from harness.core.jsondata import read_json
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


@dataclass(frozen=True)
class _Kept:
    """As the store has it: JSON has no numbers for keys."""

    lines: dict[str, list[list[int]]]  # line, its addresses
    objects: list[str]
    missing: list[str]


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
        kept = _read(placed, {file.path for file in files}, worktree(tools.store, base.key), names)
        shutil.rmtree(folder)
        (draft / _FILE).write_text(json.dumps(asdict(kept)) + "\n", "utf-8")

    entry = tools.store.entry("statements", inputs, fill, tools.events.note,
                              also=("build", "debugger"))  # fmt: skip
    kept = read_json(_Kept, entry.path / _FILE)
    return Statements(
        {path: {line: at for line, *at in rows} for path, rows in kept.lines.items()},
        tuple(kept.objects),
        tuple(kept.missing),
        entry.cached,
    )


def symbols_of(symbol_map: str) -> dict[str, list[int]]:
    """The addresses of each name of a System.map."""
    found: dict[str, list[int]] = {}
    for row in symbol_map.splitlines():
        address, _, name = row.split(" ", 2)
        found.setdefault(name, []).append(int(address, 16))
    return found


def _read(
    placed: Sequence[PlacedObject], paths: set[str], source: Path, names: Sequence[str]
) -> _Kept:
    lines: dict[str, dict[int, set[int]]] = {}
    for item in placed:
        debug = DebugInfo(item.path, source, item.path.with_suffix(".dwarf"))
        for row in debug.rows():
            ours = row.file in paths and row.line and not row.end
            if ours and any(low <= row.address < high for low, high in item.code):
                lines.setdefault(row.file, {}).setdefault(row.line, set()).add(row.address)
        debug.close()
    found = {item.name for item in placed if item.code}
    return _Kept(
        {p: [[n, *sorted(at)] for n, at in sorted(rows.items())] for p, rows in lines.items()},
        sorted(found),
        sorted(set(names) - found),
    )
