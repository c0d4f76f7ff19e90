# SPDX-License-Identifier: GPL-2.0-only
"""A mutant: one small mistake in a line of the series, as edits of the patched tree's file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.core.store import digest

Form = Literal["expression", "statement"]
Outcome = Literal[
    "killed", "killed by the build", "survived", "not reached", "equivalent", "argued", "invalid",
    "lost",
]  # fmt: skip


@dataclass(frozen=True)
class Edit:
    """``instead`` stands in place of the bytes ``start`` to ``end`` of the patched file.

    ``form``: whether the two are expressions of one type or whole statements, which decides
    how a switch between them is written.
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
        return digest(
            self.path, self.function, self.operator, self.text, self.instead, self.which
        )


def mutated(source: bytes, mutant: Mutant) -> bytes:
    """A file as the mutant has it, with as many lines as before."""
    return edited(source, mutant.edits)


def edited(source: bytes, edits: Sequence[Edit]) -> bytes:
    """A text with edits made that do not overlap; what an edit takes keeps its line ends."""
    for edit in sorted(edits, key=lambda edit: edit.start, reverse=True):
        gone = source[edit.start : edit.end].count(b"\n") - edit.instead.count("\n")
        source = b"".join(
            (source[: edit.start], edit.instead.encode(), b"\n" * gone, source[edit.end :])
        )
    return source
