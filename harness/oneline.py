# SPDX-License-Identifier: GPL-2.0-only
"""A one-line change in the body of a function that a series adds or changes.

What a developer does between two runs of ``make test-kernel``; the benchmark
does it to the text of the patches, so that the whole way is measured: apply,
check out, compile, link, boot.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.errors import InternalError

_HUNK = re.compile(r"^@@ -(\d+(?:,\d+)?) \+(\d+)(?:,(\d+))? @@(.*)$")
# Two added statements of one indentation: between them a third one fits.
_STATEMENT = re.compile(r"^\+(\t+)[^\s/*#].*;$")


def _place(lines: Sequence[str]) -> tuple[int, int, str] | None:
    """(index of the hunk header, index to insert at, indentation) in the last C file possible."""
    found = None
    in_c_file, header = False, -1
    for index, line in enumerate(lines):
        if line.startswith("+++ "):
            in_c_file, header = line.endswith(".c"), -1
        elif _HUNK.match(line):
            header = index
        elif in_c_file and header >= 0 and found is None:
            first, second = _STATEMENT.match(line), _STATEMENT.match(_at(lines, index + 1))
            # A declaration must not get a statement before it: both lines are calls
            # or assignments when neither begins with two words.
            if first and second and first[1] == second[1] and not _declares(_at(lines, index + 1)):
                found = (header, index + 1, first[1])
    return found


def _at(lines: Sequence[str], index: int) -> str:
    return lines[index] if index < len(lines) else ""


def _declares(line: str) -> bool:
    return re.match(r"^\+\t+(?:struct |unsigned |const )?\w+ \**\w+(?:\[|,| =|;)", line) is not None


def change_one_line(patch: str, mark: str) -> str | None:
    """The patch with one statement more in an added block of a C file; None if it has none.

    Args:
        patch: a patch as git format-patch writes it.
        mark: makes this change different from another one.
    """
    lines = patch.split("\n")
    place = _place(lines)
    if place is None:
        return None
    header, at, indent = place
    lines.insert(at, f"+{indent}barrier(); /* {mark} */")
    match = _HUNK.match(lines[header])
    if match is None:
        raise InternalError("a hunk header that matched does not match any more")
    count = int(match[3] or 1) + 1
    lines[header] = f"@@ -{match[1]} +{match[2]},{count} @@{match[4]}"
    return "\n".join(lines)


def change_series(patches: Sequence[str], mark: str) -> list[str]:
    """The texts of a series with one line changed in the last patch that has a place for it.

    Raises:
        InternalError: no patch adds two statements in a row to a C file.
    """
    for index in reversed(range(len(patches))):
        changed = change_one_line(patches[index], mark)
        if changed is not None:
            return [*patches[:index], changed, *patches[index + 1 :]]
    raise InternalError("no patch of the series adds two statements in a row to a C file")
