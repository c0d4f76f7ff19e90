# SPDX-License-Identifier: GPL-2.0-only
"""The layout of harness/: what a room may import, how large a file and a folder may be."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from harness.core.settings import PROJECT

_ROW = re.compile(r"^\| `(?P<room>\w+)/` \|.*\| (?P<may>[^|]*) \|$", re.MULTILINE)


def read_rooms(table: str) -> dict[str, set[str]]:
    """room: the rooms that it may import besides itself, from the table of docs/design.md."""
    rows = {m["room"]: m["may"] for m in _ROW.finditer(table)}
    return {
        room: set(rows) - {room} if may == "all others" else set(re.findall(r"\w+", may))
        for room, may in rows.items()
    }


ROOMS = read_rooms((PROJECT / "docs" / "design.md").read_text())
# A command imports no other command, but for these: who, whom.
SHARED_COMMANDS = {("revision", "static_checks")}
OUTSIDE_ROOMS = ("__init__.py", "__main__.py", "cli.py")  # they may import every room

MAX_LINES = 400  # of a source file
MAX_FILES = 20  # of a folder of harness/, __init__.py apart
SOURCES = ("harness", "tests", "guest-tests", "patches", "examples")
SUFFIXES = (".py", ".c", ".h")
# The module of a dependency, where it is not the dependency's name.
MODULES = {
    "pyelftools": "elftools",
    "pyyaml": "yaml",
    "tree-sitter": "tree_sitter",
    "tree-sitter-c": "tree_sitter_c",
}


def python_files(root: Path, *folders: str) -> Iterator[tuple[Path, ast.Module]]:
    """Each Python file below these folders, relative to ``root``, and what is in it."""
    for folder in folders:
        for path in sorted((root / folder).rglob("*.py")):
            yield path.relative_to(root), ast.parse(path.read_text())


def imports(path: Path, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and full name of all that is imported: in functions and for types only, too."""
    package = path.parts[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            within = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join((*within, *filter(None, [node.module])))
            yield from ((node.lineno, f"{base}.{name.name}") for name in node.names)


def wrong_imports(root: Path) -> list[str]:
    """Imports that the table does not allow, and modules that stand in no room."""
    wrong = []
    for path, tree in python_files(root, "harness"):
        room, inner = path.parts[1], path.parts[2:]
        if not inner:
            if room not in OUTSIDE_ROOMS:
                wrong.append(f"{path} stands in no room")
            continue
        if room not in ROOMS:
            wrong.append(f"{path}: {room}/ is not in the table")
            continue
        for line, name in imports(path, tree):
            parts = name.split(".")
            if parts[0] != "harness" or parts[1:2] == [room] != ["commands"]:
                continue
            to = parts[1] if len(parts) > 1 else ""
            at = root / "harness" / to
            if not to or not (at.is_dir() or at.with_suffix(".py").is_file()):
                continue  # harness/__init__.py, or something of it
            where = f"{path}:{line}: {name}"
            if to == "commands" == room:
                who, whom = inner[0].removesuffix(".py"), parts[2] if len(parts) > 2 else ""
                if who != whom and (who, whom) not in SHARED_COMMANDS:
                    wrong.append(f"{where}: a command imports another")
            elif to not in ROOMS[room]:
                wrong.append(f"{where}: {room}/ may not import {to}")
    return wrong


def classes_named_twice(root: Path) -> list[str]:
    """Names of classes that mean two things."""
    places = defaultdict(list)
    for path, tree in python_files(root, "harness"):
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(f"{path}:{node.lineno}")
    return [f"{name}: {' '.join(at)}" for name, at in sorted(places.items()) if len(at) > 1]


def long_files(root: Path) -> list[str]:
    """Source files of more lines than a file may have."""
    paths = (p for folder in SOURCES for p in sorted((root / folder).rglob("*")))
    counts = {p: len(p.read_text().splitlines()) for p in paths if p.suffix in SUFFIXES}
    return [f"{p.relative_to(root)}: {n} lines" for p, n in counts.items() if n > MAX_LINES]


def full_rooms(root: Path) -> list[str]:
    """Folders of the harness of more files than a folder may have."""
    files: dict[Path, int] = defaultdict(int)
    for path in (root / "harness").rglob("*"):
        if path.is_file() and path.name != "__init__.py" and path.suffix != ".pyc":
            files[path.parent.relative_to(root)] += 1
    return [f"{folder}: {n} files" for folder, n in sorted(files.items()) if n > MAX_FILES]


def undocumented(root: Path) -> list[str]:
    """Public classes, functions and methods of the harness without a docstring."""

    def below(where: str, body: list[ast.stmt]) -> Iterator[str]:
        for node in body:
            if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if not node.name.startswith("_"):
                if ast.get_docstring(node) is None:
                    yield f"{where}:{node.lineno}: {node.name}"
                if isinstance(node, ast.ClassDef):
                    yield from below(where, node.body)

    return [
        found for p, tree in python_files(root, "harness") for found in below(str(p), tree.body)
    ]


def unused_dependencies(root: Path) -> list[str]:
    """What is installed for every user and imported by nothing that a user runs."""
    declared = tomllib.loads((root / "pyproject.toml").read_text())["project"]["dependencies"]
    used = {
        name + "."
        for path, tree in python_files(root, "harness", "guest-tests", "patches")
        for _, name in imports(path, tree)
    }
    names = [re.split(r"[^\w.-]", text)[0] for text in declared]
    modules = {name: MODULES.get(name, name) for name in names}
    return [n for n in names if not any(name.startswith(f"{modules[n]}.") for name in used)]


# What a page names as a file, and perhaps what that file defines: `vm/guest.py:run_case`.
_NAMED = re.compile(
    r"`(?P<path>(?P<top>[\w-]+)/[\w./-]*\.(?:py|c|h|yaml|json|md|j2))(?::(?P<name>\w+))?`"
)
_FOLDERS = (*SOURCES, "tools", "kconfig", "docs", "ci", "agent")


_BARE = re.compile(r"(?<![\w/<*.-])\w+\.py\b")  # a Python file by its name alone


def stale_names(root: Path) -> list[str]:
    """Files of ours, and what they define, that pages and comments name and that are not there."""
    patterns = ("*.py", "*.py.j2")  # a template is of a file that is made of it
    paths = [p for top in _FOLDERS for pattern in patterns for p in (root / top).rglob(pattern)]
    names = {path.name.removesuffix(".j2") for path in paths}
    pages = [*sorted(root.glob("*.md")), *sorted(root.glob("docs/*.md"))]
    wrong = []
    for page in [*pages, *(path for path, _ in python_files(root, "harness"))]:
        text = (root / page).read_text()
        missing = [name for name in _BARE.findall(text) if name not in names]
        for named in _NAMED.finditer(text):
            places = (root / named["path"], root / "harness" / named["path"])
            at = next((place for place in places if place.is_file()), None)
            if at is None:
                # It may be the kernel's, a run's, or any.
                ours = named["top"] in (*_FOLDERS, *ROOMS)
                there = not ours or Path(named["path"]).stem == "NAME"
            else:
                what = rf"^ *(def|class|async def) {named['name']}\b|^{named['name']}\b"
                there = not named["name"] or bool(re.search(what, at.read_text(), re.MULTILINE))
            if not there:
                missing.append(named[0])
        where = page.relative_to(root) if page.is_absolute() else page
        wrong += [f"{where}: {name}" for name in missing]
    return wrong


CHECKS: list[Callable[[Path], list[str]]] = [
    wrong_imports,
    classes_named_twice,
    long_files,
    full_rooms,
    undocumented,
    unused_dependencies,
    stale_names,
]


@pytest.mark.parametrize("check", CHECKS)
def test_the_layout_holds(check: Callable[[Path], list[str]]) -> None:
    wrong = check(PROJECT)
    assert not wrong, "\n".join([check.__doc__ or "", *wrong])


GOOD = {
    "pyproject.toml": '[project]\ndependencies = ["pyyaml>=6.0", "qemu.qmp>=0.0.3"]\n',
    "harness/__init__.py": "__version__ = '1'\n",
    "harness/cli.py": "from harness.commands import soak\n",
    "harness/core/store.py": '"""One."""\nimport yaml\n\n\ndef _f(): ...\n',
    "harness/vm/guest.py": "from harness import __version__\nfrom harness.core import store\n",
    "harness/vm/boot.py": "from qemu.qmp import QMPClient\n\nfrom harness.vm.guest import x\n",
    "harness/commands/static_checks.py": "",
    "harness/commands/revision/page.py": "from . import reply\nfrom harness.run import equip\n",
    "harness/commands/revision/reply.py": "from harness.commands import static_checks\n",
    "harness/run/equip.py": "",
    "tests/test_x.py": "\n" * MAX_LINES,
    "docs/a.md": "`mm/swap.c`, `vm/guest.py`, `core/store.py:_f`, `tests/test_x.py`",
}  # a small project whose layout is right


def project(root: Path, more: dict[str, str]) -> Path:
    """The small project, with ``more`` in it."""
    for name, text in (GOOD | more).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize("check", CHECKS)
def test_a_right_layout_passes(check: Callable[[Path], list[str]], tmp_path: Path) -> None:
    assert check(project(tmp_path, {})) == []


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        (
            "vm/a.py",
            "from harness.run import equip",
            "1: harness.run.equip: vm/ may not import run",
        ),
        ("vm/a.py", "from harness import run", "1: harness.run: vm/ may not import run"),
        ("vm/a.py", "import harness.run.equip", "1: harness.run.equip: vm/ may not import run"),
        ("vm/a.py", "from ..run import equip", "1: harness.run.equip: vm/ may not import run"),
        ("core/a.py", "if X:\n from harness.vm.guest import G", "2: harness.vm.guest.G: core/ may"),
        ("core/a.py", "def f():\n import harness.vm", "2: harness.vm: core/ may not import vm"),
        ("run/a.py", "from harness.commands import x", "1: harness.commands.x: run/ may not"),
        ("run/a.py", "from harness import cli", "1: harness.cli: run/ may not import cli"),
        ("commands/a.py", "from harness.commands.soak import x", "a command imports another"),
        ("commands/revision/a.py", "from harness.commands import b", "a command imports another"),
        ("commands/revision/a.py", "from .. import soak", "a command imports another"),
        ("other/a.py", "", "other/ is not in the table"),
        ("a.py", "", "harness/a.py stands in no room"),
    ],
)
def test_one_wrong_import_is_seen(name: str, text: str, what: str, tmp_path: Path) -> None:
    (wrong,) = wrong_imports(project(tmp_path, {f"harness/{name}": text}))
    assert wrong.startswith(f"harness/{name}") and what in wrong


