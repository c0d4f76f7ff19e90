# SPDX-License-Identifier: GPL-2.0-only
"""Recognises a kernel's complaints in its console output, line by line.

Pure: lines go in, finished reports come out. What to look for is data
(splats.yaml). A report is cut out whole, from 'cut here' or its first line to
the end of its trace; it gets a title that is the same each time (a function's
name, no numbers), and the number of the test case that was running when it
began, by the markers that the guest itself writes into the same stream.

Where the kernel prefixes lines with their caller (CONFIG_PRINTK_CALLER), reports
of two CPUs that come out interleaved are kept apart.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from harness.vm import protocol

TABLE = Path(__file__).resolve().parent / "splats.yaml"
LONGEST = 500  # lines; a report that has not ended by then is cut

# A timestamp, a caller, both or neither.
_PREFIX = re.compile(r"^(?:<\d+>)?(?:(?=\[)(?:\[ *\d+\.\d+\])?(?:\[ *(?P<caller>[TC]\d+)\])? ?)?")
_MARKER = re.compile(
    rf"^{protocol.HEAD}(?P<what>{protocol.BEGIN}|{protocol.END}) (?P<seq>\d+) ?(?P<rest>.*)$"
)
_RIP = re.compile(r"^RIP: 0010:(?:\[<[0-9a-f]+>\] )?(?P<name>[\w.]+)\+0x")
_FRAME = re.compile(
    r"^ +(?:\[<[0-9a-f]+>\] )?(?P<unsure>\? )?(?P<name>[A-Za-z_][\w.]*)\+0x[0-9a-f]+/0x[0-9a-f]+"
)
# Suffixes of compiler-made copies: the function is the same.
_COPY = re.compile(r"\.(?:part|isra|constprop|cold|llvm)(?:\.\d+)*")


@dataclass(frozen=True)
class Splat:
    """One complaint.

    Args:
        text: its lines as they were printed, prefixes included.
        case: the sequence number of the case that ran; None: none did.
        first, last: indices of its lines in the console, from 0.
        spoils: the guest is not to be trusted afterwards.
        expected: the case had said that this would come.
        foreign: why it does not count against the series; None where it does.
    """

    title: str
    category: str
    text: str
    case: int | None
    first: int
    last: int
    spoils: bool = False
    expected: bool = False
    foreign: str | None = None


@dataclass(frozen=True)
class Report:
    """One entry of ``reports`` in splats.yaml."""

    category: str
    start: re.Pattern[str]
    titles: tuple[tuple[re.Pattern[str], str], ...]
    func: tuple[str, ...]
    until: re.Pattern[str] | None
    also: re.Pattern[str] | None
    tail: re.Pattern[str] | None
    once: bool
    spoils: bool


@dataclass(frozen=True)
class Table:
    """splats.yaml, compiled."""

    cut_here: re.Pattern[str]
    body: re.Pattern[str]
    passing: re.Pattern[str]
    reports: tuple[Report, ...]
    any_start: re.Pattern[str]


def _any(patterns: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{p})" for p in patterns))


def _report(data: dict[str, Any]) -> Report:
    def maybe(name: str) -> re.Pattern[str] | None:
        return re.compile(data[name]) if name in data else None

    return Report(
        data["category"],
        re.compile(data["start"]),
        tuple((re.compile(pattern), title) for pattern, title in data["titles"]),
        tuple(data.get("func", ("rip", "stack"))),
        maybe("until"),
        maybe("also"),
        maybe("tail"),
        data.get("once", False),
        data.get("spoils", False),
    )


@functools.cache
def load_table(path: Path = TABLE) -> Table:
    """Reads and compiles splats.yaml."""
    data = yaml.safe_load(path.read_text())
    return Table(
        re.compile(data["cut_here"]),
        _any(data["body"]),
        _any(data["passing_functions"]),
        tuple(map(_report, data["reports"])),
        # One search rejects nearly every line of a healthy console.
        _any([re.sub(r"\?P<\w+>", "?:", report["start"]) for report in data["reports"]]),
    )


def bare(line: str) -> tuple[str, str]:
    """A console line without its prefix, and the caller the prefix names ('' for none)."""
    match = _PREFIX.match(line)
    if match is None:
        return line, ""
    return line[match.end() :], match["caller"] or ""


def plain_name(function: str) -> str:
    """A function's name without the suffixes of compiler-made copies."""
    return _COPY.sub("", function)


def _function(lines: Sequence[str], ways: Sequence[str], passing: re.Pattern[str]) -> str:
    """The function a title should name: the culprit rather than the reporter."""
    rips = [m["name"] for m in map(_RIP.match, lines) if m]
    stack: list[str] = []
    guesses: list[str] = []  # frames the unwinder is not sure of
    in_trace = False
    for line in lines:
        in_trace = in_trace or line.startswith(("Call Trace", "  backtrace"))
        match = _FRAME.match(line) if in_trace else None
        if match:
            (guesses if match["unsure"] else stack).append(match["name"])
    for names in [rips[:1] if way == "rip" else stack for way in ways] + [guesses]:
        for name in names:
            if not passing.search(name):
                return plain_name(name)
    return plain_name((rips + stack + guesses + ["unknown function"])[0])


