# SPDX-License-Identifier: GPL-2.0-only
"""The modules of the harness that a finding's file carries: what its replay imports, and no more.

They may need nothing but Python's own library. Tables in YAML are written as JSON, under their
names, and a module ``yaml`` that reads JSON goes along.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

import harness
from harness.core.errors import InternalError

PACKAGE = Path(harness.__path__[0])
ENTRY = "harness.findings.replay"
HERE = Path(__file__).parent
_TABLE = re.compile(r'"(\w+\.yaml)"')


def _file(module: str) -> Path | None:
    """The file of a module of the harness; None where that name is none."""
    path = PACKAGE.joinpath(*module.split(".")[1:])
    files = (path / "__init__.py", path.with_suffix(".py"))
    return next((file for file in files if file.is_file()), None)


def _imported(tree: ast.Module) -> Iterator[str]:
    """What a module imports when it is loaded; what a function of it imports does not count."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def modules() -> dict[str, Path]:
    """The modules by name, and their files; InternalError: one needs what Python has not."""
    found: dict[str, Path] = {}
    queue = [ENTRY]
    while queue:
        name = queue.pop()
        file = _file(name)
        if name in found or file is None:
            continue
        found[name] = file
        for wanted in _imported(ast.parse(file.read_text("utf-8"))):
            top = wanted.partition(".")[0]
            if top == "harness":
                parts = wanted.split(".")
                queue += [".".join(parts[:n]) for n in range(1, len(parts) + 1)]
            elif top not in sys.stdlib_module_names and top != "yaml":
                raise InternalError(f"a finding cannot carry {name}: it imports {wanted}")
    return found


def write_modules(folder: Path) -> None:
    """Writes them below ``folder``, to be on Python's path."""
    for file in modules().values():
        target = folder / "harness" / file.relative_to(PACKAGE)
        target.parent.mkdir(parents=True, exist_ok=True)
        text = file.read_text("utf-8")
        target.write_text(text, "utf-8")
        for name in _TABLE.findall(text):
            if (table := file.with_name(name)).is_file():
                data = yaml.safe_load(table.read_text("utf-8"))
                (target.parent / name).write_text(json.dumps(data), "utf-8")
    shim = folder / "yaml"
    shim.with_suffix(".py").write_text((HERE / "yaml_as_json.py").read_text("utf-8"), "utf-8")