@pytest.mark.parametrize(
    ("check", "more", "what"),
    [
        (
            classes_named_twice,
            {"harness/vm/a.py": "class A: ...", "harness/core/a.py": "\nclass A: ..."},
            "A: harness/core/a.py:2 harness/vm/a.py:1",
        ),
        (long_files, {"patches/x/a.c": "\n" * 401}, "patches/x/a.c: 401 lines"),
        (
            full_rooms,
            {f"harness/agent/{n}.c": "" for n in range(MAX_FILES + 1)},
            "harness/agent: 21 files",
        ),
        (undocumented, {"harness/vm/a.py": "\ndef f(): ..."}, "harness/vm/a.py:2: f"),
        (
            undocumented,
            {"harness/vm/a.py": 'class A:\n "x"\n def _g(self): ...\n def f(self): ...'},
            "harness/vm/a.py:4: f",
        ),
        (unused_dependencies, {"harness/vm/boot.py": "import qemu"}, "qemu.qmp"),
        (stale_names, {"docs/a.md": "`vm/gone.py:f`"}, "docs/a.md: `vm/gone.py:f`"),
        (stale_names, {"A.md": "`core/store.py:_g`"}, "A.md: `core/store.py:_g`"),
        (stale_names, {"harness/vm/a.py": "# as gone.py"}, "harness/vm/a.py: gone.py"),
    ],
)
def test_one_fault_is_seen(
    check: Callable[[Path], list[str]], more: dict[str, str], what: str, tmp_path: Path
) -> None:
    assert check(project(tmp_path, more)) == [what]


def test_every_folder_of_tests_is_looked_into(pytestconfig: pytest.Config) -> None:
    """pytest passes over folders by their names: build was one, and its tests were never run."""
    passed_over = pytestconfig.getini("norecursedirs")
    folders = {part for path in (PROJECT / "tests").rglob("test_*.py")
               for part in path.relative_to(PROJECT).parts[:-1]}  # fmt: skip
    assert "build" in folders
    assert not [name for name in folders if any(fnmatch(name, p) for p in passed_over)]
