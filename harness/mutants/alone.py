# SPDX-License-Identifier: GPL-2.0-only
"""Each mutant compiled alone: what needs no guest, because the compiler has the verdict.

It is compiled by the command that kbuild keeps beside the object, from a folder of links to the
source tree in which one file is the mutant's. What has been found out is kept, one file a
mutant, so that a killed run goes on where it was.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from harness.build import make
from harness.build.kconfig import KernelConfig
from harness.build.make import BuildLog, Warned, new_warnings
from harness.build.toolchain import BuildTools, environment
from harness.core import proc
from harness.core.atomic import write_atomically
from harness.core.errors import InternalError, MachineError
from harness.core.jsondata import read_json
from harness.core.sandbox import Inside, taken
from harness.core.store import digest, file_digest
from harness.coverage.changed_lines import ChangedFile
from harness.coverage.objects import compiled_folder, compiler_command, objects_of
from harness.coverage.statements import symbols_of
from harness.detectors.attribution import Function
from harness.mutants.mutant import Mutant, mutated
from harness.series.apply import Applied, PatchedTree
from harness.series.base import Base

NO_DEBUG = "-g0"  # so that equal code is an equal file


@dataclass(frozen=True)
class Compiled:
    """What the compiler made of a mutant.

    Args:
        said: its warning or error; '' where there is none.
        code: a digest of the first object that differs; '' where none does, or there is none.
    """

    outcome: Literal["alive", "equivalent", "killed by the build", "invalid"]
    said: str = ""
    code: str = ""


@dataclass(frozen=True)
class _Object:
    """What came of one compiler's run; ``data``: None where it failed."""

    data: bytes | None
    warnings: tuple[Warned, ...]
    errors: tuple[str, ...]


