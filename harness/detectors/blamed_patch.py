# SPDX-License-Identifier: GPL-2.0-only
"""Which patch of the series a report of the kernel leads to: by the lines that its stack names."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.core import git
from harness.core.events import SplatBlamed
from harness.series.apply import PatchedTree

# 'at mm/mincore.c:233 mincore+0x...' as printed, '(mm/mincore.c:233 (discriminator 1))' decoded.
_PLACE = re.compile(r"(?<![\w/.])(?:\./)?(?P<path>[\w][\w/.+-]*\.(?:c|h|S|rs)):(?P<line>\d+)\b")


def places(text: str) -> Iterator[tuple[str, int]]:
    """The files and lines that a report names, in its order, each once."""
    found = ((match["path"], int(match["line"])) for match in _PLACE.finditer(text))
    yield from dict.fromkeys(found)


def blamed(tree: PatchedTree, splat: int, text: str) -> SplatBlamed | None:
    """The patch that has the first line of the series that a report names; None for no line.

    Args:
        splat: the report's id.
        text: of the report, with source lines where it was decoded.
    """
    commits, touched = tree.commits(), set(tree.diff("--name-only").splitlines())
    for path, line in places(text):
        if path not in touched or not 0 < line <= len(tree.read(path).splitlines()):
            continue
        words = ("blame", "--porcelain", "-L", f"{line},{line}", f"{tree.base}..{tree.commit}")
        commit = git.text(tree.repo, *words, "--", path).split()[0]
        if commit in commits:
            number = commits.index(commit) + 1
            subject = git.text(tree.repo, "log", "-1", "--format=%s", commit).strip()
            return SplatBlamed(splat, number, subject, f"{path}:{line}")
    return None
