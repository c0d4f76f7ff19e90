# SPDX-License-Identifier: GPL-2.0-only
"""The code of one source file, as its debug information has it: functions, inlining, lines."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import dataclass

Range = tuple[int, int]  # addresses, the end excluded


@dataclass(frozen=True)
class LineRow:
    """A row of the line table: from ``address`` on the code is of ``line``."""

    address: int
    file: str
    line: int  # 0: of no line
    statement: bool  # a recommended place for a breakpoint
    end: bool  # the address is the first one behind a sequence


@dataclass(frozen=True)
class Scope:
    """A function's code: of its own, or inlined into the scope that has it among ``inlined``.

    ``file`` and ``line``: of its definition. ``call_file``, ``call_line``: where it is called
    from, '' and 0 for a function of its own.
    """

    name: str
    ranges: tuple[Range, ...]
    file: str
    line: int
    call_file: str = ""
    call_line: int = 0
    inlined: tuple[Scope, ...] = ()

    @property
    def entry(self) -> int:
        """The first address of its code: the compiler lists the part that begins first."""
        return self.ranges[0][0]

    def covers(self, address: int) -> bool:
        """Whether its code, or what is inlined into it, is at ``address``."""
        return any(low <= address < high for low, high in self.ranges)

    def all(self) -> Iterator[Scope]:
        """Itself and everything that is inlined into it."""
        yield self
        for scope in self.inlined:
            yield from scope.all()


@dataclass(frozen=True)
class Unit:
    """One compilation unit: ``name`` of its source file, its functions and line table."""

    name: str
    functions: tuple[Scope, ...]
    rows: tuple[LineRow, ...]
    defined: frozenset[str] = frozenset()  # also those of which no code is left

    def chain(self, address: int) -> tuple[Scope, ...]:
        """The function at an address and what is inlined there, the outermost first."""
        return tuple(s for f in self.functions for s in f.all() if s.covers(address))

    def line_at(self, address: int) -> tuple[str, int]:
        """File and line of the code at an address; '' and 0 where nothing is known."""
        at = bisect.bisect_right(self.rows, address, key=lambda row: row.address) - 1
        if at < 0 or self.rows[at].end:
            return "", 0
        return self.rows[at].file, self.rows[at].line

    def scopes(self, name: str) -> tuple[Scope, ...]:
        """All code of a function by that name: of its own, and wherever it is inlined."""
        return tuple(s for f in self.functions for s in f.all() if s.name == name)


class KnownCode:
    """What is known of a whole kernel's code; of this one nothing."""

    def unit_at(self, address: int) -> Unit | None:
        """The unit that has code at an address; None where it is assembly, or nothing."""

    def covers(self, address: int) -> bool:
        """Whether it has code at an address: quicker than ``unit_at``."""
        return self.unit_at(address) is not None

    def file_at(self, address: int) -> str | None:
        """The source file of the unit with code at an address: quicker than ``unit_at``."""

    def unit_of(self, path: str) -> Unit | None:
        """The unit of a source file; None where that has none."""

    def names(self) -> tuple[str, ...]:
        """The source files of all units."""
        return ()

    def words(self) -> frozenset[str]:
        """Every name in it: also of functions that have no symbol."""
        return frozenset()

    def close(self) -> None:
        """Gives back what it was read from."""
