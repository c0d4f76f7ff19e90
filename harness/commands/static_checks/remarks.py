# SPDX-License-Identifier: GPL-2.0-only
"""Remarks of the static checkers: read from their output, compared, and justified.

Pure but for reading ``justified.yaml``, the list of remarks that a series keeps on
purpose, each with the reason in one line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from harness.build.make_log import Warned, new_warnings
from harness.core.errors import InternalError

LEFT = "statics.json"  # what a run leaves beside its results.json
TOOLS = ("checkpatch", "sparse", "kernel-doc")
JUSTIFIED = "justified.yaml"
LEFT = "statics.json"  # what a run of the checkers leaves beside its results.json
OpenRemarks = dict[int, dict[str, tuple[str, ...]]]  # patch, from 1 -> tool that ran -> remarks

_CHECKPATCH = re.compile(
    r"^(?:(?P<file>[^:\s]*):(?:(?P<line>\d+):)?)?\s*(?P<text>(?:ERROR|WARNING|CHECK):[A-Z0-9_]+:.*)$"
)
_OTHERS = re.compile(
    r"^(?P<file>[^\s:]+):(?P<line>\d+):(?:\d+:)? (?P<text>(?:warning|error|info):.*)$"
)
_GCC = re.compile(r"\[-W[\w=+-]+\]$")  # the compiler's own, which the build judges
_LOOKED_AT = re.compile(r"^  CHECK +(?P<path>\S+)$")


@dataclass(frozen=True)
class Remark:
    """What a tool says of a line. ``why``: the reason to keep it, '' where there is none.

    ``file`` is relative to the tree, '' for the patch's own text; ``line`` 0 where there
    is none.
    """

    file: str
    line: int
    text: str
    why: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: " if self.file and self.line else ""
        return f"{place}{self.text}"


@dataclass(frozen=True)
class PatchRemarks:
    """What the tools say of one patch, ``number`` from 1; of a tool that did not run, nothing.

    ``unchecked``: C files that the patch touches and sparse has not seen.
    """

    number: int
    subject: str
    tools: dict[str, tuple[Remark, ...]] = field(default_factory=dict)
    unchecked: tuple[str, ...] = ()

    def open(self, tool: str) -> tuple[Remark, ...]:
        """The remarks of a tool that nothing justifies."""
        return tuple(r for r in self.tools.get(tool, ()) if not r.why)

    def verdict(self, tool: str) -> str:
        """'' where the tool did not run, else 'pass' or 'fail'."""
        if tool not in self.tools:
            return ""
        return "fail" if self.open(tool) else "pass"


@dataclass(frozen=True)
class Statics:
    """All patches in order; ``stale``: the entries of ``justified.yaml`` that match nothing."""

    patches: tuple[PatchRemarks, ...]
    stale: tuple[Excuse, ...] = ()


@dataclass(frozen=True)
class Excuse:
    """One entry of ``justified.yaml``: ``patch`` from 1, ``pattern`` searched in the remark."""

    tool: str
    patch: int
    pattern: str
    why: str

    def __str__(self) -> str:
        return f"{JUSTIFIED}: {self.tool}, patch {self.patch}: {self.pattern!r} matches no remark"


def read_checkpatch(lines: Iterable[str], mail: str) -> list[Warned]:
    """The remarks of ``checkpatch.pl --terse --showfile``; ``mail``: the file it was given."""
    found = []
    for line in lines:
        if match := _CHECKPATCH.match(line):
            file, number = match["file"] or "", int(match["line"] or 0)
            if file == mail:
                file, number = "", 0
            found.append(Warned(file, number, match["text"]))
    return found


def read_others(lines: Iterable[str], folders: Sequence[str]) -> list[Warned]:
    """The remarks of sparse or kernel-doc, each once; ``folders`` are cut off the paths."""
    found: dict[Warned, None] = {}
    for line in lines:
        match = _OTHERS.match(line)
        if match is None or _GCC.search(line):
            continue
        path = match["file"]
        for folder in folders:
            path = path.removeprefix(f"{folder}/")
        found[Warned(path.removeprefix("./"), int(match["line"]), match["text"])] = None
    return list(found)


def looked_at(lines: Iterable[str], source: str) -> frozenset[str]:
    """The C files that ``make C=2`` handed to sparse."""
    found = [m["path"].removeprefix(f"{source}/") for m in map(_LOOKED_AT.match, lines) if m]
    return frozenset(found)


def fresh(here: Iterable[Warned], before: Iterable[Warned]) -> tuple[Remark, ...]:
    """The remarks that the tree before did not have; line numbers do not matter."""
    return tuple(Remark(w.file, w.line, w.text) for w in new_warnings(here, before))


def load_excuses(folder: Path, line: str) -> tuple[Excuse, ...]:
    """The entries of ``folder/justified.yaml`` for a kernel line; none without the file.

    Raises:
        InternalError: an entry is incomplete, or names a tool that there is not.
    """
    path = folder / JUSTIFIED
    if not path.is_file():
        return ()
    found = []
    rows: list[dict[str, Any]] = yaml.safe_load(path.read_text("utf-8")) or []
    for row in rows:
        missing = {"tool", "patch", "pattern", "why"} - row.keys()
        if missing or row["tool"] not in TOOLS:
            raise InternalError(f"{path}: no such tool, or not complete: {row}")
        if line in map(str, row.get("kernels", [line])):
            found.append(Excuse(row["tool"], row["patch"], row["pattern"], row["why"]))
    return tuple(found)


def justify(patches: Sequence[PatchRemarks], excuses: Sequence[Excuse]) -> Statics:
    """Gives each remark its reason where there is one.

    An entry is stale if its tool has looked at its patch and said nothing that matches.
    """
    used: set[Excuse] = set()

    def judged(remark: Remark, tool: str, number: int) -> Remark:
        for excuse in excuses:
            applies = (excuse.tool, excuse.patch) == (tool, number)
            if applies and re.search(excuse.pattern, str(remark)):
                used.add(excuse)
                return replace(remark, why=excuse.why)
        return remark

    done = tuple(
        replace(
            patch,
            tools={
                tool: tuple(judged(r, tool, patch.number) for r in remarks)
                for tool, remarks in patch.tools.items()
            },
        )
        for patch in patches
    )
    ran = {(tool, patch.number) for patch in patches for tool in patch.tools}
    stale = tuple(e for e in excuses if e not in used and (e.tool, e.patch) in ran)
    return Statics(done, stale)


def open_remarks(out: Path) -> OpenRemarks:
    """What nothing justifies, as a run in ``out`` left it; nothing where it left nothing."""
    path = out / LEFT
    if not path.is_file():
        return {}
    return {
        patch["number"]: {tool: tuple(said["open"]) for tool, said in patch["tools"].items()}
        for patch in json.loads(path.read_text())["patches"]
    }
