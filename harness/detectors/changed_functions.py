# SPDX-License-Identifier: GPL-2.0-only
"""Which functions of the patched tree the series adds or changes, and which reports name one.

A checker that watches the whole kernel finds what was wrong with it before. What
counts against the series is a report with a frame in a function that it touches.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from harness.series.apply import PatchedTree
from harness.series.diff import changed_lines
from harness.vm.blamed_function import frame_of, plain_name
from harness.vm.splats import Splat, bare

# Checkers that report on all of the kernel; what others say always counts.
SELECTIVE = frozenset({"kcsan"})
FOREIGN = "no frame of either stack is in a function that the series adds or changes"

_HEAD = re.compile(r"[A-Za-z_].*\(")
_NAME = re.compile(r"\b(\w+)\s*\(")
_SYSCALL = re.compile(r"^(?:COMPAT_)?SYSCALL_DEFINE\d\((?P<name>\w+)")
_TEXT_SYMBOL = re.compile(r"^[0-9a-f]+ [tTwW] (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Function:
    """A function's definition: lines ``first`` to ``last``, from 1."""

    names: tuple[str, ...]
    first: int
    last: int
    body: str


def functions(text: str) -> list[Function]:
    """The functions that a C file in kernel style defines: braces stand in column 0."""
    lines = text.splitlines()
    found = []
    start: int | None = None
    for index, line in enumerate(lines):
        if line.rstrip() == "{":
            start = index
        elif line.startswith("}") and start is not None:
            head = start
            while head > 0 and not _HEAD.match(lines[head]):
                head -= 1
            names = _names(" ".join(lines[head:start]))
            if names:
                body = "\n".join(lines[start : index + 1])
                found.append(Function(names, head + 1, index + 1, body))
            start = None
    return found


def _names(head: str) -> tuple[str, ...]:
    if call := _SYSCALL.match(head):
        name = call["name"]
        return tuple(f"{p}{name}" for p in ("__do_sys_", "__se_sys_", "__x64_sys_", "__ia32_sys_"))
    return tuple(_NAME.findall(head)[:1])


def touched_functions(tree: PatchedTree, symbols: str) -> frozenset[str]:
    """The names under which a stack shows a function that the series adds or changes.

    A function without a symbol of its own was compiled into its callers; of the
    files that the series changes, they stand for it.

    Args:
        symbols: text of the kernel's System.map.
    """
    all_of_them: list[Function] = []
    touched: set[str] = set()
    for path, lines in changed_lines(tree.diff("-U0", "--", "*.c", "*.h")).items():
        for function in functions(tree.read(path)):
            all_of_them.append(function)
            if lines & set(range(function.first, function.last + 1)):
                touched.update(function.names)
    known = {plain_name(name) for name in _TEXT_SYMBOL.findall(symbols)}
    return frozenset(_with_callers(touched, all_of_them, known))


def _with_callers(touched: set[str], every: list[Function], known: set[str]) -> set[str]:
    names = set(touched)
    inlined = [name for name in touched if name not in known]
    while inlined:
        pattern = re.compile(rf"\b{inlined.pop()}\s*\(")
        for function in every:
            if pattern.search(function.body) and not names & set(function.names):
                names.update(function.names)
                inlined += [name for name in function.names if name not in known]
    return names


def frames(text: str) -> Iterable[str]:
    """The functions in a report's stacks."""
    for line in text.splitlines():
        if frame := frame_of(bare(line)[0]):
            yield frame[0]


def sorted_out(splat: Splat, touched: Callable[[], frozenset[str]]) -> Splat:
    """The splat, marked where it does not count against the series.

    Args:
        touched: the functions that the series touches; asked for only where it matters.
    """
    if splat.category not in SELECTIVE or touched().intersection(frames(splat.text)):
        return splat
    return replace(splat, foreign=FOREIGN)
