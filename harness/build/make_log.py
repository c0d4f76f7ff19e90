# SPDX-License-Identifier: GPL-2.0-only
"""Reads the output of the kernel's make: objects, their warnings, and what went wrong.

Pure: lines in, records out. make groups the lines of a target
(``--output-sync=target``), so a warning belongs to the object named before it.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeVar

_STEP = re.compile(r"^  ([A-Z][A-Z0-9_]*(?: \[M\])?) +(\S+)")
_WARNING = re.compile(r"^(?P<file>[^\s:]+):(?:(?P<line>\d+):)?(?:\d+:)? warning: (?P<text>.*)$")
_ERROR = re.compile(r"^(?P<file>[^\s:]+):(?P<line>\d+):(?:\d+:)? (?:fatal )?error: (?P<text>.*)$")
_OTHER_ERRORS = re.compile(
    r"undefined reference to|multiple definition of|^ld: |: \*\*\* |^ERROR: |^Error: |"
    r"No rule to make target|internal compiler error|Killed signal|[Ss]yntax error"
)
MAKE_STOPS = re.compile(r"^make(\[\d+\])?: \*\*\* ")


class Warned(NamedTuple):
    """A warning. ``file`` is relative to the source tree; ``line`` 0 where there is none."""

    file: str
    line: int
    text: str

    def same(self) -> tuple[str, str]:
        """What stays when lines above it come and go."""
        return self.file, re.sub(r"\b\d+\b", "N", re.sub(r"0x[0-9a-f]+", "N", self.text))

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: warning: {self.text}"


class Comparable(Protocol):
    """A warning or a remark, of this tree or of its base."""

    def same(self) -> tuple[str, str]:
        """What stays when lines above it come and go."""
        ...


W = TypeVar("W", bound=Comparable)


@dataclass
class BuildLog:
    """What one run of make did, line by line.

    ``source`` and ``out`` are the absolute folders, cut off the paths it names.
    """

    source: str
    out: str
    objects: dict[str, list[Warned]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=40))
    _current: str = ""

    def relative(self, path: str) -> str:
        """A path as the tree names it."""
        for folder in (self.source, self.out):
            path = path.removeprefix(f"{folder}/")
        return path.removeprefix("./")

    def feed(self, line: str) -> str | None:
        """Takes one line; the object whose compilation it announces, if it does."""
        self.tail.append(line)
        if step := _STEP.match(line):
            return self._step(step[1], step[2])
        if warning := _WARNING.match(line):
            warned = Warned(
                self.relative(warning["file"]), int(warning["line"] or 0), warning["text"]
            )
            owner = warned.file if warned.text.startswith("objtool:") else self._current
            if owner:
                self.objects.setdefault(owner, []).append(warned)
        elif error := _ERROR.match(line):
            place = f"{self.relative(error['file'])}:{error['line']}"
            self.errors.append(f"{place}: error: {error['text']}")
        elif _OTHER_ERRORS.search(line):
            self.errors.append(self.relative(line))
        return None

    def _step(self, step: str, target: str) -> str | None:
        self._current = ""
        compiled = step.split()[0] in ("CC", "AS") and target.endswith(".o")
        if not compiled or target.startswith(("/", "tools/", ".tmp_")):  # host's, symbol tables
            return None
        self._current = target
        self.objects[target] = []
        return target

    def first_errors(self, most: int = 6) -> list[str]:
        """The errors that matter, first ones first: make's own lines only where alone."""
        real = [line for line in self.errors if not MAKE_STOPS.match(line)]
        return list(dict.fromkeys(real or self.errors or list(self.tail)[-most:]))[:most]


def from_json(data: dict[str, list[list[Any]]]) -> dict[str, list[Warned]]:
    """Warnings by the name of what warns, as ``json`` gives them back."""
    return {name: [Warned(*one) for one in warned] for name, warned in data.items()}


def new_warnings(here: Iterable[W], base: Iterable[W]) -> list[W]:
    """The warnings that the base does not have, counting equal ones."""
    known = Counter(warned.same() for warned in base)
    fresh = []
    for warned in here:
        known[warned.same()] -= 1
        if known[warned.same()] < 0:
            fresh.append(warned)
    return fresh
