# SPDX-License-Identifier: GPL-2.0-only
"""Mutants of small C texts, all of whose lines are new."""

from __future__ import annotations

import re
from collections.abc import Collection

from harness.coverage.changed_lines import AddedLine, ChangedFile
from harness.detectors.changed_functions import functions
from harness.mutants.find import mutants_of, sample
from harness.mutants.mutant import Mutant


def mutants_in(
    text: str,
    *,
    old: Collection[int] = (),
    unread: list[int] | None = None,
) -> list[Mutant]:
    """The mutants of a C text, numbered from 1; ``old``: its lines that are not new."""
    rows = text.splitlines()
    lines = tuple(AddedLine(n, 0, n, row) for n, row in enumerate(rows, 1) if n not in old)
    file = ChangedFile("mm/a.c", lines, tuple(functions(text)), frozenset())
    found = mutants_of(file, text.encode(), [] if unread is None else unread)
    return sample(found, None, 1)


def function(statements: str, head: str = "static int work(struct x *x)") -> str:
    """A function around statements, as the kernel writes one."""
    return f"/* A file */\n{head}\n{{\n{statements}\n}}\n"


def squeezed(text: str) -> str:
    """A text without white space."""
    return re.sub(r"\s+", "", text)
