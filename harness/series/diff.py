# SPDX-License-Identifier: GPL-2.0-only
"""The text of a diff, as it came: where its hunks are, what it names, what it hides.

unidiff reads diffs that are whole; what comes by mail is not always. This goes by what a
hunk's header counts, so that it can tell a hunk from talk about one, and a hunk that lost
a line from one that ends.
"""

from __future__ import annotations

import ast
import hashlib
import io
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from unidiff.patch import PatchSet

from harness.core import git

MAX_NAME = 500  # bytes of a file's name with its folders; the longest of Linux has 130
_MODE = re.compile(rb"(?m)^(?:new|old|new file|deleted file) mode (?!100|(?:12|16)0000\s)(.*)$")
HEAD, HUNK, DAMAGED = "head", "hunk", "damaged"
_COUNTS = re.compile(rb"@@ -\d+(?:,(\d{1,18}))? \+(\d{1,18})(?:,(\d{1,18}))? @@")
# Where git mailinfo takes the message to end and the patch to begin, but for a lone "---".
BEGINS = re.compile(rb"diff -|Index: |--- \S")
# Letters by their Unicode category that show nothing: Hangul fillers and a Khmer vowel.
_BLANK_LETTERS = "\u115f\u1160\u3164\uffa0\u17b4\u17b5"
_WORD = rb'"(?:[^"\\]|\\.)*"|\S+'  # a name as git writes it
_TURNS = re.compile("[\u202a-\u202e\u2066-\u2069]")  # embeddings, overrides and isolates
_SHOWN_CONTROLS = "\t\r\f\v"  # a terminal shows these as white space; C files have some


@dataclass(frozen=True, slots=True)
class DiffLine:
    """One line of a diff without its end.

    ``kind``: HEAD (of a file, or talk), HUNK, or DAMAGED where it does not fit into the hunk
    that it stands in or behind. ``path`` is the new name of the file, ``number`` that of the
    line in it; both only in a hunk.
    """

    text: bytes
    kind: str
    path: bytes = b""
    number: int = 0


def read_diff(text: bytes) -> Iterator[DiffLine]:
    """The lines of a mail or a diff, as ``split`` gives them, each with what it is."""
    lines = text.split(b"\n")
    path, header, inside = b"", b"", False
    old = new = number = 0
    for line in lines[:-1] if lines[-1] == b"" else lines:
        first = line[:1].strip(b"\r")
        if old > 0 or new > 0:
            was, becomes = first in (b" ", b"", b"-"), first in (b" ", b"", b"+")
            if (was or becomes or first == b"\\") and was <= old and becomes <= new:
                yield DiffLine(line, HUNK, path, number)
                old, new, number = old - was, new - becomes, number + becomes
            else:
                old = new = 0
                yield DiffLine(line, DAMAGED, path, number)
            continue
        counts = _COUNTS.match(line) if inside else None
        if counts:
            old, number, new = int(counts[1] or 1), int(counts[2]), int(counts[3] or 1)
        elif line.startswith(b"+++ ") and header.startswith(b"--- "):
            path, inside = _without_prefix(line[4:]), True
        elif inside and first in (b" ", b"+", b"-") and not line.startswith(b"--"):
            yield DiffLine(line, DAMAGED, path, number)  # git apply may leave it out in silence
            continue
        elif not line.startswith(b"\\"):
            inside = False
        header = line
        yield DiffLine(line, HEAD)
    if lines[-1] == b"":
        yield DiffLine(b"", DAMAGED if old > 0 or new > 0 else HEAD, path, number)


def damage(diff: bytes) -> str | None:
    """The first line that does not fit into its hunk, with its place; None where all do."""
    for at, line in enumerate(read_diff(diff), 1):
        if line.kind == DAMAGED:
            shown = escaped(line.text.decode("utf-8", "replace").strip()[:60]) or "its end"
            name = escaped(line.path.decode("utf-8", "replace"))
            return f"line {at} of its diff, in {name}, fits into no hunk: {shown}"
    return None


def split_body(body: bytes) -> tuple[bytes, bytes]:
    """The message, with all the talk behind its ``---``, and the diff.

    A diff before a line ``---`` that a diff comes behind is a part of the message.
    """
    at, begin, after_rule = 0, None, False
    for line in read_diff(body):
        if line.kind not in (HUNK, DAMAGED):
            if line.text == b"---":
                after_rule = True
            elif BEGINS.match(line.text) and (begin is None or after_rule):
                begin, after_rule = at, False
        at += len(line.text) + 1
    begin = len(body) if begin is None else begin
    return body[:begin], body[begin:]


def quieted(message: bytes) -> bytes:
    """A message whose lines git does not take for a patch: such a line begins with a blank."""
    kinds = list(read_diff(message))
    first = next((n for n, line in enumerate(kinds) if BEGINS.match(line.text)), None)
    if first is None:
        return message
    return b"\n".join(
        b" " + line.text
        if n >= first
        and (line.kind == HUNK or BEGINS.match(line.text) or line.text[:4] in (b"+++ ", b"@@ -"))
        else line.text
        for n, line in enumerate(kinds)
    )


