# SPDX-License-Identifier: GPL-2.0-only
"""All mutants of the lines that a series adds or changes, and a sample of them."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from harness.core import git
from harness.coverage.changed_lines import ChangedFile
from harness.coverage.objects import objects_of
from harness.mutants import expressions, statements
from harness.mutants.mutant import Edit, Mutant, edited
from harness.mutants.operators import Mistake, operator_table
from harness.mutants.syntax import Body, read_bodies
from harness.series.apply import PatchedTree

# In this order: of two that make the same edits the first is taken.
_FINDERS = (
    expressions.conditions,
    expressions.parts,
    statements.loops,
    expressions.comparisons,
    expressions.accesses,
    expressions.flags,
    expressions.results,
    expressions.range_ends,
    statements.locks,
    statements.dropped,
    statements.swapped_neighbours,
    statements.early_return,
)


def find_mutants(
    tree: PatchedTree,
    files: Sequence[ChangedFile],
    compiled: Sequence[str],
    note: Callable[[str], object] = lambda text: None,
) -> list[Mutant]:
    """Those of the changed lines in functions of files that are compiled, numbered from 1.

    Args:
        compiled: the kernel's objects, as kbuild names them.
        note: hears how many changed statements of a file could not be read.
    """
    found: list[Mutant] = []
    for file in files:
        own = f"{file.path.removesuffix('.c')}.o" in compiled
        if not file.functions or not (own or objects_of(tree, [file], compiled)):
            continue
        source = git.raw(tree.repo, "cat-file", "blob", f"{tree.commit}:{file.path}")
        unread: list[int] = []
        found += mutants_of(file, source, unread)
        lines = {line.number for line in file.lines} & set(unread)
        if lines:
            places = ", ".join(map(str, sorted(lines)))
            note(f"{file.path}: nothing is planted at line {places}: a macro in the way")
    return [replace(mutant, number=number) for number, mutant in enumerate(found, 1)]


def mutants_of(file: ChangedFile, source: bytes, unread: list[int]) -> list[Mutant]:
    """Those of one file, by place; ``unread`` gets the lines of what cannot be read."""
    patches = {line.number: line.patch for line in file.lines}
    known: set[tuple[tuple[int, int, str], ...]] = set()
    found = []
    for body in read_bodies(source, file.functions, unread):
        if re.search(rf"\b(?:{operator_table().untouched})\b", body.head):
            continue
        for mistake in _mistakes(body):
            line = min((n for span in mistake.lines for n in span if n in patches), default=None)
            what = tuple((edit.start, edit.end, edit.instead) for edit in mistake.edits)
            if line is None or what in known:
                continue
            known.add(what)
            found.append(_mutant(file.path, body, mistake, line, patches[line]))
    found.sort(key=lambda mutant: mutant.edits[0].start)
    return _told_apart(found)


def _mistakes(body: Body) -> Iterator[Mistake]:
    for node in body.walk():
        for finder in _FINDERS:
            yield from finder(body, node, operator_table())


def _mutant(path: str, body: Body, mistake: Mistake, line: int, patch: int) -> Mutant:
    edits = tuple(sorted(mistake.edits, key=lambda edit: edit.start))
    shown = [_shown(body, part) for part in _by_lines(body, edits)]
    if line < body.line(edits[0].start):  # the head of a loop, whose body is edited at its end
        head = body.source.splitlines()[line - 1].decode("utf-8", "replace")
        shown.insert(0, (head, head))
    text, instead = ("\n".join(parts) for parts in zip(*shown, strict=True))
    name = body.function.names[0]
    return Mutant(0, mistake.operator, path, line, name, patch, edits, text, instead)


def _by_lines(body: Body, edits: Sequence[Edit]) -> list[list[Edit]]:
    """Edits in groups that have lines in common."""
    groups: list[list[Edit]] = []
    last = 0
    for edit in edits:
        if groups and body.line(edit.start) <= last:
            groups[-1].append(edit)
        else:
            groups.append([edit])
        last = body.line(max(edit.start, edit.end - 1))
    return groups


def _shown(body: Body, edits: Sequence[Edit]) -> tuple[str, str]:
    """The lines of edits, as they are and with the edits made."""
    start = body.line_starts[body.line(edits[0].start) - 1]
    last = body.line(max(edits[-1].start, edits[-1].end - 1))
    end = body.line_starts[last] if last < len(body.line_starts) else len(body.source)
    text = body.source[start:end]
    instead = edited(text, edits, shift=start, lines=False)
    return text.decode("utf-8", "replace").rstrip(), instead.decode("utf-8", "replace").rstrip()


def _told_apart(mutants: Sequence[Mutant]) -> list[Mutant]:
    seen: Counter[str] = Counter()
    told = []
    for mutant in mutants:
        told.append(replace(mutant, which=seen[mutant.key]))
        seen[mutant.key] += 1
    return told


def sample(
    mutants: Sequence[Mutant], most: int | None, seed: int, *, each_patch: bool = False
) -> list[Mutant]:
    """``most`` of them at random, or all (None), in their order and numbered anew from 1.

    ``each_patch``: so many of the lines of each.
    """
    parts = [list(range(len(mutants)))]
    if each_patch:
        patches = sorted({mutant.patch for mutant in mutants})
        parts = [[at for at in parts[0] if mutants[at].patch == patch] for patch in patches]
    chosen: list[int] = []
    for part in parts:
        few = most is None or most >= len(part)
        chosen += part if few else random.Random(seed).sample(part, most or 0)
    taken = (mutants[at] for at in sorted(chosen))
    return [replace(mutant, number=number) for number, mutant in enumerate(taken, 1)]
