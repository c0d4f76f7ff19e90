# SPDX-License-Identifier: GPL-2.0-only
"""What differs between two sets of verdicts, and what a base excuses. Pure functions.

A set of verdicts is ``{clause: verdict}`` as ``results.json`` has it. Only pass and
fail say something of a kernel; untested, not applicable and absent say nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from harness.report.results import BROKEN, RunDocument

Kind = Literal["fixed", "broken", "new", "gone"]
SAYS = ("pass", "fail")


@dataclass(frozen=True)
class Change:
    """One clause that says something else than before; '' is a clause that was not there."""

    clause: str
    kind: Kind
    before: str
    now: str


@dataclass(frozen=True)
class Blame:
    """What is broken after a patch: ``ours`` counts, ``before`` is broken on the base too.

    Both hold ids of cases and titles of the kernel's complaints. ``flaky`` cases are as
    flaky without the patch, as far as one can tell, and do not count either.
    """

    ours: tuple[str, ...]
    before: tuple[str, ...]
    flaky: tuple[str, ...] = ()


def clause_verdicts(document: RunDocument) -> dict[str, str]:
    """The verdicts of one ``results.json``."""
    return {clause: about["verdict"] for clause, about in document["clauses"].items()}


def kind_of(before: str, now: str) -> Kind | None:
    """How a verdict changed; None where it says the same, or nothing before and after."""
    if before == now:
        return None
    if before in SAYS and now in SAYS:
        return "fixed" if now == "pass" else "broken"
    if now in SAYS:
        return "new"
    return "gone" if before in SAYS else None


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[Change, ...]:
    """The clauses whose verdicts differ, in the order of ``now``, then those only in ``before``."""
    found = []
    for clause in dict.fromkeys((*now, *before)):
        was, is_now = before.get(clause, ""), now.get(clause, "")
        if kind := kind_of(was, is_now):
            found.append(Change(clause, kind, was, is_now))
    return tuple(found)


def broken(document: RunDocument) -> tuple[str, ...]:
    """Ids of the broken cases, then titles of the kernel's complaints, each once."""
    cases = [test["id"] for test in document["tests"] if test["status"] in BROKEN]
    return tuple(dict.fromkeys((*cases, *(splat["title"] for splat in document["splats"]))))


def blame(document: RunDocument, base: RunDocument, excused: frozenset[str] = frozenset()) -> Blame:
    """Sorts what is broken by whether the bare base breaks it as well.

    A case that is not applicable on the base is no record of a failure there, and
    so excuses nothing. ``excused``: flaky cases that do not count.
    """
    known = set(broken(base))
    here = broken(document)
    return Blame(
        tuple(name for name in here if name not in known and name not in excused),
        tuple(name for name in here if name in known),
        tuple(name for name in here if name not in known and name in excused),
    )
