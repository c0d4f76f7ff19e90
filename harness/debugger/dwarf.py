# SPDX-License-Identifier: GPL-2.0-only
"""What the debug information says of one source file's code: functions, inlining, lines.

A kernel has thousands of compilation units and a question concerns a few of them, so
units are found by an address or a file's name and read one at a time.
"""

from __future__ import annotations

import contextlib
import pickle
import posixpath
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import IO, Any, TypeVar

from elftools.common.exceptions import ELFError
from elftools.dwarf.ranges import BaseAddressEntry
from elftools.elf.elffile import ELFFile

from harness.core.atomic import write_atomically
from harness.core.errors import InternalError
from harness.core.store import room_digest
from harness.debugger.code import KnownCode, LineRow, Range, Scope, Unit

T = TypeVar("T")
_CODE = ("DW_TAG_subprogram", "DW_TAG_inlined_subroutine")


class DebugInfo(KnownCode):
    """The debug information of a vmlinux. InternalError: it has none, or is no ELF file.

    Args:
        source: the folder it was built from; names of files become relative to it.
        cache: a folder of this file's own for what was read: a unit takes seconds.
    """

    def __init__(self, vmlinux: Path, source: Path, cache: Path) -> None:
        self._handle: IO[bytes] = open(vmlinux, "rb")  # noqa: SIM115 (closed by close)
        self._prefix = f"{source}/"
        try:
            elf = ELFFile(self._handle)
            if not elf.has_dwarf_info():
                raise InternalError("it has no debug information", evidence=vmlinux)
            # Of an object, addresses are what its relocations make of them.
            relocate = elf["e_type"] == "ET_REL"
            self._dwarf: Any = elf.get_dwarf_info(relocate_dwarf_sections=relocate)
        except ELFError as error:
            raise InternalError(f"{vmlinux.name} is no ELF file: {error}") from error
        self._units: dict[int, Unit] = {}
        self._cache = cache
        cache.mkdir(parents=True, exist_ok=True)

    def close(self) -> None:
        """Gives the file back; what was read of it stays known."""
        self._handle.close()

    @cached_property
    def _aranges(self) -> Any:
        return self._dwarf.get_aranges()

    @cached_property
    def _by_name(self) -> dict[str, int]:
        """The offset of each unit by the name of its source file."""
        units = self._dwarf.iter_CUs()
        return self._cached("units", lambda: {self._cu_name(cu): cu.cu_offset for cu in units})

    def _cached(self, name: str, make: Callable[[], T]) -> T:
        """What ``make`` returns, from the cache where it is there."""
        path = self._cache / f"{room_digest(Path(__file__).parent)[:8]}-{name}.pickle"
        # Of a run that was killed, of another Python or another harness: made again.
        unreadable = (OSError, pickle.UnpicklingError, EOFError, AttributeError, ImportError)
        with contextlib.suppress(*unreadable):
            kept: T = pickle.loads(path.read_bytes())
            return kept
        made = make()
        write_atomically(path, pickle.dumps(made, pickle.HIGHEST_PROTOCOL))
        return made

    def _cu_name(self, cu: Any) -> str:
        top = cu.get_top_DIE()
        return self._relative(_string(top, "DW_AT_name"), _string(top, "DW_AT_comp_dir"))

    def _relative(self, name: str, folder: str) -> str:
        """The path as the tree has it."""
        path = posixpath.normpath(posixpath.join(folder, name))
        for prefix in (self._prefix, f"{folder}/"):  # the tree, or a generated file's folder
            if path.startswith(prefix):
                return path[len(prefix) :]
        return posixpath.normpath(name)

    def unit_at(self, address: int) -> Unit | None:
        """The unit that has code at an address; None where it is assembly, or nothing."""
        return self._unit(self._aranges and self._aranges.cu_offset_at_addr(address))

    def covers(self, address: int) -> bool:
        """Whether a unit has code at an address."""
        at = self._aranges and self._aranges.cu_offset_at_addr(address)
        return at is not None

    def file_at(self, address: int) -> str | None:
        """The source file of the unit with code at an address; of the unit nothing else is read."""
        offset = self._aranges and self._aranges.cu_offset_at_addr(address)
        return None if offset is None else self._cu_name(self._dwarf.get_CU_at(offset))

    def unit_of(self, path: str) -> Unit | None:
        """The unit of a source file; None where that has none."""
        return self._unit(self._by_name.get(path))

    def names(self) -> tuple[str, ...]:
        """The source files of all units."""
        return tuple(self._by_name)

    def rows(self) -> Iterator[LineRow]:
        """The line tables of all units; not kept, for functions are what takes long to read."""
        for cu in self._dwarf.iter_CUs():
            yield from self._lines(cu)[1]

    def words(self) -> frozenset[str]:
        """Every name in the debug information: also of functions that have no symbol."""
        section = self._dwarf.debug_str_sec
        if section is None:
            return frozenset()
        section.stream.seek(0)
        strings = section.stream.read().decode("utf-8", "replace").split("\0")
        return frozenset(word for word in strings if word.isidentifier())

    def _unit(self, offset: int | None) -> Unit | None:
        if offset is None:
            return None
        if offset not in self._units:
            name = f"unit-{offset:x}"
            made = self._cached(name, lambda: self._read(self._dwarf.get_CU_at(offset)))
            self._units[offset] = made
        return self._units[offset]

    def _read(self, cu: Any) -> Unit:
        files, rows = self._lines(cu)
        dies = [d for d in cu.get_top_DIE().iter_children() if d.tag == "DW_TAG_subprogram"]
        defined = {_name(die) for die in dies if "DW_AT_declaration" not in die.attributes}
        functions = tuple(self._scopes(dies, files))
        return Unit(self._cu_name(cu), functions, tuple(rows), frozenset(defined - {""}))

    def _scopes(self, dies: Iterable[Any], files: list[str]) -> Iterator[Scope]:
        """Functions and inlined calls, those in lexical blocks too, of which some code is left."""
        for die in dies:
            inside = self._scopes(die.iter_children(), files)
            if die.tag == "DW_TAG_lexical_block":
                yield from inside
            elif die.tag in _CODE and (ranges := self._ranges(die)):
                origin = _origin(die)
                yield Scope(
                    _name(die),
                    ranges,
                    _file(origin, "DW_AT_decl_file", files),
                    _value(origin, "DW_AT_decl_line", 0),
                    _file(die, "DW_AT_call_file", files),
                    _value(die, "DW_AT_call_line", 0),
                    tuple(inside),
                )

    def _ranges(self, die: Any) -> tuple[Range, ...]:
        low, high = die.attributes.get("DW_AT_low_pc"), die.attributes.get("DW_AT_high_pc")
        if low is not None and high is not None:
            end = high.value if high.form == "DW_FORM_addr" else low.value + high.value
            return ((low.value, end),)
        listed = _value(die, "DW_AT_ranges", None)
        if listed is None:
            return ()
        base = _value(die.cu.get_top_DIE(), "DW_AT_low_pc", 0)
        ranges = []
        for entry in self._dwarf.range_lists().get_range_list_at_offset(listed, die.cu):
            if isinstance(entry, BaseAddressEntry):
                base = entry.base_address
            elif entry.begin_offset != entry.end_offset:
                shift = 0 if getattr(entry, "is_absolute", False) else base
                ranges.append((entry.begin_offset + shift, entry.end_offset + shift))
        return tuple(ranges)

    def _lines(self, cu: Any) -> tuple[list[str], list[LineRow]]:
        """The names of the unit's files by their number, and its line table by address."""
        program = self._dwarf.line_program_for_CU(cu)
        if program is None:
            return [], []
        folder = _string(cu.get_top_DIE(), "DW_AT_comp_dir")
        folders = [_text(name) for name in program["include_directory"]]
        files = []
        if program["version"] < 5:  # folder 0 is implied, and files count from 1
            folders.insert(0, folder)
            files.append("")
        for entry in program["file_entry"]:
            path = posixpath.join(folder, folders[entry.dir_index], _text(entry.name))
            files.append(self._relative(path, folder))
        sequences: list[list[LineRow]] = [[]]
        for at in (entry.state for entry in program.get_entries() if entry.state is not None):
            row = LineRow(at.address, files[at.file], at.line, at.is_stmt, at.end_sequence)
            sequences[-1].append(row)
            if row.end:
                sequences.append([])
        ordered = sorted(filter(None, sequences), key=lambda rows: rows[0].address)
        return files, [row for rows in ordered for row in rows]


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


def _value(die: Any, name: str, default: T) -> T:
    attribute = die.attributes.get(name)
    return default if attribute is None else attribute.value


def _string(die: Any, name: str) -> str:
    return _text(_value(die, name, ""))


def _file(die: Any, name: str, files: list[str]) -> str:
    number = _value(die, name, len(files))
    return files[number] if number < len(files) else ""


def _origin(die: Any) -> Any:
    """The entry that describes the function itself: a copy of its code only refers to it."""
    for name in ("DW_AT_abstract_origin", "DW_AT_specification"):
        if name in die.attributes:
            return _origin(die.get_DIE_from_attribute(name))
    return die


def _name(die: Any) -> str:
    return _string(_origin(die), "DW_AT_name")
