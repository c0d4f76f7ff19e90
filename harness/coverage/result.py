# SPDX-License-Identifier: GPL-2.0-only
"""What ran of a change: its functions and lines, and the diff of each patch with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from harness.build.make import APART
from harness.core import events as ev
from harness.core import git
from harness.core.jsondata import read_yaml
from harness.coverage.changed_lines import AddedLine, ChangedFile
from harness.coverage.line_addresses import Statements
from harness.coverage.marks import RanCode
from harness.detectors.changed_functions import Function
from harness.report.change import DiffRow, LineState, PatchDiff
from harness.series.apply import PatchedTree
from harness.series.diff import HUNK, read_diff

ARCH = "arch/x86/"  # whose code runs here
SUFFIXES = (".c", ".h")
EXCUSES = "coverage.yaml"  # of a project, beside its series.yaml
NOT_COMPILED = "not compiled in this configuration"
NOT_FOUND = "its code was not found in the kernel"


@dataclass(frozen=True)
class Measured:
    """``files`` of the change, where their code is, and what of it has run.

    ``otherwise``: names of functions that need not be entered, each with the reason.
    """

    files: Sequence[ChangedFile]
    statements: Statements
    ran: RanCode
    otherwise: Mapping[str, str] = field(default_factory=dict)

    def _state(self, path: str, line: AddedLine) -> tuple[LineState, str]:
        addresses = self.statements.lines.get(path, {}).get(line.number)
        if not addresses:
            return "no_code", ""
        first = self.ran.first_of(addresses)
        return ("not_run", "") if first is None else ("run", str(first[1] or ""))

    def coverage(self, *, whole: bool, least: int | None) -> ev.ChangeCoverage:
        """The figures; ``whole`` and ``least`` as the event has them."""
        functions, missed, excused = 0, [], []
        for file in self.files:
            for function in self._functions(file):
                functions += 1
                place = f"{file.path}:{function.first} {function.names[0]}"
                if self._entered(file, function):
                    continue
                if self.not_compiled(file):
                    lost = f"{file.path[:-2]}.o" in self.statements.missing
                    missed.append(f"{place} ({NOT_FOUND if lost else NOT_COMPILED})")
                elif why := self.otherwise.get(function.names[0]):
                    excused.append(f"{place}: {why}")
                else:
                    missed.append(place)
        states = [
            (f.path, line, self._state(f.path, line)[0]) for f in self.files for line in f.lines
        ]
        idle = [(path, line) for path, line, state in states if state == "not_run"]
        run = sum(state == "run" for _, _, state in states)
        return ev.ChangeCoverage(
            functions - len(missed) - len(excused),
            functions,
            run,
            run + len(idle),
            tuple(missed),
            tuple(f"{path}:{line.number}: {line.text.strip()}" for path, line in idle),
            tuple(excused),
            whole,
            least,
            self._run_by(),
        )

    def _run_by(self) -> tuple[str, ...]:
        """The cases that ran a changed line, or entered a function that lost some."""
        addresses: set[int] = set()
        for file in self.files:
            code = self.statements.lines.get(file.path, {})
            numbers = {line.number for line in file.lines}
            for function in file.functions:
                if function.names[0] in file.cut:
                    numbers.update(range(function.first, function.last + 1))
            addresses.update(at for number in numbers for at in code.get(number, ()))
        ran = self.ran.cases.items()
        return tuple(str(case) for case, marked in ran if not addresses.isdisjoint(marked))

    def _functions(self, file: ChangedFile) -> list[Function]:
        """Those that are to be entered: of which code changed, and is in this kernel or should be.

        A function that the configuration leaves out of a file that is compiled, and an inline
        one that nobody uses, has no code. A whole file that is not compiled is another matter,
        unless it is another architecture's.
        """
        if self.not_compiled(file):
            return [f for f in file.functions if not _other_arch(file.path)]
        lines = self.statements.lines.get(file.path, {})
        with_code = {line.number for line in file.lines if line.number in lines}
        found = []
        for function in file.functions:
            span = range(function.first, function.last + 1)
            changed = function.names[0] in file.cut or not with_code.isdisjoint(span)
            if changed and any(number in span for number in lines):
                found.append(function)
        return found

    def _entered(self, file: ChangedFile, function: Function) -> bool:
        lines = self.statements.lines.get(file.path, {})
        span = range(function.first, function.last + 1)
        return any(self.ran.first_of(at) for number, at in lines.items() if number in span)

    def not_compiled(self, file: ChangedFile) -> bool:
        """Whether nothing of a C file is in this kernel."""
        return file.path.endswith(".c") and file.path not in self.statements.lines

    def patches_run(self, case: ev.CaseId) -> tuple[str, tuple[int, ...]]:
        """The patches, from 0, of whose lines a case ran some, and in words when it did.

        Of a case that ran none, as one that tells what a KUnit suite said at boot, those of
        which lines ran outside of all cases.
        """
        when, addresses = "it ran", self.ran.cases.get(case, set())
        if not addresses:
            when = "at boot ran"
            addresses = {address for address, (_, by) in self.ran.first.items() if by is None}
        found = set()
        for file in self.files:
            code = self.statements.lines.get(file.path, {})
            for line in file.lines:
                if not addresses.isdisjoint(code.get(line.number, ())):
                    found.add(line.patch)
        return when, tuple(sorted(found))

    def diffs(self, tree: PatchedTree, subjects: Sequence[str]) -> list[PatchDiff]:
        """The diff of each patch, each added line with what became of it."""
        states = {
            (line.patch, file.path, line.first): self._state(file.path, line)
            for file in self.files
            for line in file.lines
        }
        found = []
        for number, (commit, subject) in enumerate(zip(tree.commits(), subjects, strict=True)):
            rows: list[DiffRow] = []
            text = git.raw(tree.repo, "diff", "--no-renames", f"{commit}^", commit).rstrip(b"\n")
            for line in read_diff(text):
                state: tuple[LineState, str] = ("", "")
                path = line.path.decode("utf-8", "replace")
                added = line.kind == HUNK and line.text.startswith(b"+")
                if added and PurePath(path).suffix in SUFFIXES and not path.startswith(APART):
                    state = states.get((number, path, line.number), ("later", ""))
                shown = line.text.decode("utf-8", "replace")
                rows.append({"text": shown, "state": state[0], "case": state[1]})
            run = sum(row["state"] == "run" for row in rows)
            idle = sum(row["state"] == "not_run" for row in rows)
            found.append(PatchDiff(subject=subject, lines_run=run, lines=run + idle, rows=rows))
        return found


@dataclass(frozen=True)
class ExcuseTable:
    """What ``coverage.yaml`` holds: function -> what enters it instead of a case."""

    entered_otherwise: dict[str, str]


def entered_otherwise(project: Path) -> dict[str, str]:
    """The functions that a project's ``coverage.yaml`` excuses, with the reasons; none without.

    Raises InvocationError: the file makes no sense.
    """
    none = ExcuseTable({})
    found = read_yaml(ExcuseTable, project / EXCUSES, "see docs/coverage.md", none)
    return found.entered_otherwise


def _other_arch(path: str) -> bool:
    return path.startswith("arch/") and not path.startswith(ARCH)
