# SPDX-License-Identifier: GPL-2.0-only
"""Why a patch does not apply: which file, which hunk, and what the tree has there."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from unidiff.patch import Hunk

from harness.core import git
from harness.core.errors import InvocationError
from harness.series.diffs import read_diff
from harness.series.patches import Patch

AROUND = 2  # lines of the tree shown before and after the place
MOST_LINES = 16  # of the tree


def _diff_of(text: bytes) -> str:
    """The patch part of a mail; enough for one that git could take apart."""
    found = re.search(rb"(?m)^(diff --git |--- )", text)
    body = text[found.start() :] if found else b""
    return re.split(r"(?m)^-- $", body.decode("utf-8", "replace"))[0]


def _old_lines(hunk: Hunk) -> list[str]:
    """What the hunk expects to find."""
    return [str(line.value).rstrip("\n") for line in hunk if line.is_context or line.is_removed]


def find(wanted: list[str], have: list[str], near: int) -> tuple[int, int]:
    """Where ``wanted`` matches ``have`` best: (index, number of lines that agree).

    The place nearest to ``near`` (an index) wins where several are as good.
    """
    best = (0, -1, 0)
    width = max(1, len(wanted))
    lines = set(wanted)
    for at in range(max(1, len(have) - width + 1)):
        window = have[at : at + width]
        # Cheap bound first: most windows share nothing with the hunk.
        if sum(line in lines for line in window if line.strip()) <= max(0, best[0] - 3):
            continue
        same = sum(a == b for a, b in zip(wanted, window, strict=False))
        if same < width:
            blocks = difflib.SequenceMatcher(None, wanted, window, autojunk=False)
            same = max(same, sum(block.size for block in blocks.get_matching_blocks()))
        score = (same, -abs(at - near), at)
        if score > best:
            best = score
    return best[2], best[0]


def _hunk_report(number: int, hunk: Hunk, have: list[str], path: str) -> list[str]:
    """What is there instead; nothing where the old lines are in the file, at any offset."""
    wanted = _old_lines(hunk)
    at, same = find(wanted, have, hunk.source_start - 1)
    if same == len(wanted):
        return []
    head = (
        f"@@ -{hunk.source_start},{hunk.source_length} "
        f"+{hunk.target_start},{hunk.target_length} @@ {hunk.section_header}"
    ).rstrip()
    report = [f"{path}: hunk {number}: {head}"]
    if same * 3 < len(wanted):
        at = max(0, min(hunk.source_start - 1, len(have) - 1))
        report.append("nothing in the tree's file resembles what the hunk expects; at that line:")
    else:
        report.append(f"the closest place is line {at + 1} ({same} of {len(wanted)} lines agree)")
    window = have[at : at + len(wanted)]
    missing = [line for line in wanted if line not in window]
    report += [f"  the hunk expects: {line}" for line in missing[:4]]
    first = max(0, at - AROUND)
    last = min(len(have), at + len(wanted) + AROUND, first + MOST_LINES)
    report.append("  the tree has:")
    report += [f"  {n + 1:6d}  {have[n]}" for n in range(first, last)]
    return report


def explain(repo: Path, commit: str, patch: Patch, said: str) -> str:
    """What stands against applying ``patch`` to ``commit``; ``said`` is git's own output."""
    try:
        files = read_diff(_diff_of(patch.text))
    except InvocationError as error:
        corrupt = re.search(r"corrupt patch at .*?line (\d+)", said) or re.search(
            r"corrupt patch at .*", said
        )
        return f"the patch itself is damaged: {corrupt.group(0) if corrupt else error.what}"
    for file in files:
        path = str(file.path)
        source = path if file.is_added_file else str(file.source_file).split("/", 1)[-1]
        text = git.file_text(repo, commit, source)
        have = None if text is None else text.rstrip("\n").split("\n")
        if file.is_added_file:
            if have is not None:
                return f"{path}: the patch creates this file, and the tree has it already"
            continue
        if have is None:
            return f"{source}: the tree has no such file"
        for number, hunk in enumerate(file, 1):
            if report := _hunk_report(number, hunk, have, source):
                return "\n".join(report)
    lines = [line for line in said.splitlines() if not line.startswith(("hint:", "Applying"))]
    return "\n".join(["git am said:", *(f"  {line}" for line in lines[-8:])])
