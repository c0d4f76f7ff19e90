# SPDX-License-Identifier: GPL-2.0-only
"""Recognises a kernel's complaints in its console output, line by line.

Pure: lines go in, finished reports come out. What to look for is data
(splats.yaml). A report is cut out whole, from 'cut here' or its first line to
the end of its trace; it gets a title that is the same each time (a function's
name, no numbers), and the number of the test case that was running when it
began, by the markers that the guest itself writes into the same stream.

Where the kernel prefixes lines with their caller (CONFIG_PRINTK_CALLER), reports
of two CPUs that come out interleaved are kept apart, and a marker counts only from
the process that has begun the case. Who writes past the log, to /dev/console, can
forge a line with its caller; and what is written to /dev/kmsg looks as if the kernel
had said it, whoever wrote it: the console does not show the facility.

Memory is bounded: a report has at most LONGEST lines of WIDEST characters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from harness.core.events import CaseId, SplatSeen
from harness.vm import protocol
from harness.vm.blamed_function import frame_of
from harness.vm.splat_table import Report, load_table, title_of

LONGEST = 500  # lines; a report that has not ended by then is cut
WIDEST = 4096  # characters of a line that are looked at
UNRELATED_IN_STACK = 3  # lines of others between two frames of a stack
UNRELATED = 12  # lines of others that may stand between a report's first line and its stack
REMARKS = 50  # different remarks that are kept
REPLAYED = 1000  # first lines of reports that are known again

# A timestamp, a caller, both or neither.
_PREFIX = re.compile(r"^(?:<\d+>)?(?:(?=\[)(?:\[ *\d+\.\d+\])?(?:\[ *(?P<caller>[TC]\d+)\])? ?)?")
# Where the kernel begins a line although somebody has left his own open.
_INNER = re.compile(r"(?<=.)\[ *\d+\.\d{6}\](?:\[ *[TC]\d+\])? ")
_TIMED = re.compile(r"^(?:<\d+>)?\[ *\d+\.\d+\]")
_ENDED = re.compile(r"(\w+)=(\d+) tainted=(\d+)")  # how, with which number
_MARKER = re.compile(
    rf"^{protocol.HEAD}(?P<what>{protocol.BEGIN}|{protocol.END}) (?P<seq>\d+) ?(?P<rest>.*)$"
)


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

    def seen(self, test: CaseId | None = None) -> SplatSeen:
        """The event; ``test``: in which it came, None where none was running."""
        return SplatSeen(self.title, self.category, test, self.text, self.expected, self.foreign)


@dataclass(frozen=True)
class ConsoleRemark:
    """A line that looks like a complaint and is none, or tells that some may be missing."""

    line: str
    why: str


def bare(line: str) -> tuple[str, str]:
    """A console line without its prefix, and the caller the prefix names ('' for none)."""
    match = _PREFIX.match(line)
    if match is None:
        return line, ""
    return line[match.end() :], match["caller"] or ""


@dataclass
class _Open:
    """A report whose end has not been seen. ``report`` is None until its kind is known.

    Args:
        needs: without a line that matches it is a remark.
        others: lines that came since its last and may be somebody else's.
    """

    report: Report | None
    case: int | None
    first: int
    last: int
    needs: re.Pattern[str] | None = None
    ended: bool = False
    traced: bool = False
    raw: list[str] = field(default_factory=list)
    bare: list[str] = field(default_factory=list)
    others: list[tuple[str, str]] = field(default_factory=list)


class Recogniser:
    """Feed it every line of a console, in order."""

    def __init__(self) -> None:
        self.table = load_table()
        self.case: int | None = None
        self.announced: int | None = None  # the case that may begin; None: any
        self._tellers: dict[int, str] = {}  # who has begun a case, where lines have callers
        self._remarks: dict[ConsoleRemark, bool] = {}  # whether it was taken
        self._index = -1
        self._open: dict[str, _Open] = {}
        self._told: set[str] = set()  # timed first lines of reports

    @property
    def busy(self) -> bool:
        """Whether a report is being printed."""
        return bool(self._open)

    def feed(self, line: str) -> list[Splat]:
        """Takes one line; returns the reports that are now known to be complete."""
        self._index += 1
        line = line[:WIDEST]
        inner = list(_INNER.finditer(line))
        text, caller = bare(line[inner[-1].start() :] if inner else line)
        if text.startswith(protocol.HEAD):
            return self._marker(text, caller)
        if self.table.replay.search(text):
            self._take_back()
            return []
        self._look_for_remarks(text)
        done: list[Splat] = []
        current = self._open.get(caller)
        if current is not None:
            verdict = self._belongs(current, text)
            if verdict == "beside":
                return self._once(line, text)
            if verdict == "other":
                current.others.append((line, text))
                return done
            if verdict:
                self._append(current, line, text)
                if verdict == "last":
                    done += self._finish(self._open.pop(caller))
                return done
            done += self._finish(self._open.pop(caller))
        report, at, sure = self._start(text)
        if report is not None or self.table.cut_here.search(text):
            opened = _Open(report, self.case, self._index, self._index)
            if report is not None:
                opened.needs = report.needs or (None if sure else self.table.evidence)
            self._open[caller] = opened
            self._append(opened, line, text[at:])
            if report is not None and report.once:
                done += self._finish(self._open.pop(caller))
            elif report is not None and report.until and report.until.search(text):
                opened.ended = True
        elif caller and caller not in self._open and len(self._open) == 1:
            # A backtrace that another CPU was asked for.
            (other,) = self._open.values()
            if other.report is not None and self.table.body.search(text):
                self._append(other, line, text)
        return done

    def _once(self, line: str, text: str) -> list[Splat]:
        """A report of one line, amid another one."""
        report, _, _ = self._start(text)
        opened = _Open(report, self.case, self._index, self._index)
        self._append(opened, line, text)
        return self._finish(opened)

    def told_by(self, seq: int) -> str:
        """A pattern for what stands before a marker of the process that has begun a case."""
        teller = self._tellers.get(seq)
        return rf"\[ *{teller}\] " if teller else ""

    def flush(self) -> list[Splat]:
        """Closes what is open: the console has been quiet, or has ended."""
        every, self._open = self._open.values(), {}
        return [splat for current in every for splat in self._finish(current)]

    def _marker(self, text: str, caller: str) -> list[Splat]:
        match = _MARKER.match(text)
        if match is None:
            return []
        begins, seq = match["what"] == protocol.BEGIN, int(match["seq"])
        if self._forged(match, seq, caller):
            self._remark(text, "a marker of the harness that the harness did not write")
            return []
        if begins:
            self._tellers[seq] = caller
        self.case = seq if begins else None
        ended = [caller for caller, current in self._open.items() if current.ended]
        return [splat for each in ended for splat in self._finish(self._open.pop(each))]

    def _forged(self, match: re.Match[str], seq: int, caller: str) -> bool:
        """Whether a marker is somebody else's.

        So is a beginning that was not announced, and a second one, and an end of another
        case or from another process. A next case may begin although this one did not end.
        """
        if match["what"] == protocol.BEGIN:
            return self.announced not in (None, seq) or self.case == seq
        if self.case is None:
            return False
        ends = _ENDED.match(match["rest"])
        return not ends or seq != self.case or caller != self._tellers.get(seq)

    def _take_back(self) -> None:
        """printk says its last line again, which was cut off."""
        for caller, current in list(self._open.items()):
            if current.last == self._index - 1:
                current.raw.pop()
                current.bare.pop()
                current.last -= 1
                if not current.raw:
                    del self._open[caller]

    def _look_for_remarks(self, text: str) -> None:
        if self.table.any_remark.search(text):
            for remark in self.table.remarks:
                if remark.line.search(text):
                    self._remark(text, remark.why)

    def _remark(self, text: str, why: str) -> None:
        remark = ConsoleRemark(text[:200], why)
        if len(self._remarks) < REMARKS:
            self._remarks.setdefault(remark, False)

    def take_remarks(self) -> list[ConsoleRemark]:
        """What looked like a complaint and is none, each once."""
        fresh = [remark for remark, taken in self._remarks.items() if not taken]
        self._remarks.update(dict.fromkeys(fresh, True))
        return fresh

    def _start(self, text: str) -> tuple[Report | None, int, bool]:
        """The report that begins in the line, where, and whether words alone make it one."""
        words = {word for word in self.table.words if word in text}
        if not words:
            return None, 0, False
        reports = [report for report in self.table.reports if not words.isdisjoint(report.words)]
        if self.table.any_remark.search(text):
            return None, 0, False
        lead = self.table.leads.match(text)
        begin = lead.end() if lead else 0
        for report in reports:
            if report.start.match(text, begin):
                return report, 0, True
        # Behind half a line of somebody's; the earliest word is the one that was said.
        found = [(m.start(), r) for r in reports if (m := r.start.search(text))]
        if not found:
            return None, 0, False
        at = min(at for at, _ in found)
        return next(report for where, report in found if where == at), at, False

    def _belongs(self, current: _Open, text: str) -> str:
        """How a line belongs to a report that is open.

        '': not at all; 'yes'; 'last': it ends it; 'other': who knows; 'beside': it is a
        report by itself, and this one goes on.
        """
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
        if self.table.consequences.search(text):
            return "yes"
        started, _, sure = self._start(text)
        if sure and started and started.once:
            return "beside"
        if sure or self.table.cut_here.search(text):
            return ""
        if report.until is not None:
            return "yes"
        if self.table.body.search(text):
            torn = current.others and current.traced and frame_of(text) is None
            return "" if torn else "yes"
        limit = UNRELATED_IN_STACK if current.traced else UNRELATED
        return "other" if len(current.others) < limit else ""

    def _belongs_to_unknown(self, current: _Open, text: str) -> str:
        """Between 'cut here' and the line that says what it is there may be a few others."""
        report, _, sure = self._start(text)
        if report is not None and (sure or report.needs is None):
            current.report = report
            return "last" if report.once else "yes"
        return "yes" if len(current.raw) < UNRELATED else ""

    def _append(self, current: _Open, line: str, text: str) -> None:
        for other, said in current.others:
            current.raw.append(other)
            current.bare.append(said)
        current.others.clear()
        current.raw.append(line)
        current.bare.append(text)
        current.last = self._index
        current.traced = current.traced or frame_of(text) is not None

    def _finish(self, current: _Open) -> list[Splat]:
        while current.raw and not current.bare[-1].strip():
            current.raw.pop()
            current.bare.pop()
        report, first = current.report, current.raw[0]
        if current.needs and not any(map(current.needs.search, current.bare)):
            self._remark(current.bare[0], "words of a message: no trace follows")
            return []
        if first in self._told:
            return []  # the log is printed again when a console registers
        if _TIMED.match(first) and len(self._told) < REPLAYED:
            self._told.add(first)
        if report is None:
            title, category, spoils = "report cut off after 'cut here'", "warning", False
        else:
            title = title_of(report, current.bare, self.table.blame)
            category, spoils = report.category, report.spoils
        text = "\n".join(current.raw)
        return [Splat(title, category, text, current.case, current.first, current.last, spoils)]


def find_splats(text: str) -> list[Splat]:
    """All complaints in a whole console log."""
    recogniser = Recogniser()
    found = [splat for line in text.splitlines() for splat in recogniser.feed(line)]
    return sorted(found + recogniser.flush(), key=lambda splat: splat.first)
