# SPDX-License-Identifier: GPL-2.0-only
"""A mutant: one small mistake in a line of the series, as edits of the patched tree's file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.core.store import digest

# How a switch between a text and what stands in its place is written: as a value, as a truth
# value (a pointer and a number may both stand for one), or as a statement.
Form = Literal["expression", "condition", "statement"]
Outcome = Literal[
    "killed", "killed by the build", "needs a schedule", "survived", "not reached", "equivalent",
    "argued", "invalid", "lost",
]  # fmt: skip


@dataclass(frozen=True)
class Edit:
    """``instead``, one line, stands in place of the bytes ``start`` to ``end`` of a file.

    A statement may be put in front of another: then ``start`` is ``end``.
    """

    start: int
    end: int
    instead: str
    form: Form


@dataclass(frozen=True)
class Mutant:
    """One mistake of one operator.

    Args:
        number: from 1, in order of path and place, within the sample.
        line: of the first edit, from 1.
        patch: whose line it is, from 0.
        text, instead: the lines as they are, and as the mutant has them; for people.
        which: of several with the same path, function, operator and lines, from 0.
    """

    number: int
    operator: str
    path: str
    line: int
    function: str
    patch: int
    edits: tuple[Edit, ...]
    text: str
    instead: str
    which: int = 0

    @property
    def key(self) -> str:
        """The same in each sample, and as long as function and lines are what they are."""
        place = self.path, self.function, self.text
        return digest(*place, self.operator, self.instead, self.which)


def mutated(source: bytes, mutant: Mutant) -> bytes:
    """A file as the mutant has it, with as many lines as before."""
    return edited(source, mutant.edits)


def edited(source: bytes, edits: Sequence[Edit], *, shift: int = 0, lines: bool = True) -> bytes:
    """A text with edits made that do not overlap.

    Args:
        shift: where in the file the text begins.
        lines: whether the line ends that an edit takes stay, behind it.
    """
    for edit in sorted(edits, key=lambda edit: edit.start, reverse=True):
        start, end = edit.start - shift, edit.end - shift
        kept = b"\n" * source.count(b"\n", start, end) if lines else b""
        source = source[:start] + edit.instead.encode() + kept + source[end:]
    return source
