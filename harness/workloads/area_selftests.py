# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's own selftests of an area, built from the patched tree: a folder's C programs.

Which folder a file of the kernel has, ``workloads.yaml`` says; a folder that the series itself
changes is run as well. Its own Makefile builds the programs, statically, so that they need
nothing of the guest. What cannot be built here is told and left out.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.build.toolchain import environment
from harness.core import proc
from harness.core.sandbox import Inside
from harness.core.store import Store, file_digest
from harness.series.apply import PatchedTree
from harness.workloads.regression_selftests import Selftest
from harness.workloads.selftest_sources import (
    SELFTESTS,
    answer,
    object_of,
    question,
    selftest_sources,
    write_sources,
)

TELLING = ("error", "Error", "cannot", "No rule")  # of what make and the compiler say
MAX_SAID = 3  # lines of a compiler, of a folder


@dataclass(frozen=True)
class BuiltFolder:
    """``programs``: those that were built, in ``bin``; ``said``: of the others, a line each."""

    name: str
    bin: Path
    programs: tuple[str, ...]
    said: tuple[str, ...]

    def tests(
        self, why: str, listed: Sequence[Selftest], timeout: float, changed: frozenset[str]
    ) -> list[Selftest]:
        """A test for each program, or those that are ``listed`` of this folder.

        Args:
            why: the folder was chosen.
            timeout: seconds, of a test that says nothing of it.
            changed: files of the tree that the series changes.
        """
        group = f"kselftest/{self.name}"
        at = f"{SELFTESTS}/{self.name}"
        own = {name for name in self.programs if f"{at}/{name}.c" in changed}
        if listed:
            named = {test.argv[0] for test in listed}
            tests = [test for test in listed if test.argv[0] in self.programs]
            tests += [Selftest(name, (name,), timeout) for name in sorted(own - named)]
        else:
            tests = [Selftest(name, (name,), timeout) for name in self.programs]
        return [
            replace(test, argv=(f"{self.name}/{test.argv[0]}", *test.argv[1:]), group=group,
                    why=why, own=test.argv[0] in own)
            for test in tests
        ]  # fmt: skip


def build_folder(
    store: Store,
    tree: PatchedTree,
    folder: str,
    headers: Path,
    jobs: int,
    listed: Sequence[str] = (),
    changed: frozenset[str] = frozenset(),
) -> BuiltFolder | None:
    """The programs of one folder below tools/testing/selftests; None where the tree has none.

    Args:
        headers: the installed uapi headers of the patched tree.
        listed: programs to build in place of those that the Makefile counts as tests; one that
            this kernel line does not have is left out.
        changed: files of the tree that the series changes: their programs are built in any case.
    """
    if not object_of(tree.repo, tree.commit, f"{SELFTESTS}/{folder}"):
        return None
    source_of = f"{SELFTESTS}/{folder}/{{}}.c".format
    listed = [name for name in listed if object_of(tree.repo, tree.commit, source_of(name))]
    own = sorted(path for path in changed if path.startswith(f"{SELFTESTS}/{folder}/"))
    sources = selftest_sources(tree.repo, tree.commit)
    inputs = folder, sorted(listed), own, sources, file_digest(headers), proc.version("gcc")

    def make(draft: Path) -> None:
        at = write_sources(tree.repo, tree.commit, folder, draft / "source")
        out = draft / "bin"
        out.mkdir()
        argv = ("make", "-C", str(at), f"OUTPUT={out}", f"KHDR_INCLUDES=-isystem {headers}")
        # In the environment, so that a Makefile's own += adds to them.
        env = {**environment(), "CFLAGS": "-static", "LDFLAGS": "-static"}
        box = Inside(reads=(headers,), writes=(draft,))
        asked = proc.run((*argv, *question("TEST_GEN_PROGS")), env=env, inside=box)
        names = answer(asked.output) if asked.returncode == 0 else []
        if names and listed:
            names = [*listed, *(name for name in names if source_of(name) in own)]
        said: list[str] = [] if names else asked.output.splitlines()[-MAX_SAID:]
        if names:
            targets = [str(out / name) for name in names]
            done = proc.run((*argv, "-k", f"-j{jobs}", *targets), env=env, inside=box)
            lines = done.output.splitlines()
            said = [line for line in lines if any(word in line for word in TELLING)]
        built = [name for name in dict.fromkeys(names) if _is_plain(out / name)]
        about = {"built": built, "absent": sorted({*names} - {*built}), "said": said[:MAX_SAID]}
        shutil.rmtree(draft / "source")
        (draft / "programs.json").write_text(json.dumps(about, indent=1), "utf-8")

    entry = store.entry("kselftests", inputs, make, also=("build",))
    about = json.loads((entry.path / "programs.json").read_text("utf-8"))
    said = [f"{', '.join(about['absent'])} cannot be built here"] if about["absent"] else []
    said += about["said"]
    return BuiltFolder(folder, entry.path / "bin", tuple(about["built"]), tuple(said))


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()
