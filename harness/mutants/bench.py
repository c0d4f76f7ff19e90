# SPDX-License-Identifier: GPL-2.0-only
"""Objects of the sound kernel compiled once more, with some files of another text.

By the command that kbuild keeps beside an object, from a folder of links to the source tree in
which those files are others. Neither the tree nor the build folder is written to, so that any
number of compilers can run at once.
"""

from __future__ import annotations

import functools
import io
import re
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from harness.build import make
from harness.build.make import BuildLog, Warned
from harness.build.toolchain import environment
from harness.core import proc
from harness.core.errors import InternalError, MachineError
from harness.core.sandbox import Inside, taken
from harness.coverage.changed_lines import ChangedFile
from harness.coverage.line_addresses import symbols_of
from harness.coverage.objects import compiler_command, objects_of
from harness.detectors.changed_functions import Function
from harness.series.apply import PatchedTree

_PLACE = re.compile(r"^(?P<path>[^\s:]+):(?P<line>\d+):", re.M)
NO_DEBUG = "-g0"  # so that equal code is an equal file


@dataclass(frozen=True)
class MadeObject:
    """What came of one compiler's run; ``data``: the object, None where it failed.

    ``places``: all that it named, as file and line: of an error in a macro its uses as well.
    """

    data: bytes | None
    warnings: tuple[Warned, ...]
    errors: tuple[str, ...]
    places: frozenset[tuple[str, int]] = frozenset()


@dataclass(frozen=True, eq=False)
class Bench:
    """The sound kernel's source tree and build folder.

    ``users``: the objects that have a function, by file and name. ``sound``: what comes of an
    object as it is. Both are filled as they are asked for.
    """

    tree: PatchedTree
    source: Path
    out: Path
    users: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    sound: dict[str, MadeObject] = field(default_factory=dict)

    def objects(self, path: str, function: str) -> tuple[str, ...]:
        """The objects that have a function: of a header those that use it."""
        named = (Function((function,), 0, 0, ""),) if path.endswith(".h") else ()
        known = self.users.get((path, function))
        if known is None:
            file = ChangedFile(path, (), named, frozenset())
            known = tuple(objects_of(self.tree, [file], self._compiled))
            self.users[path, function] = known
        return known

    @functools.cached_property
    def _compiled(self) -> list[str]:
        records = make.read_records(self.out)
        return sorted(name for name in records if make.has_source(self.out, name))

    def sound_object(self, name: str) -> MadeObject:
        """What comes of an object as it is.

        Raises:
            InternalError: it does not compile, and it did when the kernel was built.
        """
        known = self.sound.get(name)
        if known is None:
            with tempfile.TemporaryDirectory(prefix="harness-") as scratch:
                known = self._compile(name, self.source, Path(scratch) / "out")
            if known.data is None:
                raise InternalError("\n".join((f"{name} does not compile", *known.errors)))
            self.sound[name] = known
        return known

    def made_of(self, name: str, texts: Mapping[str, bytes]) -> MadeObject:
        """What comes of an object where files have other texts."""
        with tempfile.TemporaryDirectory(prefix="harness-") as scratch:
            links = Path(scratch) / "tree"
            link_tree(self.source, links, texts)
            return self._compile(name, links, Path(scratch) / "out")

    def _compile(self, name: str, source: Path, into: Path) -> MadeObject:
        """Compiles an object from ``source``, which stands in the place of the source tree."""
        into.mkdir()
        target = into / "made.o"
        command = compiler_command(self.out, name, target)
        if command is None:
            return MadeObject(None, (), (f"error: {name}: kbuild has kept no command",))
        command = [word.replace(str(self.source), str(source)) for word in command]
        reader = BuildLog(str(source), str(self.out))
        reader.feed(f"  CC      {name}")
        box = Inside(reads=(self.source, self.out, source), writes=(into,))
        where: proc.Surroundings = {"cwd": self.out, "env": environment(), "inside": box}
        done = proc.run([*command, NO_DEBUG], on_line=reader.feed, **where)
        if done.returncode != 0 and "Killed signal" in done.output:
            what = f"the compiler was killed: not enough memory?\n{done.output[-2000:]}"
            raise MachineError(what, next_step="JOBS=1")
        warnings = tuple(reader.objects[name])
        places = frozenset(
            (reader.relative(place["path"]), int(place["line"]))
            for place in _PLACE.finditer(done.output)
        )
        if done.returncode != 0:
            make.check_said(command[0], reader.tail, self.out / "build.log")
            return MadeObject(None, warnings, tuple(reader.first_errors()), places)
        return MadeObject(taken(into, target.name).read_bytes(), warnings, (), places)

    @functools.cached_property
    def _known(self) -> frozenset[str]:
        """All symbols of the kernel; none before it was linked."""
        path = taken(self.out, "System.map")
        return frozenset(symbols_of(path.read_text("utf-8")) if path.is_file() else ())

    def lacking(self, data: bytes, sound: bytes) -> list[str]:
        """What an object asks for, the sound one does not, and the kernel does not have."""
        fresh = _undefined(data) - _undefined(sound)
        return sorted(fresh - self._known) if self._known else []


def _undefined(data: bytes) -> frozenset[str]:
    table = ELFFile(io.BytesIO(data)).get_section_by_name(".symtab")
    symbols = table.iter_symbols() if isinstance(table, SymbolTableSection) else ()
    return frozenset(s.name for s in symbols if s["st_shndx"] == "SHN_UNDEF" and s.name)


def link_tree(source: Path, links: Path, texts: Mapping[str, bytes]) -> None:
    """Makes a folder that is ``source`` by links, but for the files that have other texts.

    Only the folders of those are folders there; each other one is a link itself.
    """
    below: dict[str, dict[str, bytes]] = defaultdict(dict)
    links.mkdir()
    for path, text in texts.items():
        name, _, rest = path.partition("/")
        if rest:
            below[name][rest] = text
        else:
            (links / name).write_bytes(text)
    for name, inner in below.items():
        link_tree(source / name, links / name, inner)
    for entry in source.iterdir() if source.is_dir() else ():
        if not (links / entry.name).exists():
            (links / entry.name).symlink_to(entry)
