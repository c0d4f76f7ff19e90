# SPDX-License-Identifier: GPL-2.0-only
"""What somebody claims of a race, read from text: who does what, in which order.

Read are a table of two or three columns, as mails and commit messages have it, quoted or not; a
report of KCSAN (its two accesses); and one of KASAN (where freed memory is used, where it was
freed). Nothing is looked up here: what the rows mean in a kernel, races/claimed_points.py says.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.core.errors import InvocationError
from harness.vm.splat_table import load_table
from harness.vm.splats import bare

MIN_GAP = 4  # characters between two columns: deeper than a call is indented
PROSE_WORDS = 6  # so many words behind an empty line are text again
MAX_BYTES = 1 << 20

_QUOTE = re.compile(r"^(?: ?> ?)+")
_COMMENT_STAR = re.compile(r"^ \*(?: |$)")  # of a comment in C
_TITLE = r"(?:CPU|thread|task|process|proc)[ #_-]?(?:\d+|[A-Z])\b|\bT\d\b"
_HEADING = re.compile(rf"(?<!\w)(?:{_TITLE})", re.IGNORECASE)
_RULE = re.compile(r"<?[-=~.]{2,}>?")  # a line under the heading, or an arrow between columns
_CELL = re.compile(r"\S+(?: \S+)*")
_LEAD = re.compile(r"^(?:->|=>|\|-|`-|[|+`>*\\-])+\s*(?=\S)")
_FILE = re.compile(r"(?P<file>[\w./-]+\.[ch]):(?P<line>\d+)")
_OFFSET = re.compile(r"(?P<name>\w+)(?:\.\w+)*\+0x(?P<offset>[0-9a-f]+)/0x(?P<size>[0-9a-f]+)")
_CALL = re.compile(r"(?<![\w.>])(?P<name>[A-Za-z_]\w*)\s*\(")
_ALONE = re.compile(r"[A-Za-z]\w*_\w*|_\w*[A-Za-z]\w*")  # a name without parentheses
_NO_CALLS = frozenset(["if", "for", "while", "switch", "return", "sizeof"])
_ENDS = re.compile(r"^(?:return(?:s|ed)?\b.*|done|ends?|exits?)$", re.IGNORECASE)
_COMMENT = re.compile(r"/\*.*?\*/|//.*")
_ACCESS = re.compile(r"^(?:assert no )?\w+(?: \([\w ]+\))* to 0x\w+ of \d+ bytes? by ")  # KCSAN's
_CHECKERS = ("reporting", "checkers", "frees")  # lists of vm/splats.yaml
_OVER = re.compile(r"^(?:---|-- |[\w-]+-by: |Fixes: |diff --git |Link: |Cc: )")


@dataclass(frozen=True)
class Row:
    """One thing that ``thread`` (a column's title, or a role) does, as it is ``text`` in the claim.

    ``function``: where; None for a statement or words. ``file``, ``line``: of its source;
    ``offset``, ``size``: in bytes, of the place in the function as it was built where the report
    comes from. ``indent``: in characters, from the left edge. ``ends``: the thread comes back.
    """

    thread: str
    text: str
    function: str | None = None
    file: str | None = None
    line: int = 0
    offset: int | None = None
    size: int = 0
    indent: int = 0
    ends: bool = False

    @property
    def named(self) -> bool:
        """Whether it names a place: not words, not a statement."""
        return self.function is not None or self.file is not None

    def __str__(self) -> str:
        return f"{self.thread}: {self.text}"


@dataclass(frozen=True)
class Claim:
    """What is claimed: ``rows`` in order of time, ``threads`` by the order of their columns.

    ``kind``: in words. ``title``: what the text calls it.
    """

    kind: str
    title: str
    threads: tuple[str, ...]
    rows: tuple[Row, ...]


def read_claim(path: Path) -> Claim:
    """The claim in a file. An InvocationError: there is none that can be read, and what lacks."""
    if not path.is_file():
        raise InvocationError(f"FROM={path}: there is no such file")
    try:
        return parse_claim(path.read_bytes()[:MAX_BYTES].decode("utf-8", "replace"))
    except InvocationError as error:
        raise InvocationError(error.what, evidence=path, next_step=error.next_step) from error


def parse_claim(text: str) -> Claim:
    """The claim in a text; an InvocationError says what it lacks."""
    lines = [_plain(line) for line in text.splitlines()]
    reported = [bare(line)[0] for line in lines]
    for number, line in enumerate(reported):
        if "BUG: KCSAN: " in line:
            return _report("KCSAN report", line, _accesses(reported[number:]))
        if "BUG: KASAN: " in line:
            return _report("KASAN report", line, _use_and_free(reported[number:]))
        if "circular locking dependency" in line or "recursive locking" in line:
            raise _lacks("it is a report of lockdep: it names locks, and no places in an order")
    return _columns(lines)


def _lacks(what: str) -> InvocationError:
    return InvocationError(
        f"the claim cannot be read: {what}",
        next_step="write two columns under 'CPU0    CPU1', a function or file:line a row, in the"
        " order of time; see docs/races.md",
    )


def _plain(line: str) -> str:
    """A line without the marks of a quotation, without tabs."""
    line = _QUOTE.sub("", line.expandtabs(8)).expandtabs(8)
    return _COMMENT_STAR.sub("", line).rstrip()


# ---- two columns -------------------------------------------------------------------------


def _columns(lines: Sequence[str]) -> Claim:
    heading, titles = _heading(lines)
    above = (line.strip() for line in lines[:heading] if not line.endswith("wrote:"))
    title = next(filter(None, above), "a race").removeprefix("Subject: ")
    table = list(_table(lines[heading + 1 :]))
    cells = [_cells(line) for line in table]
    # The titles of a wide heading stand where their columns do, more or less.
    starts = {start for row in cells for start, _ in row}
    gaps = [b[0] - a[1] for a, b in itertools.pairwise(titles)]
    if min(gaps) >= MIN_GAP:
        starts |= {start for start, _, _ in titles}
    borders = _borders(sorted(starts), len(titles))
    rows: list[Row] = []
    inside = [False] * len(titles)  # a comment that goes on in the next line
    for row in cells:
        together: dict[int, tuple[int, str]] = {}
        for start, text in row:
            column = sum(start >= border for border in borders)
            first, before = together.get(column, (start, ""))
            together[column] = first, f"{before} {text}".strip()
        for column, (start, text) in sorted(together.items()):
            code, inside[column] = _without_comments(text, inside=inside[column])
            if made := _row(titles[column][2], code, start):
                rows.append(made)
    names = tuple(name for _, _, name in titles)
    for name in names:
        if not any(row.thread == name and row.named for row in rows):
            raise _lacks(f"no row below {name} names a function, or a file and a line")
    return Claim("order of two columns", title, names, tuple(rows))


def _heading(lines: Sequence[str]) -> tuple[int, list[tuple[int, int, str]]]:
    """The number of the heading's line; begin, end and text of its titles."""
    for number, line in enumerate(lines):
        found = [(m.start(), m.end(), " ".join(m[0].split())) for m in _HEADING.finditer(line)]
        rest = _HEADING.sub("", line)
        names = [name.upper() for _, _, name in found]
        if len(found) in (2, 3) and len(set(names)) == len(names):
            # Nothing but titles, and what stands between them.
            if not re.search(r"\w", re.sub(r"\([^)]*\)|\b(?:and|vs)\b", "", rest)):
                return number, found
        elif len(found) > 3:
            raise _lacks(f"it has {len(found)} columns, and no more than 3 threads can be held")
    raise _lacks("no line is a heading such as 'CPU0    CPU1' or 'thread A / thread B'")


def _table(lines: Sequence[str]) -> Iterator[str]:
    """The lines below the heading, as far as they are its table."""
    blank = begun = False
    for line in lines:
        text = _RULE.sub(lambda match: " " * len(match[0]), line)
        if not text.strip():
            blank = not line.strip()
            continue
        words = _COMMENT.sub("", text).split()
        if _OVER.match(line) or (begun and blank and len(words) >= PROSE_WORDS):
            return
        blank, begun = False, True
        yield text


def _cells(line: str) -> list[tuple[int, str]]:
    """Start and text of what stands in a line, with wide spaces or bars between."""
    line = re.sub(r"(?<=\s)\|(?!\|)(?=\s|$)", " ", f" {line}")[1:]
    return [(match.start(), match[0]) for match in _CELL.finditer(line)]


def _borders(starts: Sequence[int], columns: int) -> list[int]:
    """Where columns begin but the first: behind the widest gaps between what is indented."""
    gaps = sorted(((b - a, b) for a, b in itertools.pairwise(starts)), reverse=True)
    widest = gaps[: columns - 1]
    if len(widest) < columns - 1 or any(gap < MIN_GAP for gap, _ in widest):
        raise _lacks(f"its rows do not stand in {columns} columns")
    return sorted(border for _, border in widest)


def _without_comments(text: str, *, inside: bool) -> tuple[str, bool]:
    """A cell's code, and whether a comment goes on in the next line."""
    if inside:
        _, end, text = text.partition("*/")
        if not end:
            return "", True
    text = _COMMENT.sub("", text)
    code, begin, _ = text.partition("/*")
    return code.strip(), bool(begin)


def _row(thread: str, text: str, indent: int) -> Row | None:
    lead = _LEAD.match(text)
    text, indent = (text[lead.end() :], indent + lead.end()) if lead else (text, indent)
    text = text.strip().rstrip("{;").strip()
    if not re.search(r"\w", text):
        return None
    source, place = _FILE.search(text), _OFFSET.search(text)
    call = next((m for m in _CALL.finditer(text) if m["name"] not in _NO_CALLS), None)
    alone = text.removesuffix("...").strip()
    function = None
    if place or call:
        function = (place or call)["name"]  # type: ignore[index]
    elif _ALONE.fullmatch(alone):
        function = alone
    elif source is not None and (word := re.match(r"[A-Za-z_]\w*(?=\s)", text)):
        function = word[0]
    return Row(
        thread,
        text,
        function,
        source["file"] if source else None,
        int(source["line"]) if source else 0,
        int(place["offset"], 16) if place else None,
        int(place["size"], 16) if place else 0,
        indent,
        bool(_ENDS.match(text)) and function is None,
    )


# ---- reports of the kernel ---------------------------------------------------------------


def _report(kind: str, line: str, rows: Sequence[Row]) -> Claim:
    title = line[line.index("BUG: ") :].strip()
    return Claim(kind, title, tuple(row.thread for row in rows), tuple(rows))


def _frames(lines: Sequence[str]) -> Iterator[Row]:
    """The frames of the stack that begins here, but for those of the checker itself."""
    blame, begun = load_table().blame, False
    for line in lines:
        row = _row("", " ".join(line.partition("[inline]")[0].split()), 0)
        framed = row is not None and (row.offset is not None or "[inline]" in line)
        if row is None or row.function is None or not framed:
            if begun or not line.strip().startswith("<"):  # of <TASK>
                return
            continue
        begun = True
        passed = any(blame.has(name, row.function) for name in _CHECKERS)
        if not passed and not line.strip().startswith("? "):
            yield row


def _first(lines: Sequence[str], thread: str) -> Row | None:
    """The first frame of a stack, as what ``thread`` does."""
    return next((replace(row, thread=thread) for row in _frames(lines)), None)


def _accesses(lines: Sequence[str]) -> list[Row]:
    """The two accesses of a KCSAN report."""
    rows: list[Row] = []
    for number, line in enumerate(lines):
        if _ACCESS.match(line) and (row := _first(lines[number + 1 :], f"T{len(rows) + 1}")):
            rows.append(row)
    if len(rows) < 2:
        raise _lacks("the report of KCSAN has not the stacks of both accesses")
    return rows[:2]


def _use_and_free(lines: Sequence[str]) -> list[Row]:
    """Where a KASAN report says that memory is used, and where it was freed."""
    use = free = None
    for number, line in enumerate(lines):
        if use is None and re.match(r"^Call [Tt]race:", line):
            use = _first(lines[number + 1 :], "user")
        elif free is None and re.match(r"^Freed(?: by task \d+.*)?:", line):
            free = _first(lines[number + 1 :], "freeing")
    if use is None or free is None:
        which = "that uses the memory" if use is None else "that freed it ('Freed by task')"
        raise _lacks(f"the report of KASAN has no stack {which}")
    return [use, free]
