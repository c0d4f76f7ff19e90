# SPDX-License-Identifier: GPL-2.0-only
"""Reads what test programs print: TAP 12 to 14 and KTAP.

Of a case of ours the rules are strict on purpose. A program that dies early looks like zero
failures to a lenient reader, so a verdict counts only with the plan, exactly one result line
for the case that was asked for, and an exit status that agrees.
The tap package of PyPI reads neither subtests, escapes nor colours, takes 'okay' for a result, and
raises at a version line that it does not like: what a program prints must never do that.
Sources: Documentation/dev-tools/ktap.rst of the kernel, https://testanything.org.
"""

from __future__ import annotations

import io
import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

MAX_POINTS = 100_000  # kept of one program; more are counted
MAX_NOTES = 10_000  # diagnostics kept from the beginning, and as many from the end
MAX_LINE_CHARS = 4096

_COLOUR = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_RESULT = re.compile(r"(?P<not>not )?ok(?:[ \t]+(?P<number>\d{1,9}))?(?=[\s#]|$)")
_PLAN = re.compile(r"1\.\.(?P<count>\d{1,9})(?=[\s#]|$)")
_HASH = re.compile(r"(?<!\\)#")
_DIRECTIVE = re.compile(
    r"(?<!\\)#\s*(?P<word>SKIP|TODO\b|XFAIL\b)\w*[:\s]*(?P<reason>.*)", re.IGNORECASE
)
_CHECK = re.compile(r"[\w./-]+\.(c|h|py):\d+: ")

Outcome = Literal["pass", "fail", "skip", "error"]


@dataclass(frozen=True, slots=True)
class TapPoint:
    """One result. ``outcome``: pass, fail, or skip, todo, xfail where a directive says so.

    ``ok``: what its first word is. ``reason``: of a directive, or why an ok is none.
    """

    ok: bool
    number: int
    name: str
    outcome: str
    reason: str


@dataclass
class TapOutput:
    """All that a program said by the protocol.

    ``skipped``, ``bailed``: the reason of ``1..0 # SKIP`` and of ``Bail out!``. ``count``: of
    points, those beyond ``MAX_POINTS`` too. ``notes``: the diagnostics without '# '.
    """

    header: bool = False
    plan: int | None = None
    skipped: str | None = None
    bailed: str | None = None
    points: list[TapPoint] = field(default_factory=list)
    count: int = 0
    notes: tuple[str, ...] = ()

    def missing(self) -> str | None:
        """Which points did not come, in words; None where as many came as were planned.

        That of two with one number one is another is known of the kernel's selftests.
        """
        if self.plan is None or self.count >= self.plan:
            return None
        came = {point.number for point in self.points}
        names = [str(n) for n in islice((n for n in range(1, self.plan + 1) if n not in came), 6)]
        shown = ", ".join(names if len(names) < 6 else [*names[:5], "..."])
        return f"{self.count} of {self.plan} planned points came; missing: {shown}"


def _point(line: str, before: int, inner: str | None) -> TapPoint | None:
    """A result line; one without a number counts on. ``inner``: a failure in its subtest."""
    match = _RESULT.match(line)
    if match is None:
        return None
    rest = line[match.end() :]
    name = _HASH.split(rest, maxsplit=1)[0].strip().removeprefix("-").strip()
    ok = not match["not"]
    outcome, reason = "pass" if ok else "fail", ""
    if directive := _DIRECTIVE.search(rest):
        outcome, reason = directive["word"].lower(), directive["reason"].strip()
    elif ok and inner is not None:
        outcome, reason = "fail", f"says ok, and its subtest says {inner!r}"
    number = int(match["number"] or before + 1)
    return TapPoint(ok, number, name.replace("\\#", "#"), outcome, reason)


