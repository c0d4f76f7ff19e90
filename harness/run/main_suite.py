# SPDX-License-Identifier: GPL-2.0-only
"""What the main job runs in its guests: the cases of a series of ours, and workloads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from harness.change.kunit import kunit_files
from harness.change.touched import Touched, touched_files
from harness.core.errors import MachineError
from harness.core.events import Note
from harness.core.settings import CASES, KSELFTEST, KUNIT, RUN, STRESS
from harness.image.programs import Suite
from harness.run.assemble_guest import own_programs
from harness.run.session import Session
from harness.series.apply import PatchedTree
from harness.series.base import Base
from harness.workloads import kunit, stress
from harness.workloads.area_selftests import build_folder
from harness.workloads.choose import (
    by_pattern,
    kinds_of,
    load_workloads,
    own_program,
    selftest_folders,
)
from harness.workloads.regression_selftests import Selftest
from harness.workloads.suite import FILES, checked_folder, image_of


def planned(session: Session, kinds: frozenset[str]) -> Iterator[tuple[str, str, str]]:
    """The workloads that a run would choose, before anything is built: kind, name, and why."""
    table = load_workloads()
    if KSELFTEST in kinds:
        folders = selftest_folders(_files(session), table)
        yield from ((KSELFTEST, f"kselftest/{name}", why) for name, why in folders.items())
    tests: dict[str, list[Selftest]] = {}
    if KUNIT in kinds and (tree := _tree(session)):
        tests[KUNIT] = kunit.tests(kunit_files(tree, _files(session)))
    if STRESS in kinds:
        tests[STRESS] = _stressors(session)
    if RUN in kinds and session.settings.run:
        tests[RUN] = [own_program(session.settings.run)]
    for kind, chosen in tests.items():
        yield from ((kind, f"{test.group}::{test.name}", test.why) for test in chosen)


def _tree(session: Session) -> PatchedTree | None:
    """The tree under test; None where no patch is applied, or none yet."""
    applied = session.known.applied
    return applied if applied and applied.patches else None


def _files(session: Session) -> list[Touched]:
    tree = _tree(session)
    return touched_files(tree) if tree else []


def _stressors(session: Session) -> list[Selftest]:
    table = load_workloads()
    chosen = by_pattern(_files(session), table.stressors)
    return stress.tests(chosen, table.operations, session.settings.seed)


@dataclass
class MainSuite:
    """Makes the programs of a run; ``tests``: its workloads, once they are made."""

    tests: list[Selftest] = field(default_factory=list)

    def programs(self, session: Session, headers: Path, base: Base) -> Suite:
        """The programs of a run, as ``assemble_guest`` asks for them.

        Raises:
            InvocationError: RUN= or GUEST_FILES= makes no sense, or a case does not compile.
        """
        settings, kinds = session.settings, kinds_of(session.settings, session.data)
        own = own_programs(session, headers, base) if CASES in kinds else None
        built: dict[str, Path] = {}
        folders: dict[str, Path] = {}
        if KSELFTEST in kinds:
            built = self._selftests(session, headers)
        if KUNIT in kinds and (tree := _tree(session)):
            self.tests += kunit.tests(kunit_files(tree, _files(session)))
        if STRESS in kinds:
            self._add_stressors(session, folders)
        if RUN in kinds and settings.run:
            self.tests.append(own_program(settings.run))
            if settings.guest_files is not None:
                folders[FILES] = checked_folder(settings.guest_files)
        if own is not None and not self.tests:
            return own
        return image_of(session.store, self.tests, own, built, folders)

    def _add_stressors(self, session: Session, folders: dict[str, Path]) -> None:
        """Adds the stressors of the area; that stress-ng cannot be had is said."""
        if not (tests := _stressors(session)):
            return
        try:
            folders[stress.FOLDER] = stress.fetch(session.store)
        except MachineError as error:
            session.events.emit(Note(f"without stress-ng: {error.what}", "warning"))
            return
        self.tests += tests

    def _selftests(self, session: Session, headers: Path) -> dict[str, Path]:
        """Adds the selftests of the area; the folders of their programs."""
        tree, table, files = _tree(session), load_workloads(), _files(session)
        if tree is None:
            return {}
        changed = frozenset(file.path for file in files)
        built: dict[str, Path] = {}
        for name, why in selftest_folders(files, table).items():
            rows = table.programs.get(name, ())
            listed = [row.selftest(table.timeout) for row in rows]
            names = tuple(dict.fromkeys(test.argv[0] for test in listed))
            jobs = session.settings.jobs
            folder = build_folder(session.store, tree, name, headers, jobs, names, changed)
            if folder is None:
                continue
            for said in folder.said:
                session.events.note(f"kselftest/{name}: {said}")
            if tests := folder.tests(why, listed, table.timeout, changed):
                built[name] = folder.bin
                self.tests += tests
        # The runner finds a test by its name: of two with one name the first is run.
        self.tests = list({test.name: test for test in reversed(self.tests)}.values())[::-1]
        return built
