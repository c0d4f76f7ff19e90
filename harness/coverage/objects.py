# SPDX-License-Identifier: GPL-2.0-only
"""The objects of a kernel that have code of the changed files, once more with line tables.

A whole kernel with debug information takes twice as long to build; these are a few objects,
compiled by the very commands that made them and ``line_tables``. The
code is the same, and where an object's symbols are in the tested kernel says where its code is.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import struct
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePath

from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from harness.build import make
from harness.build.folder import marked
from harness.build.kconfig import KernelConfig
from harness.build.kernel import KernelBuild
from harness.build.make import BuildLog
from harness.build.toolchain import Toolchain, compiling, inside
from harness.build.tree import TreeUnderTest
from harness.core import proc
from harness.core.sandbox import Inside, taken
from harness.coverage.changed_lines import ChangedFile
from harness.debugger.code import Range
from harness.detectors.changed_functions import functions
from harness.series.apply import PatchedTree

# Nothing of types and variables. GCC: but of each statement that an optimization has left no
# instruction of its own, too: 112 lines of a file of which there are 77 without.
LINE_TABLES, STATEMENTS = ("-g1",), ("-gstatement-frontiers",)
# Every struct whole; it changes no layout. DWARF 4: one form for all compilers.
TYPES = ("-gdwarf-4",)
MAX_OBJECTS = 48  # that are looked at; an inline function of a header can be in all of them
MAX_ROUNDS = 3  # from an inline function to those of headers that call it
HEADERS = ("include/*.h", "arch/x86/include/*.h", "mm/*.h", "fs/*.h", "kernel/*.h", "net/*.h")
_COMMAND = re.compile(r"^(?:saved)?cmd_\S+\.o := (?P<command>.*)$", re.M)
_VALUE_AT = 8  # in a symbol of a 64-bit ELF file


@dataclass(frozen=True)
class PlacedObject:
    """An object whose debug information names the addresses of the tested kernel.

    ``code``: where its sections are there; empty: its code is not found, or is another.
    """

    name: str
    path: Path
    code: tuple[Range, ...]


def objects_of(
    tree: PatchedTree, files: Sequence[ChangedFile], compiled: Sequence[str]
) -> list[str]:
    """The names of the compiled objects, as kbuild has them, with code of the changed files.

    Those of changed C files come first, with files that include one as kernel/sched/ does, then
    those that use a changed function of a header.
    """
    sources = {f"{name[:-2]}.c": name for name in compiled}
    own = [sources[file.path] for file in files if file.path in sources]
    parts = {f'"{PurePath(file.path).name}"' for file in files if file.path.endswith(".c")}
    own += [sources[path] for path in tree.mentioning(parts, [*sources])]
    names = {
        n for file in files if file.path.endswith(".h") for f in file.functions for n in f.names
    }
    users = tree.mentioning(_with_inline_callers(tree, names), [*sources])
    return list(dict.fromkeys([*own, *(sources[path] for path in users)]))[:MAX_OBJECTS]


def _with_inline_callers(tree: PatchedTree, names: set[str]) -> set[str]:
    """The functions and those of headers that call them, however indirectly."""
    known, fresh = set(names), set(names)
    for _ in range(MAX_ROUNDS):
        callers = {
            name
            for path in tree.mentioning(fresh, HEADERS)
            for function in functions(tree.read(path))
            if fresh & set(re.findall(r"\w+", function.body))
            for name in function.names
        }
        fresh = callers - known
        known |= fresh
        if not fresh:
            break
    return known


def line_tables(toolchain: Toolchain) -> tuple[str, ...]:
    """The compiler's options for them; clang has no option for statements."""
    return LINE_TABLES if toolchain.llvm else (*LINE_TABLES, *STATEMENTS)


@contextlib.contextmanager
def compiled_folder(
    tree: TreeUnderTest, config: KernelConfig, names: Sequence[str], just_built: bool = False
) -> Iterator[tuple[Path, Path]]:
    """The source tree and the build folder of the tested kernel, ours until the block ends.

    Args:
        names: objects that are brought to the state of this series first, should the folder
            have moved on.
        just_built: it has not, but where another run was in it meanwhile.
    """
    with tree.folder(config.name, config.text) as (source, out):
        if not just_built or tree.tools.store.used_by_others(out):
            reader = BuildLog(str(source.path), str(out))
            with marked(out):
                for line in make.run_on(tree, source, out, *names):
                    reader.feed(line)
                make.write_records(out, make.read_records(out) | reader.objects)
        yield source.path, out