def compile_alone(
    tools: BuildTools,
    base: Base,
    applied: Applied,
    config: KernelConfig,
    mutants: Sequence[Mutant],
    log: Path,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> dict[int, Compiled]:
    """What the compiler says of each mutant, by number, from the store or found out now.

    Args:
        applied: the sound series, whose kernel has been built with ``config``.
        log: gets a line for each mutant that was compiled.
        progress: hears how many are done, and of how many.

    Raises:
        MachineError: the disk is full, say.
    """
    key = digest(applied.tree, config.text, tools.toolchain.version, file_digest(Path(__file__)))
    with tools.store.work_dir("mutants", key, tools.events.note) as kept:
        places = {m.number: kept / f"{_name(m)}.json" for m in mutants}
        found = {n: read_json(Compiled, at) for n, at in places.items() if at.is_file()}
        left = [mutant for mutant in mutants if mutant.number not in found]
        progress(len(found), len(mutants))
        if not left:
            return found
        own = sorted({f"{m.path[:-2]}.o" for m in left if m.path.endswith(".c")})
        with (
            compiled_folder(tools, base, applied, config, own, log) as (source, out),
            ThreadPoolExecutor(tools.jobs) as pool,
            open(log, "a", encoding="utf-8") as said,
        ):
            tree = PatchedTree(applied.repo, applied.commit, base.commit)
            bench = _Bench(tree, source, out)
            runs = {pool.submit(bench.judge, mutant): mutant for mutant in left}
            try:
                for run in as_completed(runs):
                    mutant, compiled = runs[run], run.result()
                    found[mutant.number] = compiled
                    write_atomically(places[mutant.number], json.dumps(asdict(compiled)))
                    where = f"{mutant.path}:{mutant.line}: {mutant.operator}"
                    said.write(f"{where}: {compiled.outcome} {compiled.said}".rstrip() + "\n")
                    progress(len(found), len(mutants))
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        return found


def _name(mutant: Mutant) -> str:
    return digest(mutant.path, [vars(edit) for edit in mutant.edits])


@dataclass(frozen=True, eq=False)
class _Bench:
    """The sound kernel's source tree and build folder; neither is written to.

    ``users``: the objects that have a function, by file and name. ``sound``: what comes of an
    object without a mutant. Both are filled as they are asked for.
    """

    tree: PatchedTree
    source: Path
    out: Path
    users: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    sound: dict[str, _Object] = field(default_factory=dict)

    def judge(self, mutant: Mutant) -> Compiled:
        """Compiles a mutant, for each object that has its function until one is another."""
        names = self._objects(mutant.path, mutant.function)
        if not names:
            return Compiled("invalid", "no object of this kernel has it")
        text = mutated((self.source / mutant.path).read_bytes(), mutant)
        for name in names:
            sound = self._sound(name)
            if sound.data is None:
                raise InternalError("\n".join((f"{name} does not compile", *sound.errors)))
            with tempfile.TemporaryDirectory(prefix="harness-") as scratch:
                links = Path(scratch) / "tree"
                link_tree(self.source, links, mutant.path, text)
                made = self._compile(name, links, Path(scratch) / "out")
            if made.data is None:
                by_warning = all("[-Werror" in error for error in made.errors)
                said = made.errors[0] if made.errors else ""
                return Compiled("killed by the build" if by_warning else "invalid", said)
            if fresh := new_warnings(made.warnings, sound.warnings):
                return Compiled("killed by the build", str(fresh[0]))
            if made.data != sound.data:
                if lacking := self._lacking(made.data, sound.data):
                    return Compiled("invalid", f"the kernel has no {', '.join(lacking)}")
                return Compiled("alive", code=hashlib.sha256(made.data).hexdigest())
        return Compiled("equivalent")

    def _objects(self, path: str, function: str) -> tuple[str, ...]:
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

    def _sound(self, name: str) -> _Object:
        known = self.sound.get(name)
        if known is None:
            with tempfile.TemporaryDirectory(prefix="harness-") as scratch:
                known = self._compile(name, self.source, Path(scratch) / "out")
            self.sound[name] = known
        return known

    def _compile(self, name: str, source: Path, into: Path) -> _Object:
        """Compiles an object from ``source``, which stands in the place of the source tree."""
        into.mkdir()
        target = into / "made.o"
        command = compiler_command(self.out, name, target)
        if command is None:
            return _Object(None, (), (f"error: {name}: kbuild has kept no command",))
        command = [word.replace(str(self.source), str(source)) for word in command]
        reader = BuildLog(str(source), str(self.out))
        reader.feed(f"  CC      {name}")
        box = Inside(reads=(self.source, self.out, source), writes=(into,))
        where: proc.Surroundings = {"cwd": self.out, "env": environment(), "inside": box}
        done = proc.run([*command, NO_DEBUG], on_line=reader.feed, **where)
        if done.returncode != 0 and any("Killed signal" in error for error in reader.errors):
            what = f"the compiler was killed: not enough memory?\n{done.output[-2000:]}"
            raise MachineError(what, next_step="JOBS=1")
        warnings = tuple(reader.objects[name])
        if done.returncode != 0:
            make.check_said(command[0], reader.tail, self.out / "build.log")
            return _Object(None, warnings, tuple(reader.first_errors()))
        return _Object(taken(into, target.name).read_bytes(), warnings, ())

    @functools.cached_property
    def _known(self) -> frozenset[str]:
        """All symbols of the kernel; none before it was linked."""
        path = taken(self.out, "System.map")
        return frozenset(symbols_of(path.read_text("utf-8")) if path.is_file() else ())

    def _lacking(self, data: bytes, sound: bytes) -> list[str]:
        """What a mutant's object asks for and no kernel has: it was meant to vanish."""
        fresh = _undefined(data) - _undefined(sound)
        return sorted(fresh - self._known) if self._known else []


def _undefined(data: bytes) -> frozenset[str]:
    table = ELFFile(io.BytesIO(data)).get_section_by_name(".symtab")
    symbols = table.iter_symbols() if isinstance(table, SymbolTableSection) else ()
    return frozenset(s.name for s in symbols if s["st_shndx"] == "SHN_UNDEF" and s.name)


def link_tree(source: Path, links: Path, path: str, text: bytes) -> None:
    """Makes a folder that is ``source`` by links, but for one file, which has another text."""
    here, there = source, links
    for part in path.split("/"):
        there.mkdir()
        for entry in here.iterdir():
            if entry.name != part:
                (there / entry.name).symlink_to(entry)
        here, there = here / part, there / part
    there.write_bytes(text)
