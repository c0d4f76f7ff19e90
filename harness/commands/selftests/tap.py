# SPDX-License-Identifier: GPL-2.0-only
"""What one run of a selftest said: its own verdict and, where it prints TAP, each point's.

Unlike the project's own cases, these programs keep their protocol loosely: plans are
missing, numbers stand twice, and half of them print no TAP at all. Nothing is judged
here; the same program says the same on two kernels, or it is a difference.
Source: tools/testing/selftests/kselftest.h and kselftest_harness.h of the kernel.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from harness.core import events as ev

MARK = "| "  # what selftest.py prints before each line of the program
WHOLE = "exit status"  # the name of the program's own verdict among its points
SKIPPED = ("skip", "skipped")
ABSENT = "absent"  # the outcome of a point that a run does not have
_POINT = re.compile(r"^(?P<not>not )?ok (?P<number>\d+)\s*(?:- )?(?P<rest>.*)$")
_DIRECTIVE = re.compile(r"#\s*(?P<word>SKIP|XFAIL|TODO|error)\b", re.IGNORECASE)
# What differs from run to run of one kernel: addresses, and times with their unit.
_VARIES = (
    (re.compile(r"0x[0-9a-fA-F]+"), "0x.."),
    (re.compile(r"\d+(\.\d+)? ?([mun]?s)\b"), ".. s"),
)


@dataclass(frozen=True)
class Seen:
    """One run. ``outcomes``: point -> pass, fail, skip ...; the program's own under ``WHOLE``."""

    outcomes: Mapping[str, str]
    reason: str = ""
    seconds: float = 0.0
    lines: tuple[str, ...] = field(default=(), repr=False)

    @property
    def status(self) -> str:
        """The program's own verdict."""
        return self.outcomes[WHOLE]

    def outcome(self, point: str) -> str:
        """What a point said; ``ABSENT`` where it is not there."""
        return self.outcomes.get(point, ABSENT)


def _name(number: str, rest: str) -> str:
    text = rest.partition("#")[0].strip() if not rest.startswith("#") else ""
    for pattern, instead in _VARIES:
        text = pattern.sub(instead, text)
    return f"{number} {text}".strip()


def _tap(line: str) -> tuple[str, str] | None:
    """Name and outcome of a line of TAP; None for any other."""
    match = _POINT.match(line)
    if match is None:
        return None
    outcome = "fail" if match["not"] else "pass"
    if directive := _DIRECTIVE.search(match["rest"]):
        word = directive["word"].lower()
        outcome = outcome if word in ("todo", "error") else word
    return _name(match["number"], match["rest"]), outcome


def _own(line: str, pattern: re.Pattern[str]) -> tuple[str, str] | None:
    """Name and outcome of a line in a program's own words; None for any other."""
    match = pattern.search(line)
    return (match["name"], match["outcome"].lower()) if match else None


def points(lines: Iterable[str], own: str = "") -> dict[str, str]:
    """The results in a program's output: name -> outcome.

    Args:
        own: see :class:`.table.Selftest`; '' for TAP, where a name is number
            and description, and an outcome pass, fail, skip or xfail.
    """
    pattern = re.compile(own) if own else None
    found: dict[str, str] = {}
    for line in lines:
        result = _own(line, pattern) if pattern else _tap(line)
        if result is None:
            continue
        name, outcome = result
        while name in found:
            name += " (again)"
        found[name] = outcome
    return found


def seen(record: ev.CaseFinished, own: str = "") -> Seen:
    """What the record of one run says; ``own`` as for ``points``.

    A program that skips all of its points and exits with 0 has skipped, and not passed.
    """
    lines = tuple(d.removeprefix(MARK) for d in record.diagnostics if d.startswith(MARK))
    found = points(lines, own)
    status, reason = record.status, record.reason
    if status == "pass" and found and all(o in SKIPPED for o in found.values()):
        status, reason = "skip", f"each of its {len(found)} results is a skip"
    return Seen({WHOLE: status, **found}, reason, record.seconds, lines)


def differing(a: Seen, b: Seen) -> tuple[str, ...]:
    """The points that say different things in two runs."""
    names = dict.fromkeys((*a.outcomes, *b.outcomes))
    return tuple(name for name in names if a.outcome(name) != b.outcome(name))