def read_tap(lines: Iterable[str]) -> TapOutput:
    """Reads a program's output; nothing that it prints is an error here."""
    tap = TapOutput()
    first: list[str] = []
    last: deque[str] = deque(maxlen=MAX_NOTES)
    left_out, number = 0, 0
    inner: str | None = None
    for raw in lines:
        line = raw[:MAX_LINE_CHARS].rstrip("\r\n")
        if "\x1b" in line:
            line = _COLOUR.sub("", line)
        if line.startswith("# "):
            left_out += len(last) == MAX_NOTES
            (first if len(first) < MAX_NOTES else last).append(line[2:])
        elif (bare := line.strip()).startswith("Bail out!"):  # a subtest's ends the whole too
            tap.bailed = bare.removeprefix("Bail out!").strip() or "without a reason"
        elif line.startswith((" ", "\t")):
            nested = line.lstrip()
            if nested.startswith("not ok ") and not _DIRECTIVE.search(nested):
                inner = inner or nested.rstrip()
        elif point := _point(line, number, inner):
            tap.count, number, inner = tap.count + 1, point.number, None
            if tap.count <= MAX_POINTS:
                tap.points.append(point)
        elif plan := _PLAN.match(line):
            tap.plan, why = int(plan["count"]), _DIRECTIVE.search(line)
            if not tap.plan:
                tap.skipped = why["reason"].strip() if why else ""
        tap.header = tap.header or line == "KTAP version 1"
    cut = [f"... {left_out} lines are left out ..."] if left_out else []
    tap.notes = (*first, *cut, *last)
    return tap


@dataclass(frozen=True)
class CaseOutput:
    """``outcome`` 'error': the program broke the protocol; ``reason`` says how."""

    outcome: Outcome
    reason: str
    diagnostics: tuple[str, ...]


def _outcome(tap: TapOutput, case: str, exit_code: int | None) -> tuple[Outcome, str]:
    if not tap.header:
        return "error", "printed no KTAP header"
    if tap.bailed is not None:
        return "error", f"bailed out: {tap.bailed}"
    if tap.plan is None:
        return "error", "printed no plan"
    if tap.skipped is not None and not tap.points and exit_code == 0:
        return ("skip", tap.skipped) if tap.skipped else ("error", "skipped without a reason")
    if not tap.points:
        return "error", "ended before its result line"
    if tap.plan != 1:
        return "error", tap.missing() or f"planned {tap.plan} points when asked for one case"
    if tap.count > 1:
        return "error", f"printed {tap.count} result lines"
    point = tap.points[0]
    if point.name != case:
        return "error", f"reported {point.name!r} when asked for {case!r}"
    if exit_code is None:
        return "error", "reported a result and never ended"
    if not point.ok:  # whatever its directive says: a case of ours has no known failures
        return ("fail", _first_check(tap)) if exit_code else ("error", "said 'not ok' and exited 0")
    if exit_code != 0:
        return "error", f"said 'ok' and exited {exit_code}"
    if point.outcome == "fail":
        return "error", point.reason
    if point.outcome == "skip":
        return ("skip", point.reason) if point.reason else ("error", "skipped without a reason")
    return "pass", ""


def _first_check(tap: TapOutput) -> str:
    """The first failed check: the first diagnostic of the form ``file:line: ...``."""
    last = tap.notes[-1] if tap.notes else "failed without a diagnostic"
    return next((note for note in tap.notes if _CHECK.match(note)), last)


def read_case(text: str, case: str, exit_code: int | None) -> CaseOutput:
    """Judges one case's output.

    Args:
        text: all of its standard output.
        case: the name that was asked for.
        exit_code: its status; None where it never ended, negative or above 128 for signals.
    """
    tap = read_tap(io.StringIO(text, newline=None))
    outcome, reason = _outcome(tap, case, exit_code)
    if outcome == "error" and exit_code is not None and exit_code > 128:
        reason = f"died by signal {exit_code - 128}: {reason}"
    return CaseOutput(outcome, reason, tap.notes)