def hidden(mail: bytes, files: Iterable[str]) -> list[str]:
    """``file:line: text`` of what has characters in it that nobody sees.

    Of the diff its added lines and ``files``, the names in it; of the message, in which a
    translator's name may need a joiner, only what turns the direction of writing.
    """
    shown_names = (os.fsencode(name).decode("utf-8", "replace") for name in files)
    found = [f"the name of a file: {escaped(x)}" for x in shown_names if escaped(x) != x]
    begun = False
    for at, line in enumerate(read_diff(mail), 1):
        begun = begun or bool(BEGINS.match(line.text))
        where, text = "", b""
        if line.kind == HUNK and line.text.startswith(b"+"):
            where = f"{escaped(line.path.decode('utf-8', 'replace'))}:{line.number}"
            text = line.text[1:]
        elif not begun and _TURNS.search(line.text.decode("utf-8", "replace")):
            where, text = f"its message, line {at}", line.text
        shown = text.decode("utf-8", "replace")
        if escaped(shown) != shown:
            found.append(f"{where}: {escaped(shown.strip())}")
    return found


def escaped(text: str) -> str:
    """A text with each character that is invisible or moves others written as ``\\uNNNN``."""
    return "".join(c if _visible(c) else c.encode("unicode_escape").decode() for c in text)


def _visible(char: str) -> bool:
    if char in _SHOWN_CONTROLS or " " <= char <= "~":
        return True
    return unicodedata.category(char) not in ("Cf", "Cc") and char not in _BLANK_LETTERS


def _unquoted(name: bytes) -> bytes:
    """A file's name without git's quotes, or the time that diff writes behind it."""
    if name.startswith(b'"'):
        try:
            return bytes(ast.literal_eval(f"b{name.decode('ascii')}"))
        except (SyntaxError, ValueError, TypeError):
            return name
    return name.split(b"\t")[0].rstrip(b"\r")


def _without_prefix(name: bytes) -> bytes:
    """The name less its first folder, as ``patch -p1`` has it."""
    return _unquoted(name).partition(b"/")[2]


def files_of(diff: bytes) -> tuple[str, ...]:
    """Every path that a diff names, old and new, sorted."""
    names = set()
    for line in read_diff(diff):
        if line.kind != HEAD:
            continue
        text = line.text.rstrip(b"\r")
        if both := re.match(rb"diff --git \w/(.+) \w/\1$", text):
            names.add(both[1])
        elif both := re.match(rb"diff --git (%s) (%s)$" % (_WORD, _WORD), text):
            names |= {_without_prefix(both[1]), _without_prefix(both[2])}
        elif one := re.match(rb"(?:rename|copy) (?:from|to) (.+)", text):
            names.add(_unquoted(one[1]))
        elif (one := re.match(rb"(?:---|\+\+\+) (.+)", text)) and one[1][:9] != b"/dev/null":
            names.add(_without_prefix(one[1]))
    return tuple(sorted(name.decode("utf-8", "surrogateescape") for name in names if name))


def foreign(diff: bytes, files: Iterable[str]) -> str | None:
    """What git would take although it writes no such thing, in words; None: there is none.

    A mode by which a file is a folder makes a tree that git itself cannot read, and folders as
    deep as names can be are deeper than programs, ours too, can go down.
    """
    if mode := _MODE.search(diff):
        return f"it has a file of the mode {escaped(mode[1].decode('utf-8', 'replace').strip())}"
    longest = max(map(os.fsencode, files), key=len, default=b"")
    if len(longest) > MAX_NAME:
        return f"it has a file with a name of {len(longest)} bytes"
    return None


def identity(text: bytes) -> str:
    """The id that ``git patch-id`` gives a mail or a diff, whatever its message and its place.

    A plain diff has none, as it lacks ``diff --git``: then a hash of what it does.
    """
    if said := git.text(None, "patch-id", "--stable", stdin=text).split():
        return said[0]
    does = (line.text for line in read_diff(text) if line.kind == HUNK)
    names = "\n".join(files_of(text)).encode("utf-8", "surrogateescape")
    return hashlib.sha1(b"\n".join([names, *does])).hexdigest()


def with_prefixes(diff: bytes, strip: int | None = None) -> bytes:
    """The diff with ``a/`` and ``b/`` before its names, in place of ``strip`` folders.

    None: only where it is without doubt that there is none, as ``diff.noPrefix`` leaves it:
    old and new name are the same.
    """
    result, old = [], b""
    for line in read_diff(diff):
        text = line.text
        git_names = re.match(rb"diff --git (.+) \1$", text.rstrip(b"\r"))
        if line.kind == HEAD and text.startswith((b"--- ", b"+++ ")):
            mark, name = text[:4], text[4:]
            side = b"a/" if mark == b"--- " else b"b/"
            bare = strip
            if strip is None and old and _unquoted(name) in (old, b"/dev/null"):
                bare = 0
            if bare is not None and not name.startswith(b"/dev/null"):
                text = mark + side + b"/".join(name.split(b"/")[bare:])
        elif line.kind == HEAD and text.startswith(b"diff --git ") and git_names:
            old = git_names[1]
            if strip in (None, 0):
                text = b"diff --git a/%s b/%s" % (old, old)
        elif line.kind == HEAD and text.startswith(b"diff "):
            old = b""
        result.append(text)
    return b"\n".join(result)


def changed_lines(text: str) -> dict[str, set[int]]:
    """The lines of each file, as numbered after it, that a ``git diff -U0`` touches.

    Where lines are only taken away, those around the place.
    """
    return {
        file.path: {
            line
            for hunk in file
            for line in range(hunk.target_start, hunk.target_start + (hunk.target_length or 2))
        }
        for file in PatchSet(io.StringIO(text))
        if not file.is_removed_file
    }
