# SPDX-License-Identifier: GPL-2.0-only
"""What the main job runs in its guests: the cases of a series of ours, and workloads."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from harness.change.touched import touched_files
from harness.change.whose import is_foreign
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
            built = self._selftests(session, headers, base)
        if RUN in kinds and settings.run:
            self.tests.append(own_program(settings.run))
        if own is not None and not self.tests:
            return own
        command = settings.run if RUN in kinds else None
        return image_of(session.store, self.tests, built, own, command, settings.guest_files)

    def _selftests(self, session: Session, headers: Path, base: Base) -> dict[str, Path]:
        """Adds the selftests of the area; the folders of their programs."""
        applied, table = session.known.applied, load_workloads()
        if applied is None or not applied.patches:
            return {}
        tree = PatchedTree(applied.repo, applied.commit, base.commit)
        built: dict[str, Path] = {}
        files = touched_files(tree)
        changed = frozenset(file.path for file in files)
        for name, why in selftest_folders(files, table).items():
            jobs = session.settings.jobs
            folder = build_folder(session.store, tree, name, headers, jobs)
            if folder is None:
                continue
            for said in folder.said:
                session.events.note(f"kselftest/{name}: {said}")
            tests = folder.tests(why, table.programs.get(name, ()), table.timeout, changed)
            if tests:
                built[name] = folder.bin
                self.tests += tests
        names = [test.name for test in self.tests]
        # The runner finds a test by its name.
        self.tests = [t for n, t in enumerate(self.tests) if t.name not in names[:n]]
        return built
