# SPDX-License-Identifier: GPL-2.0-only
"""Every entry of the store is keyed by its inputs and by the code that makes it."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.core import store
from harness.core.settings import PROJECT
from harness.core.store import entry_key

HARNESS = PROJECT / "harness"
# Rooms whose work ends up in the entries of others. What series/ does is a commit, an input.
WORKING = ("build", "image")


@dataclass(frozen=True)
class EntryCall:
    """One call of ``Store.entry``; ``file`` below harness/."""

    kind: str
    file: Path
    also: tuple[str, ...]
    local: bool  # its maker is a function of the same file

    @property
    def rooms(self) -> tuple[Path, ...]:
        return (self.file.parent, *map(Path, self.also))


def calls_of(file: Path, text: str) -> Iterator[EntryCall]:
    tree = ast.parse(text)
    functions = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if node.func.attr != "entry" or len(node.args) < 3:
            continue
        make = node.args[2]
        named = isinstance(make, ast.Name) and make.id in functions
        also = {word.arg: ast.literal_eval(word.value) for word in node.keywords}.get("also", ())
        kind = ast.literal_eval(node.args[0])
        yield EntryCall(kind, file, also, named or isinstance(make, ast.Lambda))


def imported_rooms(text: str) -> set[str]:
    modules = [n.module or "" for n in ast.walk(ast.parse(text)) if isinstance(n, ast.ImportFrom)]
    return {module.split(".")[1] for module in modules if module.startswith("harness.")}


def sources() -> dict[Path, str]:
    return {path.relative_to(HARNESS): path.read_text() for path in sorted(HARNESS.rglob("*.py"))}


CALLS = [call for file, text in sources().items() for call in calls_of(file, text)]


def test_all_callers_are_found() -> None:
    """Nobody makes entries by another way."""
    uses = sum(text.count('.entry("') for text in sources().values())
    split = sum(text.count(".entry(\n") for text in sources().values())
    assert len(CALLS) == uses + split
    assert {call.kind for call in CALLS} >= {"base", "applied", "config", "kernel", "programs"}


@pytest.mark.parametrize("file", sorted({call.file for call in CALLS}), ids=str)
def test_a_maker_stands_where_the_entry_is_asked_for(file: Path) -> None:
    """So that its room is the room in the key; and the rooms that work for it are named."""
    calls = [call for call in CALLS if call.file == file]
    assert all(call.local for call in calls)
    needed = imported_rooms((HARNESS / file).read_text()) & set(WORKING)
    assert {room for call in calls for room in call.also} >= needed - {file.parent.name}


def maker(file: Path) -> Callable[[Path], None]:
    """A function that Python has read from ``file``."""
    names: dict[str, Callable[[Path], None]] = {}
    exec(compile("def make(draft): ...", str(file), "exec"), names)
    return names["make"]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.kind}-{call.file.stem}")
def test_each_source_of_its_rooms_changes_the_key(
    call: EntryCall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "harness"
    shutil.copytree(HARNESS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(store, "HARNESS", copy)

    def key() -> str:
        store.room_digest.cache_clear()
        return entry_key(["inputs"], maker(copy / call.file), call.also)

    keys = [key()]
    assert keys == [key()]
    for room in call.rooms:
        for path in sorted((copy / room).iterdir()):
            if path.suffix in (".py", ".c", ".h", ".yaml"):
                path.write_text(path.read_text() + "\n")
                keys.append(key())
    assert len(set(keys)) == len(keys) > len(call.rooms)
    (copy / "report" / "screen.py").write_text("")
    assert key() == keys[-1]  # who shows it does not make it
    store.room_digest.cache_clear()


def test_what_packs_the_image_is_in_the_key_of_the_programs() -> None:
    rooms = {call.file: call.rooms for call in CALLS if call.kind == "programs"}
    assert {Path("image/programs.py"), Path("races/programs.py")} == set(rooms)
    assert all(Path("image") in named for named in rooms.values())


def test_the_guests_c_is_in_the_key_of_the_root_file_system() -> None:
    (call,) = (call for call in CALLS if call.kind == "rootfs")
    assert "agent" in call.also
