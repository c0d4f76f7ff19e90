# SPDX-License-Identifier: GPL-2.0-only
"""``TESTS=touched``: the cases that reach what was edited since the last whole run come first.

A whole run that measures coverage leaves in the store which lines each of its cases ran, and the
files of the series as they were. A later run compares the functions of its own tree with those.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.change.touched import touched_files
from harness.change.whose_series import is_foreign
from harness.core.events import CaseFinished
from harness.core.jsondata import read_kept, write_json
from harness.core.settings import TOUCHED, TOUCHED_ONLY, Settings
from harness.core.store import digest
from harness.coverage.changed_lines import is_code
from harness.coverage.result import Measured
from harness.detectors.changed_functions import Function, functions
from harness.image.programs import Case
from harness.run.pipeline import Prepared
from harness.run.session import Session

FOLDER = "reach"  # in the store
LEAST_S = 0.1  # that a case is taken to last, beside which what it may find counts
_COMPILED = ("code", "header")  # kinds of files


@dataclass(frozen=True)
class CaseReach:
    """What a case ran: path -> its lines, as a hexadecimal number with a bit for each."""

    seconds: float
    ran: dict[str, str]

    def lines(self, path: str) -> set[int]:
        """The numbers of the lines of a file."""
        bits = f"{int(self.ran.get(path, '0'), 16):b}"[::-1]
        return {number for number, bit in enumerate(bits) if bit == "1"}


@dataclass(frozen=True)
class KeptReach:
    """What a whole run leaves. ``files``: texts of the files of its series; ``cases``: by ids."""

    files: dict[str, str]
    cases: dict[str, CaseReach]


@dataclass(frozen=True)
class TouchedCases:
    """Those to run first, in order, and why these, in words. ``all``: nothing told them apart."""

    cases: tuple[Case, ...]
    why: str
    all: bool = False


def without_coverage(settings: Settings) -> bool:
    """Whether the verdict on an edit is wanted before its code was found in the kernel."""
    return settings.tests in (TOUCHED, TOUCHED_ONLY)


def _path(session: Session, prepared: Prepared) -> Path:
    whose = "foreign" if is_foreign(session.data) else session.data.folder.name
    key = digest(prepared.base.commit, session.settings.config, whose)
    return session.store.root / FOLDER / f"{key}.json"


def keep_reach(session: Session, prepared: Prepared, measured: Measured) -> None:
    """Leaves in the store what each case of this run ran."""
    tree = prepared.applied
    files = {f.path: tree.read(f.path) for f in touched_files(tree) if f.kind in _COMPILED}
    lines_at: dict[int, list[tuple[str, int]]] = {}
    for name, lines in measured.statements.lines.items():
        for number, addresses in lines.items():
            for address in addresses:
                lines_at.setdefault(address, []).append((name, number))
    cases: dict[str, CaseReach] = {}
    for record in session.results.all(CaseFinished):
        bits: dict[str, int] = {}
        for address in measured.ran.cases.get(record.id, ()):
            for name, number in lines_at[address]:
                bits[name] = bits.get(name, 0) | 1 << number
        if record.id in measured.ran.cases or record.status == "not_applicable":
            ran = {name: f"{number:x}" for name, number in bits.items()}
            cases[str(record.id)] = CaseReach(round(record.seconds, 3), ran)
    path = _path(session, prepared)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, KeptReach(files, cases))


def touched_cases(session: Session, prepared: Prepared, cases: Sequence[Case]) -> TouchedCases:
    """Of the cases those that reach what was edited; all, with the reason, where that is not known.

    A case of which nothing is known is among them.
    """
    kept = read_kept(KeptReach, _path(session, prepared))
    if kept is None:
        return TouchedCases(tuple(cases), "no whole run of this kernel is in the store", all=True)
    tree = prepared.applied
    now = [file.path for file in touched_files(tree) if file.kind in _COMPILED]
    edited: dict[str, set[int]] = {}  # path -> lines as they were
    entered: dict[str, set[int]] = {}
    names: list[str] = []
    for path_of in sorted({*kept.files, *now}):
        edits = edits_of(kept.files.get(path_of), tree.read(path_of))
        if isinstance(edits, str):
            return TouchedCases(tuple(cases), f"{path_of}: {edits}", all=True)
        for function, lines in edits:
            names.append(function.names[0])
            edited.setdefault(path_of, set()).update(lines)
            entered.setdefault(path_of, set()).update(range(function.first, function.last + 1))
    if not names:
        return TouchedCases((), "nothing was edited since the last whole run")
    likely = {}
    for case in cases:
        if (reach := kept.cases.get(str(case.id))) is None:
            likely[case] = float("inf")
            continue
        inside = sum(len(lines & reach.lines(at)) for at, lines in entered.items())
        if inside:
            hit = sum(len(lines & reach.lines(at)) for at, lines in edited.items())
            likely[case] = (hit + inside / 1000) / max(reach.seconds, LEAST_S)
    first = sorted(likely, key=lambda case: -likely[case])
    return TouchedCases(tuple(first), f"edited: {', '.join(names)}")


def edits_of(before: str | None, now: str) -> list[tuple[Function, set[int]]] | str:
    """The functions of a file that were edited, as they were, each with the lines at the edits.

    A function that is new has no reach of its own: whoever calls it was edited too. In words
    why the functions do not tell: the file is new, or something outside of them was edited.
    """
    if before is None:
        return "it was not watched in the last whole run"
    if before == now:
        return []
    old, new = functions(before), functions(now)
    if _outside(before, old) != _outside(now, new):
        return "it was edited outside of functions"
    # One name may stand twice, where #ifdef chooses.
    bodies: dict[str, list[list[str]]] = {}
    for function in new:
        bodies.setdefault(function.names[0], []).append(_text(now, function))
    found = []
    for function in old:
        was, texts = _text(before, function), bodies.get(function.names[0], [])
        if was in texts:
            texts.remove(was)
        else:
            found.append((function, set(_lines_at(function, was, texts.pop(0) if texts else []))))
    return found


def _text(file: str, function: Function) -> list[str]:
    return file.splitlines()[function.first - 1 : function.last]


def _outside(file: str, known: Sequence[Function]) -> list[str]:
    """The code of a file that is in no function."""
    lines = file.splitlines()
    for function in known:
        lines[function.first - 1 : function.last] = [""] * (function.last - function.first + 1)
    return [line.strip() for line in lines if is_code(line)]


def _lines_at(function: Function, was: Sequence[str], text: Sequence[str]) -> Iterator[int]:
    """The old lines that are gone; where lines were added, both neighbours."""
    same = difflib.SequenceMatcher(a=was, b=text, autojunk=False)
    for tag, first, last, _, _ in same.get_opcodes():
        if tag == "insert":
            first, last = first - 1, last + 1
        if tag != "equal":
            yield from range(function.first + first, function.first + last)
