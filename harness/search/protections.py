# SPDX-License-Identifier: GPL-2.0-only
"""The locks, barriers, flushes, re-tests and READ_ONCEs that a series adds: who shows the need?

Each is a mutant (harness/mutants) that lacks it. What no case notices is searched for an order in
which it strikes.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rich.markup import escape
from rich.table import Table

from harness.core.tables import plain_table
from harness.mutants.judge import place_of
from harness.mutants.mutant import Mutant, mutated
from harness.mutants.report import ALIVE
from harness.mutants.verdict import MutantVerdict
from harness.search.program_search import FoundOrder

SCHEMA = 1
Answer = Literal[
    "needed, shown by a case", "needed, shown by an order", "not shown", "no code of its own",
    "argued", "not tried",
]  # fmt: skip
_OPERATORS = {
    "lock-dropped": "lock",
    "once-dropped": "READ_ONCE or WRITE_ONCE",
    "barrier-dropped": "barrier",
    "flush-dropped": "flush",
}
# A test of what others may have changed in the meantime, taken for true or for false: of an entry,
# of a count, of flags that were read once.
_TESTS = ("condition-true", "condition-false")
_SHARED = re.compile(
    r"\b(?:p(?:te|md|ud)_(?:same|none|present)|READ_ONCE|(?:folio|page)_(?:ref_)?count"
    r"|(?:folio|page)_mapcount)\s*\(|(?<![>.\w])vm_flags\b"
)
PATCH = """From: race search <harness@example.org>
Date: Sat, 1 Jan 2000 00:00:00 +0000
Subject: [PATCH] variant: {function}() without a {kind}

{mistake}
---
{diff}"""


def protection_of(mutant: Mutant) -> str | None:
    """What a mutant takes away, of that which keeps threads apart; None: something else."""
    if mutant.operator in _TESTS and _SHARED.search(mutant.text):
        return "re-test"
    return _OPERATORS.get(mutant.operator)


def mutant_patch(source: bytes, mutant: Mutant) -> str:
    """The mutant as a patch on top of the series, in the form of patches/<series>/variants."""
    texts = [t.decode("utf-8", "replace") for t in (source, mutated(source, mutant))]
    before, after = (text.splitlines(keepends=True) for text in texts)
    diff = difflib.unified_diff(before, after, f"a/{mutant.path}", f"b/{mutant.path}")
    head = f"diff --git a/{mutant.path} b/{mutant.path}\n"
    kind = protection_of(mutant) or mutant.operator
    mistake = f"The mistake: {mutant.operator} in line {mutant.line}."
    return PATCH.format(
        function=mutant.function, kind=kind, mistake=mistake, diff=head + "".join(diff)
    )


@dataclass
class ProtectionSearch:
    """What the search for one protection has come to.

    ``programs``: those whose threads come to its place, up to the one in which it was ``found``.
    """

    programs: list[str] = field(default_factory=list)
    tries: int = 0
    seconds: float = 0.0
    found: FoundOrder | None = None


@dataclass
class Protection:
    """A protection, as the ``mutant`` without it. ``scenario``: of the order that shows the need.

    ``search``: None before it was searched for.
    """

    mutant: Mutant
    verdict: MutantVerdict
    search: ProtectionSearch | None = None
    scenario: Path | None = None

    @property
    def found(self) -> FoundOrder | None:
        """The order that shows the need."""
        return self.search.found if self.search else None

    @property
    def kind(self) -> str:
        """What it is."""
        return protection_of(self.mutant) or self.mutant.operator

    @property
    def name(self) -> str:
        """Of its patch and its scenario."""
        kind = re.sub(r"\W+", "-", self.kind).lower()
        return f"{self.mutant.function}-without-{kind}-{self.mutant.line}-{self.mutant.number}"

    @property
    def searched(self) -> bool:
        """Whether no case has noticed that it is missing."""
        return self.verdict.outcome in ALIVE

    @property
    def answer(self) -> Answer:
        """Whether it is needed, and what shows that."""
        if self.verdict.outcome == "killed":
            return "needed, shown by a case"
        if self.found is not None or self.verdict.outcome == "needs a schedule":
            return "needed, shown by an order"
        if self.searched:
            return "not shown" if self.search and self.search.programs else "not tried"
        if self.verdict.outcome == "argued":
            return "argued"
        return "no code of its own" if self.verdict.outcome == "equivalent" else "not tried"

    @property
    def shown_by(self) -> str:
        """The case, the order, or what was tried."""
        if self.found is not None:
            rate = f"{self.found.hits} of {self.found.runs}"
            return f"{'; '.join(map(str, self.found.points))} ({rate})"
        if self.searched:
            if self.search is None:
                return "the run was ended before the search"
            tried = f"{self.search.tries} tries of {', '.join(self.search.programs)}"
            return tried if self.search.programs else "no program's threads come to its place"
        return self.verdict.case or self.verdict.reason


def table(protections: Sequence[Protection]) -> Table:
    """One row for each."""
    shown = plain_table("protection", "place", "without it", "needed?", "shown by")
    for one in protections:
        style = "green" if one.answer.startswith("needed") else "yellow"
        instead = " ".join(one.mutant.instead.split())
        shown.add_row(
            one.kind, escape(place_of(one.mutant)), escape(instead),
            f"[{style}]{one.answer}[/]", escape(one.shown_by),
        )  # fmt: skip
    return shown


def summary(protections: Sequence[Protection]) -> str:
    """How many have each answer; shown is counted of those that have code of their own."""
    counts = Counter(one.answer for one in protections)
    shown = sum(n for answer, n in counts.items() if answer.startswith("needed"))
    could = len(protections) - counts["no code of its own"] - counts["argued"]
    parts = ", ".join(f"{n} {answer}" for answer, n in counts.most_common())
    return f"needed, shown: {shown} of {could} that have code of their own ({parts})"


def document(one: Protection) -> dict[str, Any]:
    """One of the ``protections`` of why-locked.json."""
    mutant, search = one.mutant, one.search or ProtectionSearch()
    return {
        "kind": one.kind,
        "path": mutant.path,
        "line": mutant.line,
        "function": mutant.function,
        "patch": mutant.patch + 1,
        "operator": mutant.operator,
        "text": mutant.text,
        "instead": mutant.instead,
        "answer": one.answer,
        "shown_by": one.shown_by,
        "programs": search.programs,
        "tries": search.tries,
        "seconds": round(search.seconds, 1),
        "scenario": str(one.scenario or ""),
    }
