# SPDX-License-Identifier: GPL-2.0-only
"""What a tree's Kconfig files say of a symbol, line by line: why a configuration lost it.

Nothing is evaluated: the blocks, what stands around them and the values are the reason.
kconfiglib, which reads the language in full, has had no release since 2019 and does not
know what newer kernels use.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

# What begins an entry. Help texts are indented, so words at the start of a line are code.
_ENTRY = re.compile(
    r'^(?:[ \t]*[ro]*source[ \t]+"(?P<file>[^"]+)"'
    r"|[ \t]*(?:menu)?config[ \t]+(?P<symbol>\w+)[ \t]*(?:#.*)?$"
    r"|(?P<opens>if|menu|choice)\b|(?P<closes>end(?:if|menu|choice))\b|(?P<other>comment)\b)",
    re.MULTILINE,
)
# What of a block decides whether its symbol can be set. What gives a type also gives a prompt.
_TELLING = re.compile(
    r"(?:if|choice|depends on|prompt|bool|tristate|string|hex|int|def_\w+|default|range)\b"
)
_HELP = re.compile(r"^[ \t]*(?:help|---help---)[ \t]*$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One definition of a symbol; each line with its place. ``around``: what encloses it."""

    symbol: str
    lines: tuple[str, ...]
    around: tuple[str, ...]


def read_kconfig(source: Path, arch: str, name: str = "Kconfig", outer: tuple[str, ...] = ()
) -> Iterator[Block]:  # fmt: skip
    """Every block of the tree at ``source`` from the file ``name`` down; 1 s for a kernel."""
    path = source / name
    if not path.is_file():
        return
    # A line that goes on is one, and its parts still count as lines.
    text = path.read_text("utf-8", "replace").replace("\\\n", " \f")
    enclosing: list[tuple[str, ...]] = []
    entries = list(_ENTRY.finditer(text))
    ends = [entry.start() for entry in entries[1:]] + [len(text)]
    for entry, end in zip(entries, ends, strict=True):
        at = entry.start()
        number = 1 + text.count("\n", 0, at) + text.count("\f", 0, at)
        around = (*outer, *(line for lines in enclosing for line in lines))
        if entry["file"]:
            inner = entry["file"].replace("$(SRCARCH)", arch).replace("$SRCARCH", arch)
            yield from read_kconfig(source, arch, inner, around)
        elif entry["closes"]:
            del enclosing[-1:]
        elif not entry["other"]:
            body = _HELP.split(text[at:end], maxsplit=1)[0].split("\n")
            starts = itertools.accumulate((1 + x.count("\f") for x in body), initial=number)
            placed = zip(starts, body, strict=False)
            lines = tuple(f"{name}:{n}: {' '.join(line.split())}" for n, line in placed)
            if entry["opens"]:
                enclosing.append(_telling(lines))
            else:
                yield Block(entry["symbol"], lines, around)


def _telling(lines: Iterable[str]) -> tuple[str, ...]:
    return tuple(line for line in lines if _TELLING.match(line.partition(": ")[2]))


def explain(symbol: str, blocks: Iterable[Block], config: Mapping[str, str]) -> list[str]:
    """The blocks of ``symbol`` (without CONFIG_), what selects it, and the values of both.

    Args:
        config: the values of the .config, symbols that are not set left out.
    """
    selects = re.compile(rf": (?:select|imply) {re.escape(symbol)}\b")
    told: list[str] = []
    for block in blocks:
        if block.symbol == symbol:
            told += [*block.around, *_telling(block.lines)]
        elif block.symbol in config:
            by = [line for line in block.lines if selects.search(line)]
            told += [f"{line}, and {block.symbol} is {config[block.symbol]}" for line in by]
    if not told:
        return ["this tree has no such symbol in any Kconfig file"]
    told = list(dict.fromkeys(told))
    code = re.sub(r'"[^"]*"|#.*', "", "\n".join(line.partition(": ")[2] for line in told))
    names = dict.fromkeys(re.findall(r"\b[A-Z][A-Z0-9_]+\b", code))
    values = ", ".join(f"{n} is {config.get(n, 'not set')}" for n in names if n != symbol)
    return [*told, *([f"in the result: {values}"] if values else [])]
