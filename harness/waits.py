# SPDX-License-Identifier: GPL-2.0-only
"""What a task waits for, told from its stack."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

TABLE = Path(__file__).resolve().parent / "waits.yaml"

Kind = Literal["ipi", "stop", "rcu", "work", "lock", "io", "memory", "program"]
# Waits that end by themselves, without anybody who may be held.
PASSING: frozenset[Kind] = frozenset({"io", "memory"})


@dataclass(frozen=True)
class Wait:
    """``says``: what for, in words; ``function``: where, at that ``depth`` of the stack."""

    kind: Kind
    says: str
    function: str
    depth: int


@functools.cache
def _table() -> tuple[tuple[Kind, str, frozenset[str], frozenset[str]], ...]:
    rows: Sequence[Mapping[str, Any]] = yaml.safe_load(TABLE.read_text("utf-8"))["kinds"]
    return tuple(
        (row["kind"], row["says"], frozenset(row["functions"]), frozenset(row.get("also", ())))
        for row in rows
    )


def plain(symbol: str) -> str:
    """A function's name without what the compiler adds to copies of it."""
    return symbol.partition(".")[0]


def classify(functions: Sequence[str]) -> Wait | None:
    """The wait of a stack of functions, the innermost first; None where it is none of these."""
    names = [plain(name) for name in functions]
    there = set(names)
    for kind, says, wanted, also in _table():
        if also and not there & also:
            continue
        for depth, name in enumerate(names):
            if name in wanted:
                return Wait(kind, says, name, depth)
    return None
