# SPDX-License-Identifier: GPL-2.0-only
"""Where threads may be held in a search: before each operation on what they share.

What is before one operation is behind the one before it, so one side is enough. The operations
are read from the syntax tree of the functions that a series changes, and of those that they call
directly; the debug information says where their code is.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from tree_sitter import Node

from harness.core.errors import InvocationError
from harness.coverage.changed_lines import changed_files
from harness.debugger.code import Scope, Unit
from harness.debugger.symbols import Symbols
from harness.detectors.changed_functions import Function, functions
from harness.mutants.operators import operator_table
from harness.mutants.syntax import Body, read_bodies
from harness.races.breakpoints import Breakpoint, beginnings, lines_with_code
from harness.races.scenario import Place, Point, parse_place
from harness.series.apply import PatchedTree

Origin = Literal["asked", "changed", "called"]
# Operations that mutants/operators.yaml has no word for, by patterns of the whole name.
_READS = {
    "page table": r"ptep_\w+|set_p(te|md|ud)\w*|p(te|md|ud)_(offset|unmap|lock)\w*|pmdp_\w+"
    r"|pmd_(none|trans)\w*|page_vma_mapped_walk\w*|walk_page_range\w*|mk_pte\w*",
    "flag": r"folio_(test|set|clear|mark)_\w+|(TestSet|TestClear|Set|Clear)?Page[A-Z]\w+"
    r"|(test|set|clear)_(and_\w+_)?bit\w*",
    "reference": r"(folio|page)_(ref_count|mapcount|count|ref_freeze|maybe_dma_pinned)",
    "atomic": r"atomic(64|_long)?_\w+|(try_)?(cmp)?xchg\w*",
}
_ENTRY = re.compile(r"(?:[\w.]|->)*\b(?:pte|pmd|pud|ptep|pmdp)")  # what points to one
_FLAGS = ("vm_flags",)


@dataclass(frozen=True)
class SearchedFunction:
    """A function whose operations are candidates; ``body``: where it is in the file ``path``."""

    name: str
    path: str
    body: Function
    origin: Origin


@dataclass(frozen=True)
class SearchPoint:
    """Before an operation: ``place`` as a scenario names it, ``kind`` of the operation.

    ``within``: its function, where the place is the entry of what it calls.
    """

    place: Place
    at: Breakpoint
    kind: str
    origin: Origin
    within: tuple[str, ...] = ()

    def point(self, thread: str) -> Point:
        """The point of a scenario at which ``thread`` is held."""
        return Point(thread, self.place, f"before: {self.kind}", self.within)


class SearchedCode:
    """The functions of a patched tree that a search is about, in one kernel.

    Args:
        tree: with a variant, if there is one, as its last patch.
        compiled: the kernel's objects.
        function, patch: what was asked for; None: all that is changed. Patches count from 0.

    An InvocationError: the function asked for has no code in this kernel.
    """

    def __init__(
        self,
        tree: PatchedTree,
        compiled: Collection[str],
        symbols: Symbols,
        function: str | None = None,
        patch: int | None = None,
    ) -> None:
        self._symbols = symbols
        self._files: dict[str, dict[str, Function]] = {}
        self._bodies: dict[SearchedFunction, Body | None] = {}
        self.functions: dict[str, SearchedFunction] = {}
        for file in changed_files(tree):
            if not file.path.endswith(".c") or f"{file.path[:-2]}.o" not in compiled:
                continue
            asked = {line.number for line in file.lines if patch in (None, line.patch)}
            for body in file.functions:
                ours = not asked.isdisjoint(range(body.first, body.last + 1)) or not file.lines
                of_patch = function is None and (patch is None or ours)
                origin: Origin = "asked" if of_patch or body.names[0] == function else "changed"
                self._add(body.names[0], file.path, origin)
        if function is not None and self.functions.get(function) is None:
            self._ask(function)
        for caller in list(self.functions.values()):
            for name in self._called(caller):
                self._add_called(name, caller)

    def _add(self, name: str, path: str, origin: Origin) -> None:
        body = self._functions_of(path).get(name)
        if body is not None and name not in self.functions:
            self.functions[name] = SearchedFunction(name, path, body, origin)

    def _functions_of(self, path: str) -> dict[str, Function]:
        if path not in self._files:
            text = "\n".join(self._symbols.source.lines(path))
            self._files[path] = {name: f for f in functions(text) for name in f.names}
        return self._files[path]

    def _ask(self, function: str) -> None:
        for unit in self._symbols.units_with(function):
            for scope in unit.scopes(function):
                self._add(function, scope.file, "asked")
        if function not in self.functions:
            similar = ", ".join(f"{name}()" for name in self._symbols.similar(function))
            raise InvocationError(
                f"FUNCTION={function}: this kernel has no code of such a function",
                next_step=f"there is: {similar}" if similar else "was it renamed? see the tree",
            )

    def _add_called(self, name: str, caller: SearchedFunction) -> None:
        """A function that is called, where it has code of its own or is in the caller's file."""
        if name in self.functions or _operation(name) is not None:
            return
        if name in self._functions_of(caller.path):
            self._add(name, caller.path, "called")
            return
        addresses = self._symbols.addresses(name)
        file = self._symbols.debug.file_at(addresses[0]) if len(addresses) == 1 else None
        if file is not None and file.endswith(".c"):
            self._add(name, file, "called")

    # ---- code --------------------------------------------------------------------------

    def _code(self, of: SearchedFunction) -> list[tuple[Unit, Scope]]:
        # Of a function that was not compiled, no other file that mentions it is read: a unit takes
        # a second, and a hundred were read for a series. A header, or a file that another one
        # includes, has no unit.
        own = self._symbols.debug.unit_of(of.path)
        units = (own,) if own is not None else self._symbols.units_with(of.name)
        return [(unit, scope) for unit in units for scope in unit.scopes(of.name)]

    @cached_property
    def entries(self) -> dict[str, Breakpoint]:
        """Where each function begins, by its name; not those of which no code is left."""
        found = {}
        for of in self.functions.values():
            own = self._symbols.addresses(of.name)
            if of.origin == "called" and len(own) == 1:  # enough, and no unit is read for it
                found[of.name] = Breakpoint(own, of.path, of.body.first)
                continue
            if starts := beginnings(self._code(of)):
                found[of.name] = Breakpoint(starts, of.path, of.body.first)
        return found

    def points(self, reached: Collection[str]) -> list[SearchPoint]:
        """The candidates in these functions, by file and line."""
        found: list[SearchPoint] = []
        for of in sorted(self.functions.values(), key=lambda f: (f.path, f.body.first)):
            if of.name in reached:
                if of.origin != "called":
                    place = parse_place(f"{of.name}()")
                    found.append(SearchPoint(place, self.entries[of.name], "call", of.origin))
                found += self._points_in(of)
        return found

    def _points_in(self, of: SearchedFunction) -> Iterator[SearchPoint]:
        body = self._body(of)
        if body is None:
            return
        kinds, named = operations(body), set()
        for text, at in lines_with_code(self._code(of), self._symbols).items():
            if at.line in kinds:
                place = parse_place(f"{of.name}: {text}")
                yield SearchPoint(place, at, kinds[at.line], of.origin)
                named.add(at.line)
        for name in self._flushes(body, named):
            at = Breakpoint(self._symbols.addresses(name), of.path, of.body.first)
            yield SearchPoint(parse_place(f"{name}()"), at, "flush", of.origin, (of.name,))

    def _flushes(self, body: Body, named: Collection[int]) -> list[str]:
        """What flushes in a line that cannot be named, by the function that is called there.

        A thread that flushes waits for the CPU that is held, and must be held before that.
        """
        found = {}
        for node in body.walk():
            name, line = body.called(node), body.line(node.start_byte)
            if name and line not in named and _operation(name) == "flush":
                found[name] = len(self._symbols.addresses(name)) == 1
        return [name for name, has_code in found.items() if has_code]

    def _body(self, of: SearchedFunction) -> Body | None:
        if of not in self._bodies:
            text = "\n".join((*self._symbols.source.lines(of.path), "")).encode()
            self._bodies[of] = next(read_bodies(text, [of.body], []), None)
        return self._bodies[of]

    def _called(self, of: SearchedFunction) -> list[str]:
        body = self._body(of)
        names = map(body.called, body.walk()) if body is not None else ()
        return list(dict.fromkeys(filter(None, names)))


def operations(body: Body) -> dict[int, str]:
    """The lines of a function with an operation on what threads share: which kind it is."""
    kinds: dict[int, str] = {}
    for node in body.walk():
        if (kind := _kind(body, node)) is not None:
            kinds.setdefault(body.line(node.start_byte), kind)
    return kinds


def _operation(name: str) -> str | None:
    """What a call of a name does to what threads share; None: nothing that is known."""
    table = operator_table()
    if table.is_lock(name):
        return "lock"
    if name in table.once:
        return "access"
    read = (kind for kind, pattern in _READS.items() if re.fullmatch(pattern, name))
    return table.kind(name) or next(read, None)


def _kind(body: Body, node: Node) -> str | None:
    """The operation that a node is; None: it is none."""
    if name := body.called(node):
        # What a member points to cannot be followed, and is held before.
        function = node.child_by_field_name("function")
        by_pointer = function is not None and function.type == "field_expression"
        return _operation(name) or ("call by pointer" if by_pointer else None)
    if node.type == "pointer_expression":
        return "page table" if _ENTRY.fullmatch(body.text(node).lstrip("*")) else None
    if node.type == "field_expression":
        field = node.child_by_field_name("field")
        return "flag" if field is not None and body.text(field) in _FLAGS else None
    return None
