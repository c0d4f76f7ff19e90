# SPDX-License-Identifier: GPL-2.0-only
"""What the main job runs in its guests: the cases of a series of ours, and workloads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from harness.change.touched import Touched, touched_files
from harness.change.whose import is_foreign
from harness.core.events import BaseKnown
from harness.core.settings import CASES, KSELFTEST, RUN
from harness.image.programs import Suite
from harness.run.assemble_guest import own_programs
from harness.run.session import Session
from harness.series.apply import PatchedTree
from harness.series.base import Base
from harness.workloads.choose import load_workloads, own_program, selftest_folders
from harness.workloads.kselftests import build_folder
from harness.workloads.selftests import Selftest
from harness.workloads.suite import image_of


def selected(session: Session) -> frozenset[str]:
    """The kinds of workloads of this run: WORKLOADS=, else those that suit the series."""
    settings = session.settings
    if settings.workloads:
        return frozenset(settings.workloads)
    kinds = {RUN} if settings.run else set()
    return frozenset(kinds | ({KSELFTEST} if is_foreign(session.data) else {CASES}))


def planned(session: Session, kinds: frozenset[str]) -> Iterator[tuple[str, str]]:
    """The workloads that a run would choose, before anything is built: each name, and why."""
    if KSELFTEST in kinds:
        folders = selftest_folders(_files(session), load_workloads())
        yield from ((f"kselftest/{name}", why) for name, why in folders.items())
    if RUN in kinds and session.settings.run:
        test = own_program(session.settings.run)
        yield f"{test.group}::{test.name}", test.why


def _tree(session: Session) -> PatchedTree | None:
    """The tree under test; None where no patch is applied, or none yet."""
    known, events = session.known, session.results
    base = events.last(BaseKnown)
    if known.applied is None or not known.applied.patches or base is None:
        return None
    return PatchedTree(known.applied.repo, known.applied.commit, base.commit)


def _files(session: Session) -> list[Touched]:
    tree = _tree(session)
    return touched_files(tree) if tree else []


@dataclass
class MainSuite:
    """Makes the programs of a run; ``tests``: its workloads, once they are made."""

    tests: list[Selftest] = field(default_factory=list)

    def programs(self, session: Session, headers: Path, base: Base) -> Suite:
        """The programs of a run, as ``assemble_guest`` asks for them.

        Raises:
            InvocationError: RUN= or GUEST_FILES= makes no sense, or a case does not compile.
        """
        settings, kinds = session.settings, selected(session)
        foreign = is_foreign(session.data)
        own = own_programs(session, headers, base) if CASES in kinds and not foreign else None
        built: dict[str, Path] = {}
        if KSELFTEST in kinds:
            built = self._selftests(session, headers)
        if RUN in kinds and settings.run:
            self.tests.append(own_program(settings.run))
        if own is not None and not self.tests:
            return own
        command = settings.run if RUN in kinds else None
        return image_of(session.store, self.tests, built, own, command, settings.guest_files)

    def _selftests(self, session: Session, headers: Path) -> dict[str, Path]:
        """Adds the selftests of the area; the folders of their programs."""
        tree, table, files = _tree(session), load_workloads(), _files(session)
        if tree is None:
            return {}
        changed = frozenset(file.path for file in files)
        built: dict[str, Path] = {}
        for name, why in selftest_folders(files, table).items():
            folder = build_folder(session.store, tree, name, headers, session.settings.jobs)
            if folder is None:
                continue
            for said in folder.said:
                session.events.note(f"kselftest/{name}: {said}")
            listed = table.programs.get(name, ())
            if tests := folder.tests(why, listed, table.timeout, changed):
                built[name] = folder.bin
                self.tests += tests
        # The runner finds a test by its name: of two with one name the first is run.
        self.tests = list({test.name: test for test in reversed(self.tests)}.values())[::-1]
        return built
