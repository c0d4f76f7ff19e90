# SPDX-License-Identifier: GPL-2.0-only
"""The table of operators, and the words of the kernel that they go by: operators.yaml."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from harness.core.jsondata import from_json
from harness.mutants.mutant import Edit

_TABLE = Path(__file__).with_suffix(".yaml")


@dataclass(frozen=True)
class Operator:
    """One kind of mistake: ``before`` and ``after`` are an example, ``mistake`` what it is."""

    before: str
    after: str
    mistake: str


@dataclass(frozen=True)
class LockCalls:
    """Patterns of what takes a lock, and of what gives it back; the rest as the table says."""

    take: str
    give: str
    value: str | None = None
    given: str | None = None

    def gives(self, taken: str) -> re.Pattern[str] | None:
        """What gives back what a call of the name ``taken`` takes; None: that takes none."""
        match = re.fullmatch(self.take, taken)
        return re.compile(match.expand(self.give)) if match else None


@dataclass(frozen=True)
class MovedEnd:
    """Arguments of such a ``name`` are an end of a range; ``moved``: with ``{}`` for it."""

    name: str
    moved: str


@dataclass(frozen=True)
class OperatorTable:
    """All of operators.yaml."""

    operators: dict[str, Operator]
    calls: dict[str, str]
    untouched: str
    annotations: str
    locks: tuple[LockCalls, ...]
    once: dict[str, str]
    errors: dict[str, str]
    results: dict[str, str]
    gfp: dict[str, str]
    ends: tuple[MovedEnd, ...]

    def is_call(self, kind: str, name: str) -> bool:
        """Whether a function or macro of the name is of a kind of ``calls``."""
        return re.fullmatch(self.calls[kind], name) is not None

    def kind(self, name: str) -> str | None:
        """Which a call of the name is of those that keep threads apart; None: none."""
        kinds = ("barrier", "flush", "reference")
        return next((kind for kind in kinds if self.is_call(kind, name)), None)

    def is_fixed(self, name: str) -> bool:
        """Whether nothing in a call of the name can be switched, or nobody would see it."""
        return self.is_call("compiled", name) or self.is_call("said", name)

    def is_lock(self, name: str) -> bool:
        """Whether a call of the name takes a lock or gives one back."""
        return any(
            lock.gives(name) or re.fullmatch(re.sub(r"\\\d", r"\\w*", lock.give), name)
            for lock in self.locks
        )


@functools.cache
def operator_table() -> OperatorTable:
    """The table."""
    return from_json(OperatorTable, yaml.safe_load(_TABLE.read_text("utf-8")))


@dataclass(frozen=True)
class Mistake:
    """A mistake of an operator in a place. It is the series' if one of ``lines`` is."""

    operator: str
    edits: tuple[Edit, ...]
    lines: tuple[range, ...]


def one_edit(operator: str, edit: Edit, *lines: range) -> Mistake:
    """A mistake of one edit."""
    return Mistake(operator, (edit,), lines)