def title_of(report: Report, lines: Sequence[str], passing: re.Pattern[str]) -> str:
    """The report's title, from its bare lines."""
    for pattern, title in report.titles:
        for line in lines:
            match = pattern.search(line)
            if match is None:
                continue
            groups = {k: plain_name(v or "").strip() for k, v in match.groupdict().items()}
            func = _function(lines, report.func, passing) if "{func}" in title else ""
            return title.format(func=func, **groups)
    return report.category


@dataclass
class _Open:
    """A report whose end has not been seen. ``report`` is None until its kind is known."""

    report: Report | None
    case: int | None
    first: int
    last: int
    ended: bool = False
    raw: list[str] = field(default_factory=list)
    bare: list[str] = field(default_factory=list)


class Recogniser:
    """Feed it every line of a console, in order."""

    def __init__(self, table: Table | None = None) -> None:
        self.table = table or load_table()
        self.case: int | None = None
        self._index = -1
        self._open: dict[str, _Open] = {}

    @property
    def busy(self) -> bool:
        """Whether a report is being printed."""
        return bool(self._open)

    def feed(self, line: str) -> list[Splat]:
        """Takes one line; returns the reports that are now known to be complete."""
        self._index += 1
        text, caller = bare(line)
        if text.startswith(protocol.HEAD):
            return self._marker(text)
        done: list[Splat] = []
        current = self._open.get(caller)
        if current is not None:
            verdict = self._belongs(current, text)
            if verdict:
                self._append(current, line, text)
                if verdict == "last":
                    done += self._finish(caller)
                return done
            done += self._finish(caller)
        report = self._start(text)
        if report is not None or self.table.cut_here.search(text):
            done += self._finish(caller)
            opened = _Open(report, self.case, self._index, self._index)
            self._open[caller] = opened
            self._append(opened, line, text)
            if report is not None and report.once:
                done += self._finish(caller)
            elif report is not None and report.until and report.until.search(text):
                opened.ended = True
        elif caller and caller not in self._open and len(self._open) == 1:
            # A backtrace that another CPU was asked for.
            (other,) = self._open.values()
            if other.report is not None and self.table.body.search(text):
                self._append(other, line, text)
        return done

    def flush(self) -> list[Splat]:
        """Closes what is open: the console has been quiet, or has ended."""
        return [splat for caller in list(self._open) for splat in self._finish(caller)]

    def _marker(self, text: str) -> list[Splat]:
        match = _MARKER.match(text)
        if match is None:
            return []
        self.case = int(match["seq"]) if match["what"] == "begin" else None
        ended = [caller for caller, current in self._open.items() if current.ended]
        return [splat for caller in ended for splat in self._finish(caller)]

    def _start(self, text: str) -> Report | None:
        if not self.table.any_start.search(text):
            return None
        return next((r for r in self.table.reports if r.start.search(text)), None)

    def _belongs(self, current: _Open, text: str) -> str:
        """'' : not part of the report; 'yes'; 'last': part, and ends it."""
        if len(current.raw) >= LONGEST:
            return ""
        if current.report is None:
            return self._belongs_to_unknown(current, text)
        report = current.report
        if current.ended:
            tail = (report.tail and report.tail.search(text)) or (
                report.tail is None and self.table.body.search(text)
            )
            return "yes" if tail or (report.also and report.also.search(text)) else ""
        if report.until is not None and report.until.search(text):
            current.ended = True
            return "yes"
        if report.also is not None and report.also.search(text):
            return "yes"
        if self._start(text) is not None or self.table.cut_here.search(text):
            return ""
        return "yes" if report.until is not None or self.table.body.search(text) else ""

    def _belongs_to_unknown(self, current: _Open, text: str) -> str:
        """Between 'cut here' and the line that says what it is there may be a few others."""
        report = self._start(text)
        if report is not None:
            current.report = report
            return "last" if report.once else "yes"
        return "yes" if len(current.raw) < 12 else ""

    def _append(self, current: _Open, line: str, text: str) -> None:
        current.raw.append(line)
        current.bare.append(text)
        current.last = self._index

    def _finish(self, caller: str) -> list[Splat]:
        current = self._open.pop(caller, None)
        if current is None:
            return []
        report = current.report
        if report is None:
            title, category, spoils = "report cut off after 'cut here'", "warning", False
        else:
            title = title_of(report, current.bare, self.table.passing)
            category, spoils = report.category, report.spoils
        while current.raw and not current.bare[-1].strip():
            current.raw.pop()
            current.bare.pop()
        text = "\n".join(current.raw)
        return [Splat(title, category, text, current.case, current.first, current.last, spoils)]


def find_splats(text: str) -> list[Splat]:
    """All complaints in a whole console log."""
    recogniser = Recogniser()
    found = [splat for line in text.splitlines() for splat in recogniser.feed(line)]
    return found + recogniser.flush()
