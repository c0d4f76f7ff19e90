# SPDX-License-Identifier: GPL-2.0-only
"""What a series changes: each line that it brings, with the patch that did, and the functions.

A line counts once, as the patched tree has it: what a later patch of the series writes anew
belongs to that patch (git blame).
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from unidiff.patch import PatchSet

from harness.build.make import APART
from harness.core import git
from harness.detectors.changed_functions import Function, functions
from harness.series.apply import PatchedTree

SOURCES = ("*.c", "*.h")
_HEADER = re.compile(rb"^(?P<commit>[0-9a-f]{40,64}) (?P<first>\d+) (?P<number>\d+)(?: \d+)?$")
_COMMENT = ("/*", "*", "//")


@dataclass(frozen=True)
class AddedLine:
    """A line of the patched tree that patch ``patch``, from 0, brought, there with ``first``."""

    number: int
    patch: int
    first: int
    text: str


@dataclass(frozen=True)
class ChangedFile:
    """A C file or a header as the patched tree has it.

    ``functions``: those in which a line was added or code was taken away. ``cut``: the names
    of the latter.
    """

    path: str
    lines: tuple[AddedLine, ...]
    functions: tuple[Function, ...]
    cut: frozenset[str]


def changed_files(tree: PatchedTree) -> list[ChangedFile]:
    """The C files and headers of the kernel that the series leaves changed, by path."""
    patches = {commit: number for number, commit in enumerate(tree.commits())}
    found = []
    for file in PatchSet(io.StringIO(tree.diff("-U0", "--", *SOURCES))):
        if file.is_removed_file or file.path.startswith(APART):
            continue
        lines = tuple(_blame(tree, file.path, patches))
        numbers = {line.number for line in lines}
        removals = [
            hunk.target_start
            for hunk in file
            if not hunk.added and any(line.is_removed and is_code(line.value) for line in hunk)
        ]
        touched, cut = [], set()
        for function in functions(tree.read(file.path)):
            if any(function.first <= at < function.last for at in removals):
                cut.add(function.names[0])
            elif numbers.isdisjoint(range(function.first, function.last + 1)):
                continue
            touched.append(function)
        found.append(ChangedFile(file.path, lines, tuple(touched), frozenset(cut)))
    return sorted(found, key=lambda file: file.path)


def is_code(line: str) -> bool:
    """Whether a line of C has more than white space and a comment, as far as it shows."""
    text = line.strip()
    return bool(text) and not text.startswith(_COMMENT)


def _blame(tree: PatchedTree, path: str, patches: Mapping[str, int]) -> Iterator[AddedLine]:
    said = git.raw(tree.repo, "blame", "--porcelain", f"{tree.base}..{tree.commit}", "--", path)
    patch: int | None = None
    number = first = 0
    for line in said.split(b"\n"):
        if header := _HEADER.match(line):
            patch = patches.get(header["commit"].decode())
            number, first = int(header["number"]), int(header["first"])
        elif line.startswith(b"\t") and patch is not None:
            yield AddedLine(number, patch, first, line[1:].decode("utf-8", "replace"))
