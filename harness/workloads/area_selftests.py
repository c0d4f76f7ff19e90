# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's own selftests of an area, built from the patched tree: a folder's C programs.

Which folder a file of the kernel has, ``workloads.yaml`` says; a folder that the series itself
changes is run as well. Its own Makefile builds the programs, statically, so that they need
nothing of the guest. What cannot be built here is told and left out.
"""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.build.toolchain import environment
from harness.core import git, proc
from harness.core.sandbox import Inside
from harness.core.store import Store, file_digest
from harness.series.apply import PatchedTree
from harness.workloads.regression_selftests import Selftest

SELFTESTS = "tools/testing/selftests"
_NAMES = "harness-names: ; @echo $(notdir $(TEST_GEN_PROGS))"
# All of them but APART: the folders include one another's headers.
SOURCES = (
    SELFTESTS, "tools/include", "tools/arch/x86/include",
    "mm/gup_test.h", "lib/test_hmm_uapi.h", "include/vdso/time64.h",  # the folder mm's
    "scripts/Makefile.compiler", "scripts/subarch.include", "tools/scripts",  # of Makefiles
)  # fmt: skip
# Folders, 3481 of the 5354 files of 7.3, of which no other one includes any on x86.
APART = (
    "arm64", "bpf", "drivers", "ftrace", "hid", "kvm", "livepatch", "powerpc", "rcutorture",
    "riscv", "sched_ext", "tc-testing", "ublk", "wireguard",
)  # fmt: skip
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
    if not _tree_of(tree, f"{SELFTESTS}/{folder}"):
        return None
    source_of = f"{SELFTESTS}/{folder}/{{}}.c".format
    listed = [name for name in listed if _tree_of(tree, source_of(name))]
    own = sorted(path for path in changed if path.startswith(f"{SELFTESTS}/{folder}/"))
    found = {path: _tree_of(tree, path) for path in SOURCES}
    sources = [path for path, known in found.items() if known]
    trees, gcc = [found[path] for path in sources], proc.version("gcc")
    inputs = folder, sorted(listed), own, trees, file_digest(headers), gcc

    def make(draft: Path) -> None:
        rest = [f":(exclude){SELFTESTS}/{name}" for name in APART if name != folder.split("/")[0]]
        archive = git.raw(tree.repo, "archive", "--format=tar", tree.commit, "--", *sources, *rest)
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(draft / "source", filter="data")
        at, out = draft / "source" / SELFTESTS / folder, draft / "bin"
        out.mkdir()
        argv = ("make", "-C", str(at), f"OUTPUT={out}", f"KHDR_INCLUDES=-isystem {headers}")
        # In the environment, so that a Makefile's own += adds to them.
        env = {**environment(), "CFLAGS": "-static", "LDFLAGS": "-static"}
        box = Inside(reads=(headers,), writes=(draft,))
        question = (*argv, "-s", f"--eval={_NAMES}", "harness-names")
        asked = proc.run(question, env=env, inside=box)
        names = asked.output.split() if asked.returncode == 0 else []
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


def _tree_of(tree: PatchedTree, path: str) -> str:
    """The object of a path in the patched tree; '' where it is not there."""
    named = f"{tree.commit}:{path}"
    return git.text(tree.repo, "rev-parse", "--verify", "--quiet", named, expect=(0, 1)).strip()
