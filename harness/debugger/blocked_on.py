# SPDX-License-Identifier: GPL-2.0-only
"""What a task is blocked on, told from its stack."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

WaitKind = Literal["ipi", "stop", "rcu", "work", "lock", "io", "memory", "program"]
# Waits that end by themselves, without anybody who may be held.
TRANSIENT: frozenset[WaitKind] = frozenset({"io", "memory"})


@dataclass(frozen=True)
class Wait:
    """``says``: what for, in words; ``function``: where, at that ``depth`` of the stack."""

    kind: WaitKind
    says: str
    function: str
    depth: int


@functools.cache
def _rows() -> Sequence[Mapping[str, Any]]:
    table = Path(__file__).with_name("blocked_on.yaml")
    return tuple(yaml.safe_load(table.read_text("utf-8"))["kinds"])


def base_name(symbol: str) -> str:
    """A function's name without what the compiler adds to copies of it."""
    return symbol.partition(".")[0]


def blocked_on(functions: Sequence[str]) -> Wait | None:
    """The wait of a stack of functions, the innermost first; None where it is none of these."""
    names = [base_name(name) for name in functions]
    for row in _rows():
        if "also" in row and not set(row["also"]) & set(names):
            continue
        for depth, name in enumerate(names):
            if name in row["functions"]:
                return Wait(row["kind"], row["says"], name, depth)
    return None
