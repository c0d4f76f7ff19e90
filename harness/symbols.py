# SPDX-License-Identifier: GPL-2.0-only
"""Names for addresses of a kernel, with inlined functions and source lines, and the reverse."""

from __future__ import annotations

import bisect
import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from harness import git
from harness.dwarf import DebugInfo, Unit


@dataclass(frozen=True)
class Frame:
    """One function on a stack; ``inlined``: its code is part of the next one's."""

    function: str
    file: str
    line: int  # 0: not known
    inlined: bool = False

    def __str__(self) -> str:
        where = f"  {self.file}:{self.line}" if self.line else ""
        return f"{self.function}(){' [inlined]' if self.inlined else ''}{where}"


@dataclass(frozen=True)
class Source:
    """The source of the kernel under test: a commit, not a folder that may have moved on."""

    repo: Path
    commit: str

    def lines(self, path: str) -> tuple[str, ...]:
        """The lines of a file; empty where there is none."""
        cache: dict[str, tuple[str, ...]] = self._cache
        if path not in cache:
            text = git.file_text(self.repo, self.commit, path) or ""
            cache[path] = tuple(text.splitlines())
        return cache[path]

    @cached_property
    def _cache(self) -> dict[str, tuple[str, ...]]:
        return {}

    def line(self, path: str, number: int) -> str:
        """One line, from 1, without the white space around it; '' where there is none."""
        lines = self.lines(path) if path else ()
        return lines[number - 1].strip() if 0 < number <= len(lines) else ""

    def mentions(self, word: str, among: Iterable[str]) -> tuple[str, ...]:
        """Those of the given files that have a word in them."""
        paths = [path for path in among if path.endswith(".c") and not path.startswith("/")]
        if not paths:
            return ()
        command = ("grep", "-l", "-w", "-F", "-e", word, self.commit, "--")
        found = git.text(self.repo, *command, *paths, expect=(0, 1))
        return tuple(line.partition(":")[2] for line in found.splitlines())


class Symbols:
    """A kernel's symbols and its debug information.

    Args:
        symbol_map: the text of the System.map of the kernel that runs.
        debug: its twin with debug information.
    """

    def __init__(self, symbol_map: str, debug: DebugInfo, source: Source) -> None:
        self.debug = debug
        self.source = source
        self._addresses: dict[str, list[int]] = {}
        text: list[tuple[int, str]] = []
        for row in symbol_map.splitlines():
            address, kind, name = row.split(" ", 2)
            at = int(address, 16)
            self._addresses.setdefault(name, []).append(at)
            if kind in "tTwW":
                text.append((at, name))
        text.sort()
        self._text = text
        self._starts = [at for at, _ in text]
        self._frames: dict[int, tuple[Frame, ...]] = {}

    def address(self, name: str) -> int | None:
        """A symbol's address, per-CPU symbols included; None where there is none."""
        found = self._addresses.get(name)
        return found[0] if found else None

    def addresses(self, name: str) -> tuple[int, ...]:
        """All addresses of a symbol, static ones of several files among them."""
        return tuple(self._addresses.get(name, ()))

    def symbol_at(self, address: int) -> tuple[str, int]:
        """The symbol of the code at an address and the offset in it; '' and 0: none."""
        at = bisect.bisect_right(self._starts, address) - 1
        if at < 0 or address >= self._starts[-1] + (1 << 20):
            return "", 0
        start, name = self._text[at]
        # Of several names for one place the first of the map is the function's.
        while at > 0 and self._text[at - 1][0] == start:
            at -= 1
            name = self._text[at][1]
        return name, address - start

    def similar(self, name: str, most: int = 5) -> tuple[str, ...]:
        """Functions that look like a name that is not there, inlined ones among them."""
        known = {symbol for _, symbol in self._text} | self.debug.words()
        # Most misspellings keep the beginning and nearly the length; the rest is too much to sift.
        near = [w for w in known if w[:2] == name[:2] and abs(len(w) - len(name)) <= 4]
        return tuple(difflib.get_close_matches(name, sorted(near), most, 0.75))

    def units_with(self, function: str, near: Iterable[str] = ()) -> tuple[Unit, ...]:
        """The compilation units that have code of a function.

        A function with a symbol is looked for where that is; one that is always inlined in
        the units of the functions ``near`` it, or in the files that mention its name.
        """
        places = [*self.addresses(function)]
        places += [
            at for name, found in self._addresses.items() for at in found if _clone(name, function)
        ]
        found = [self.debug.unit_at(at) for at in places]
        for name in near:
            found += [self.debug.unit_at(at) for at in self.addresses(name)]
        units = _distinct(found)
        if not any(unit.scopes(function) for unit in units):
            mentioned = self.source.mentions(function, self.debug.names())
            units = (*units, *_distinct([self.debug.unit_of(path) for path in mentioned]))
        return tuple(unit for unit in units if function in unit.defined or unit.scopes(function))

    def frames(self, address: int, *, call: bool = False) -> tuple[Frame, ...]:
        """The functions at an address, the innermost first.

        Args:
            call: the address is one that a call returns to.
        """
        at = address - 1 if call else address
        if at not in self._frames:
            self._frames[at] = self._look_up(at)
        return self._frames[at]

    def _look_up(self, address: int) -> tuple[Frame, ...]:
        unit = self.debug.unit_at(address)
        chain = unit.chain(address) if unit is not None else ()
        if unit is None or not chain:
            name, offset = self.symbol_at(address)
            return (Frame(name or f"{address:#x}", "", 0),) if offset < 1 << 20 else ()
        frames = []
        file, line = unit.line_at(address)
        for scope in reversed(chain):
            frames.append(Frame(scope.name, file, line, bool(scope.call_line)))
            file, line = scope.call_file, scope.call_line
        return tuple(frames)


def _clone(symbol: str, function: str) -> bool:
    """Whether a symbol is a copy of a function that the compiler made for some callers."""
    return symbol.startswith(f"{function}.") and not symbol.endswith(".cold")


def _distinct(units: Iterable[Unit | None]) -> tuple[Unit, ...]:
    return tuple({unit.name: unit for unit in units if unit is not None}.values())
