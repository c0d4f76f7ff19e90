# SPDX-License-Identifier: GPL-2.0-only
"""Remarks of the static checkers: read from their output, and justified.

Pure but for reading ``justified.yaml``, the list of remarks that a series keeps on
purpose, each with the reason in one line, and what an earlier run has left.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import yaml

from harness.build.make import Warned
from harness.core.errors import InternalError

TOOLS = ("checkpatch", "sparse", "kernel-doc")
JUSTIFIED = "justified.yaml"
LEFT = "statics.json"  # what a run of the checkers leaves beside its results.json
OpenRemarks = dict[int, dict[str, tuple[str, ...]]]  # patch, from 1 -> tool that ran -> remarks

# checkpatch --terse --showfile --show-types names a type, and not always a place.
_REMARK = re.compile(
    r"^(?:(?P<file>[^\s:]*):(?:(?P<line>\d+):(?:\d+:)?)?)?\s*"
    r"(?P<text>(?:(?P<checkpatch>(?:ERROR|WARNING|CHECK):[A-Z0-9_]+)|warning|error|info):.*)$"
)
_GCC = re.compile(r"\[-W[\w=+-]+\]$")  # the compiler's own, which the build judges


class Remark(NamedTuple):
    """What a tool says of a line. ``why``: the reason to keep it, '' where there is none.

    ``file`` is relative to the tree, '' for the patch's own text.
    """

    file: str
    line: int
    text: str
    why: str = ""

    def same(self) -> tuple[str, str]:
        """What stays when lines above it come and go."""
        return Warned(self.file, self.line, self.text).same()

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: " if self.file and self.line else ""
        return f"{place}{self.text}"


@dataclass(frozen=True)
class Waiver:
    """One entry of ``justified.yaml``: ``patch`` from 1, ``pattern`` searched in the remark."""

    tool: str
    patch: int
    pattern: str
    why: str

    def fits(self, remark: Remark) -> bool:
        """Whether it is about that remark, of its own tool and patch."""
        return re.search(self.pattern, str(remark)) is not None

    def __str__(self) -> str:
        return f"{JUSTIFIED}: {self.tool}, patch {self.patch}: {self.pattern!r} matches no remark"


@dataclass(frozen=True)
class PatchRemarks:
    """What the tools say of one patch, ``number`` from 1.

    ``unchecked``: C files that the patch touches and sparse has not seen; ``stale``: the
    entries of ``justified.yaml`` for this patch that match nothing.
    """

    number: int
    subject: str
    tools: dict[str, tuple[Remark, ...]]
    unchecked: tuple[str, ...] = ()
    stale: tuple[Waiver, ...] = ()

    def open(self, tool: str) -> list[Remark]:
        """The remarks of a tool that nothing justifies."""
        return [remark for remark in self.tools[tool] if not remark.why]

    def justified(self, waivers: Sequence[Waiver]) -> PatchRemarks:
        """With the reason of each remark that has one."""
        own = [w for w in waivers if w.patch == self.number and w.tool in self.tools]
        tools = {
            tool: tuple(
                r._replace(why=next((w.why for w in own if w.tool == tool and w.fits(r)), ""))
                for r in remarks
            )
            for tool, remarks in self.tools.items()
        }
        stale = tuple(w for w in own if not any(map(w.fits, self.tools[w.tool])))
        return replace(self, tools=tools, stale=stale)


def read_remarks(lines: Iterable[str], folders: Sequence[str] = (), mail: str = "") -> list[Remark]:
    """The remarks of checkpatch, sparse or kernel-doc, each once.

    Args:
        folders: are cut off the paths.
        mail: the file that checkpatch was given.
    """
    found: dict[Remark, None] = {}
    for match in filter(None, map(_REMARK.match, lines)):
        if _GCC.search(match[0]) or not (match["line"] or match["checkpatch"]):
            continue
        path, line = match["file"] or "", int(match["line"] or 0)
        if path == mail:
            path, line = "", 0
        for folder in folders:
            path = path.removeprefix(f"{folder}/")
        found[Remark(path.removeprefix("./"), line, match["text"])] = None
    return list(found)


def load_waivers(folder: Path, line: str) -> tuple[Waiver, ...]:
    """The entries of ``folder/justified.yaml`` for a kernel line; none without the file.

    Raises:
        InternalError: an entry is incomplete, or names a tool that there is not.
    """
    path = folder / JUSTIFIED
    rows = yaml.safe_load(path.read_text("utf-8")) or [] if path.is_file() else []
    found = []
    for row in rows:
        lines = map(str, row.pop("kernels", [line]))
        try:
            waiver = Waiver(**row)
        except TypeError:
            waiver = None
        if waiver is None or waiver.tool not in TOOLS:
            raise InternalError(f"{path}: no such tool, or not complete: {row}")
        if line in lines:
            found.append(waiver)
    return tuple(found)


def open_remarks(out: Path) -> OpenRemarks:
    """What nothing justifies, as a run in ``out`` left it; nothing where it left nothing."""
    path = out / LEFT
    if not path.is_file():
        return {}
    return {
        patch["number"]: {tool: tuple(said["open"]) for tool, said in patch["tools"].items()}
        for patch in json.loads(path.read_text())["patches"]
    }