def compile_objects(
    tree: TreeUnderTest,
    kernel: KernelBuild,
    names: Sequence[str],
    into: Path,
    debug: Sequence[str],
) -> list[Path]:
    """Compiles the objects with debug information into a folder, in the order of their names.

    What cannot be compiled is left out.

    Args:
        debug: the compiler's options for that, such as ``line_tables``.
    """
    tools = tree.tools
    with compiled_folder(tree, kernel.config, names, not kernel.cached) as (source, out):
        box = inside(tools, source, out)
        box = Inside(reads=(*box.reads, out), writes=(*box.writes[1:], into))

        def compile_one(name: str) -> Path | None:
            place = into / name.replace("/", "-")
            command = compiler_command(out, name, place)
            if command is None:
                return None
            done = proc.run(
                [*command, *debug], cwd=out, env=compiling(tools), inside=box, log=tree.log
            )
            return taken(into, place.name) if done.returncode == 0 else None

        with ThreadPoolExecutor(tools.jobs) as pool:
            return [path for path in pool.map(compile_one, names) if path is not None]


def compiler_command(out: Path, name: str, target: Path) -> list[str] | None:
    """The command that kbuild keeps beside an object of a build folder, but for ``target``.

    None: it keeps none, as of an object that is not there.
    """
    folder, _, file = name.rpartition("/")
    kept = taken(out, f"{folder}/.{file}.cmd" if folder else f".{file}.cmd")
    if not kept.is_file():
        return None
    found = _COMMAND.search(kept.read_text("utf-8", "replace"))
    if found is None:
        return None
    # After the compiler, objtool may look at the object. As make has it: $$ is $, \# is #.
    first = re.split(r"\s;\s|\s&&\s|;\s", found["command"])[0]
    words = shlex.split(first.replace("$$", "$").replace("\\#", "#"))
    if "-c" not in words or "-o" not in words:
        return None
    words[words.index("-o") + 1] = str(target)
    # The file of what it depends on belongs to the object that is there.
    return [word for word in words if not word.startswith("-Wp,-M")]


def place(name: str, path: Path, symbols: Mapping[str, Sequence[int]]) -> PlacedObject:
    """Writes the addresses of a kernel into an object's symbols, by which debug information goes.

    A section is where all of its functions say that it is. Where two differ the code is not
    that of the kernel; that section, and one that nothing tells of, keeps the address 0.

    Args:
        symbols: the addresses of each name in the kernel's System.map.
    """
    data = bytearray(path.read_bytes())
    elf = ELFFile(io.BytesIO(bytes(data)))
    table = elf.get_section_by_name(".symtab")
    if not isinstance(table, SymbolTableSection):
        return PlacedObject(name, path, ())
    sections = dict(enumerate(elf.iter_sections()))
    inside: dict[int, list[tuple[str, int]]] = {}
    every = list(table.iter_symbols())
    for symbol in every:
        section = sections.get(symbol["st_shndx"])
        if section is not None and section["sh_flags"] & SH_FLAGS.SHF_EXECINSTR:
            inside.setdefault(symbol["st_shndx"], []).append((symbol.name, symbol["st_value"]))
    starts = {n: start for n, known in inside.items() if (start := _start(known, symbols))}
    for number, symbol in enumerate(every):
        if start := starts.get(symbol["st_shndx"]):
            at = table["sh_offset"] + number * table["sh_entsize"] + _VALUE_AT
            struct.pack_into("<Q", data, at, start + symbol["st_value"])
    path.write_bytes(data)
    code = ((start, start + int(sections[n]["sh_size"])) for n, start in starts.items())
    return PlacedObject(name, path, tuple(sorted(code)))


def _start(inside: Sequence[tuple[str, int]], symbols: Mapping[str, Sequence[int]]) -> int | None:
    """Where a section begins in the kernel by the places of its symbols; None: nobody knows."""
    found = [{at - value for at in symbols[name]} for name, value in inside if name in symbols]
    common = set.intersection(*found) if found else set()
    return common.pop() if len(common) == 1 else None
