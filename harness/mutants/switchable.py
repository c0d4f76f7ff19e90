# SPDX-License-Identifier: GPL-2.0-only
"""Whether mutants that compile alone do so together, each behind its switch.

A switch is another expression than either of its sides: where a macro wants a constant, a file
with all of them would not compile, and nobody's series be at fault.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from harness.build.make import new_warnings
from harness.mutants.bench import Bench
from harness.mutants.mutant import Mutant
from harness.mutants.switched_tree import HEADER, switch_sources, switched


def refuse(bench: Bench, mutants: Sequence[Mutant]) -> dict[int, str]:
    """Those that cannot be switched, by number, each with what the compiler says of it."""
    by_path: dict[str, list[Mutant]] = defaultdict(list)
    for mutant in mutants:
        by_path[mutant.path].append(mutant)
    refused: dict[int, str] = {}
    for path, left in by_path.items():
        source = (bench.source / path).read_bytes()
        while left and (complaint := _complaint(bench, path, source, left)):
            said, lines = complaint
            spoiling = [m for m in left if not lines.isdisjoint(_lines(m, source))] or left
            refused |= {mutant.number: said for mutant in spoiling}
            left = [mutant for mutant in left if mutant not in spoiling]
    return refused


def _complaint(
    bench: Bench, path: str, source: bytes, mutants: Sequence[Mutant]
) -> tuple[str, frozenset[int]] | None:
    """What is said of a file with mutants behind switches, and the lines named; None: nothing."""
    most = max(mutant.number for mutant in mutants)
    texts = {path: switched(source, mutants), HEADER: switch_sources(most)[HEADER].encode()}
    # A header's functions are compiled wherever they are used; one such place will do.
    names = dict.fromkeys(bench.objects(path, mutant.function)[0] for mutant in mutants)
    for name in names:
        made, sound = bench.made_of(name, texts), bench.sound_object(name)
        said = list(map(str, new_warnings(made.warnings, sound.warnings)))
        if made.data is None:
            said = [*made.errors, f"{name} does not compile"]
        if said:
            return said[0], frozenset(line for file, line in made.places if file == path)
    return None


def _lines(mutant: Mutant, source: bytes) -> Iterator[int]:
    """The lines of a mutant's edits."""
    for edit in mutant.edits:
        first = source.count(b"\n", 0, edit.start) + 1
        yield from range(first, first + source.count(b"\n", edit.start, edit.end) + 1)
