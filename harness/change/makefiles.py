# SPDX-License-Identifier: GPL-2.0-only
"""Which configuration symbols a tree's Makefiles ask for before they build a file.

A file's object stands in a list such as ``obj-$(CONFIG_FOO)``, or in that of a module's parts
(``foo-y``, ``foo-objs``) or of a variable of the Makefile's own, and so does its folder in the
Makefile above. kbuild has no command that tells this of a file that is not built, and a
Makefile that is run says only what it builds as things stand; so the lists are read.
Source: Documentation/kbuild/makefiles.rst of the kernel.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

_ASSIGNMENT = re.compile(
    r"^\s*(?:export\s+)?(?P<name>[\w.$()/+-]+)\s*(?:[:+?]|::)?=\s*(?P<words>.*)$"
)
_IF = re.compile(r"^\s*(?P<word>ifdef|ifndef|ifeq|ifneq|else|endif)\b\s*(?P<rest>.*)$")
_SYMBOL = re.compile(r"\$\(CONFIG_(\w+)\)|\$\{CONFIG_(\w+)\}|\bCONFIG_(\w+)\b")
_SUFFIX = re.compile(r"^(?P<stem>.+?)-(?P<tail>y|m|objs|\$[({]CONFIG_\w+[)}])$")
# Lists that kbuild itself reads; every other is a part of what stands in one of them.
_KBUILDS = {"obj", "lib", "core", "drivers", "net", "libs", "virt", "head", "always", "extra"}
MAX_DEPTH = 12  # of lists in lists: a real one has three or four


@dataclass(frozen=True)
class MakefileList:
    """One assignment: ``name`` and its ``words``; ``symbols`` must be set for it to be read."""

    name: str
    words: tuple[str, ...]
    symbols: tuple[str, ...]

    @property
    def stem(self) -> str:
        """The name without its suffix: obj of obj-y."""
        suffix = _SUFFIX.match(self.name)
        return suffix["stem"] if suffix else self.name

    @property
    def needs(self) -> tuple[str, ...]:
        """The symbols that must be set for its words to count."""
        return (*self.symbols, *_symbols(self.name))


def _symbols(text: str) -> tuple[str, ...]:
    return tuple(next(filter(None, found)) for found in _SYMBOL.findall(text))


def read_lists(text: str) -> Iterator[MakefileList]:
    """The assignments of a Makefile, with the symbols of the conditions around each."""
    open_ones: list[tuple[str, ...]] = []  # of each condition that is open: what must be set
    for raw in text.replace("\\\n", " ").splitlines():
        line = raw.split("#", 1)[0]
        if match := _IF.match(line):
            word, symbols = match["word"], _symbols(match["rest"])
            if word == "endif":
                del open_ones[-1:]
            elif word == "else":
                # 'else ifdef X' goes on with another condition; the first must not hold then.
                positive = bool(re.match(r"ifdef|ifeq|ifneq", match["rest"].strip()))
                open_ones[-1:] = [symbols if positive else ()]
            else:
                empty = re.search(r",\s*\)?\s*$", match["rest"]) is not None
                holds = word == "ifdef" or ((word == "ifneq") == empty and word != "ifndef")
                open_ones.append(symbols if holds else ())
        elif match := _ASSIGNMENT.match(line):
            symbols = tuple(name for names in open_ones for name in names)
            yield MakefileList(match["name"], tuple(match["words"].split()), symbols)


def needed_symbols(read: Callable[[str], str], path: str) -> tuple[str, ...] | None:
    """The symbols, without CONFIG_, that must be set for a C or assembler file to be compiled.

    None where no Makefile names it: it is included by another, built for another architecture,
    or by a rule of its own.

    Args:
        read: the text of a file of the tree, '' where there is none.
    """
    found: tuple[str, ...] | None = None
    at = PurePosixPath(path).with_suffix(".o")
    while at.parts:
        # The Makefile beside it, or one further above that names it with its folder.
        for above in at.parents:
            name = str(at.relative_to(above)) + ("" if found is None else "/")
            needs = _for_word(read, above, name, found or ())
            if needs is not None:
                found = tuple(dict.fromkeys((*(found or ()), *needs)))
                at = above
                break
        else:
            if found is None:
                return None
            at = at.parent  # what enters this folder is written otherwise
    return found


def _for_word(
    read: Callable[[str], str], folder: PurePosixPath, word: str, have: tuple[str, ...]
) -> tuple[str, ...] | None:
    # kbuild reads Kbuild where there is one, else Makefile.
    texts = (read(str(folder / name)) for name in ("Kbuild", "Makefile"))
    text = next(filter(None, texts), "").replace("$(BITS)", "64")
    return _needs_of(list(read_lists(text)), {word}, have, MAX_DEPTH)


def _needs_of(
    lists: list[MakefileList], words: set[str], have: tuple[str, ...], depth: int
) -> tuple[str, ...] | None:
    """The symbols of the way from one of ``words`` to a list that kbuild reads.

    Of several ways that which asks for the fewest besides those that are needed anyway.
    """
    ways = []
    for one in lists if depth else ():
        if not words.intersection(one.words):
            continue
        if one.stem in _KBUILDS:
            ways.append(one.needs)
            continue
        names = (one.stem, f"{one.stem}-y", f"{one.stem}-m", f"{one.stem}-objs")
        outer = {f"{one.stem}.o", *(f"$({name})" for name in names)} - words
        if (above := _needs_of(lists, outer, have, depth - 1)) is not None:
            ways.append((*one.needs, *above))
    return min(ways, key=lambda way: len(set(way) - set(have)), default=None)
