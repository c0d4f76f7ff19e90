# SPDX-License-Identifier: GPL-2.0-only
"""Names for addresses of a kernel, with inlined functions and source lines, and the reverse."""

from __future__ import annotations

import bisect
import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from harness.core import git
from harness.debugger.code import KnownCode, Unit

MAX_SYMBOL_BYTES = 1 << 20  # farther behind a symbol it is the code of nobody
MAX_SIMILAR = 5  # names
MIN_SIMILARITY = 0.75  # of difflib, 0 to 1


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
class KernelSource:
    """The source of the kernel under test: a commit, not a folder that may have moved on."""

    repo: Path
    commit: str
    _files: dict[str, tuple[str, ...]] = field(default_factory=dict, repr=False, compare=False)

    def lines(self, path: str) -> tuple[str, ...]:
        """The lines of a file; empty where there is none."""
        if path not in self._files:
            text = git.file_text(self.repo, self.commit, path) or ""
            self._files[path] = tuple(text.splitlines())
        return self._files[path]

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

    def __init__(self, symbol_map: str, debug: KnownCode, source: KernelSource) -> None:
        self.debug = debug
        self.source = source
        self._addresses: dict[str, list[int]] = {}
        self._text: list[tuple[int, str]] = []
        for row in symbol_map.splitlines():
            address, kind, name = row.split(" ", 2)
            self._addresses.setdefault(name, []).append(int(address, 16))
            if kind in "tTwW":
                self._text.append((int(address, 16), name))
        self._text.sort()
        self._starts = [at for at, _ in self._text]
        self._frames: dict[int, tuple[Frame, ...]] = {}

    def addresses(self, name: str) -> tuple[int, ...]:
        """All addresses of a symbol: per-CPU ones too, static ones of several files."""
        return tuple(self._addresses.get(name, ()))

    def functions(self) -> tuple[int, ...]:
        """The addresses of all symbols of the code, in order."""
        return tuple(dict.fromkeys(self._starts))

    def symbol_at(self, address: int) -> tuple[str, int]:
        """The symbol of the code at an address and the offset in it; '' and 0: none."""
        at = bisect.bisect_right(self._starts, address) - 1
        if at < 0 or address >= self._starts[-1] + MAX_SYMBOL_BYTES:
            return "", 0
        # Of several names for one place always the same.
        start, name = self._text[bisect.bisect_left(self._starts, self._starts[at])]
        return name, address - start

    def size(self, address: int) -> int:
        """Bytes from a symbol of the code to the next one, as the kernel's own stacks have it."""
        after = bisect.bisect_right(self._starts, address)
        return self._starts[after] - address if after < len(self._starts) else 0

    def similar(self, name: str) -> tuple[str, ...]:
        """Functions that look like a name that is not there, inlined ones among them."""
        known = {symbol for _, symbol in self._text} | self.debug.words()
        # Most misspellings keep the beginning and nearly the length; the rest is too much to sift.
        near = [w for w in known if w[:2] == name[:2] and abs(len(w) - len(name)) <= 4]
        return tuple(difflib.get_close_matches(name, sorted(near), MAX_SIMILAR, MIN_SIMILARITY))

    def units_with(self, function: str, near: Iterable[str] = ()) -> tuple[Unit, ...]:
        """The compilation units that have code of a function.

        A function with a symbol is looked for where that is; one that is always inlined in
        the units of the functions ``near`` it, or in the files that mention its name.
        """
        # A copy of a function that the compiler made for some callers is named function.what.
        copies = [name for name in self._addresses if name.startswith(f"{function}.")]
        names = (function, *(n for n in copies if not n.endswith(".cold")), *near)
        units = [self.debug.unit_at(at) for name in names for at in self.addresses(name)]
        if not any(unit is not None and unit.scopes(function) for unit in units):
            mentioned = self.source.mentions(function, self.debug.names())
            units += [self.debug.unit_of(path) for path in mentioned]
        distinct = {unit.name: unit for unit in units if unit is not None}
        return tuple(u for u in distinct.values() if function in u.defined or u.scopes(function))

    def frames(self, address: int) -> tuple[Frame, ...]:
        """The functions whose code is at an address, the innermost first."""
        if address not in self._frames:
            unit = self.debug.unit_at(address)
            frames = []
            if unit is not None:
                file, line = unit.line_at(address)
                for scope in reversed(unit.chain(address)):
                    frames.append(Frame(scope.name, file, line, bool(scope.call_line)))
                    file, line = scope.call_file, scope.call_line
            if not frames:
                frames.append(Frame(self.symbol_at(address)[0] or f"{address:#x}", "", 0))
            self._frames[address] = tuple(frames)
        return self._frames[address]
