# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's own selftests, built from the base tree by their own Makefile.

They are linked statically, so that they need nothing of the guest, and built once, from
the bare base and against its headers: the same programs run on both kernels, and what
differs is the kernel. The sources are written out from git, so no worktree is touched.
"""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import tarfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from harness.commands.selftests.table import Selftest, SelftestList, unlisted
from harness.core import git, proc
from harness.core.errors import InternalError, MachineError
from harness.core.events import CaseId
from harness.core.store import Store, digest, file_digest
from harness.image.ext2 import make_image
from harness.image.programs import GUEST_TESTS, IN_GUEST, Case, Program, Suite
from harness.series.base import Base

FORMAT = 1
RUNNER = GUEST_TESTS / "regression" / "selftest.py"
# What every folder of selftests is built with.
COMMON = (
    "tools/testing/selftests/lib.mk",
    "tools/testing/selftests/kselftest.h",
    "tools/testing/selftests/kselftest_harness.h",
)
# make's own word for what the Makefile builds; all of it, expanded by make itself.
_LISTS = ("TEST_GEN_PROGS", "TEST_GEN_FILES", "TEST_CUSTOM_PROGS", "TEST_PROGS", "TEST_FILES")
_NAMES = f"harness-names: ; @echo $(notdir {' '.join(f'$({name})' for name in _LISTS)})"
# 'run_test ./program arguments', with or without a category before and a wrapper between.
_RUN = re.compile(r"^\s*(?:\w+=\S+ )*run_test\s+(?P<words>.+)$", re.MULTILINE)
# The guest's runner gives a test twice its time, for a neighbour, and says what it did in it;
# the harness ends it only after that.
TIME_FACTOR, SPARE_S = 2.0, 10.0


def _write_out(base: Base, paths: Sequence[str], target: Path) -> None:
    """The files and folders ``paths`` of the bare base, below ``target``."""
    archive = git.raw(base.repo, "archive", "--format=tar", base.commit, "--", *paths)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(target, filter="data")


def _make(folder: Path, out: Path, headers: Path, cflags: str, *words: str) -> tuple[str, ...]:
    """The command line of the folder's own Makefile, linking statically, against ``headers``."""
    return ("make", "-C", str(folder), f"OUTPUT={out}", f"KHDR_INCLUDES=-isystem {headers}",
            f"EXTRA_CFLAGS=-static {cflags}", *words)  # fmt: skip


def _environment() -> dict[str, str]:
    """Nothing of ours: a Makefile would take CONFIG or OUT, and MAKEFLAGS, for its own."""
    return {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | {
        "LC_ALL": "C"
    }


def run_by(script: str) -> frozenset[str]:
    """The programs that a ``run_vmtests.sh`` runs, by its lines ``run_test ./program ...``."""
    found = set()
    for match in _RUN.finditer(script):
        words = [w for w in match["words"].split() if w.startswith("./")]
        found |= {words[0].removeprefix("./")} if words else set()
    return frozenset(found)


def present(source: Path, folder: str, names: str) -> frozenset[str]:
    """All programs of the folder: ``names`` that make says, and what its script runs."""
    script = source / folder / "run_vmtests.sh"
    run = run_by(script.read_text()) if script.is_file() else frozenset()
    return frozenset(names.split()) | run


def _build(listed: SelftestList, base: Base, headers: Path, jobs: int, draft: Path) -> None:
    source, out = draft / "source", draft / "bin"
    out.mkdir()
    _write_out(base, (listed.folder, *COMMON, *listed.sources), source)
    folder = source / listed.folder
    question = _make(folder, out, headers, "", "-s", f"--eval={_NAMES}", "harness-names")
    named = proc.capture(question, env=_environment()).decode()
    programs = present(source, listed.folder, named)
    (draft / "present.json").write_text(json.dumps(sorted(programs)))
    said = []
    for cflags, names in _by_cflags(listed).items():
        words = ("-k", f"-j{jobs}", *(str(out / name) for name in names))
        done = proc.run(_make(folder, out, headers, cflags, *words), env=_environment())
        said += [line for line in done.output.splitlines() if "rror" in line or "cannot" in line]
    if absent := [name for name in listed.programs if not (out / name).is_file()]:
        raise MachineError(
            f"{', '.join(absent)} of {listed.folder} cannot be built here\n" + "\n".join(said[:12]),
            next_step="a missing -lNAME is Debian's package libNAME-dev; "
            "what can be built nowhere belongs to left_out",
        )


def _by_cflags(listed: SelftestList) -> dict[str, list[str]]:
    """The programs to build, by the words that the compiler gets for them."""
    groups: dict[str, list[str]] = {}
    for name in listed.programs:
        cflags = listed.cflags.get(name, listed.cflags.get("*", ""))
        groups.setdefault(cflags, []).append(name)
    return groups


def build_programs(
    store: Store, listed: SelftestList, base: Base, headers: Path, jobs: int
) -> tuple[Path, bool]:
    """The folder of built programs, and whether it was in the store.

    Raises:
        InternalError: the folder has programs that the list does not know.
        MachineError: one does not compile here.
    """
    _check_libraries(listed.libraries)
    trees = [
        git.text(base.repo, "rev-parse", f"{base.commit}:{path}")
        for path in (listed.folder, *COMMON, *listed.sources)
    ]
    key = digest(FORMAT, trees, file_digest(headers), proc.version("gcc"), _by_cflags(listed))
    entry = store.entry("selftests", key, lambda draft: _build(listed, base, headers, jobs, draft))
    there = frozenset(json.loads((entry.path / "present.json").read_text()))
    if forgotten := unlisted(listed, there):
        raise InternalError(
            f"regression.yaml neither runs nor leaves out {', '.join(forgotten)} of {listed.folder}"
        )
    return entry.path / "bin", entry.cached


def _check_libraries(names: Sequence[str]) -> None:
    for name in names:
        found = proc.capture(("gcc", f"-print-file-name=lib{name}.a")).decode().strip()
        if not Path(found).is_absolute():
            raise MachineError(
                f"the selftests need the static library {name}",
                next_step=f"install Debian's lib{name}-dev, or its like elsewhere",
            )


def _fill(listed: SelftestList, programs: Path, draft: Path) -> None:
    tree = draft / "tree"
    for folder in ("bin", "lib"):
        (tree / folder).mkdir(parents=True)
    for name in listed.programs:
        proc.capture(("strip", "-o", str(tree / "bin" / name), str(programs / name)))
    for path in sorted((GUEST_TESTS / "lib").glob("*.py")):
        (tree / "lib" / path.name).write_bytes(path.read_bytes())
    (tree / RUNNER.name).write_bytes(RUNNER.read_bytes())
    plan = {test.name: asdict(test) for test in listed.tests}
    (tree / "plan.json").write_text(json.dumps(plan, indent=1))
    make_image(tree, draft / "tests.img")


def case_of(test: Selftest, source: Path, attempt: int = 1) -> Case:
    """A test as a case that a lab can run; ``attempt`` tells repetitions apart."""
    program = Program(source, source.name, ("python3", str(IN_GUEST / RUNNER.name)))
    return Case(
        id=CaseId("guest", None, test.name, attempt),
        program=program,
        clauses=(),
        timeout=TIME_FACTOR * test.timeout + SPARE_S,
        about=shlex.join(test.argv),
    )


def build_suite(
    store: Store, listed: SelftestList, base: Base, headers: Path, jobs: int, source: Path
) -> Suite:
    """The selftests of ``listed`` as a suite: an image of programs and a case a test.

    Args:
        headers: the installed uapi headers of the bare base.
        source: the file that lists them, under whose name they are selected.

    Raises:
        InternalError, MachineError: see ``build_programs``.
    """
    programs, cached = build_programs(store, listed, base, headers, jobs)
    plan = [asdict(test) for test in listed.tests]
    key = digest(FORMAT, programs.parent.name, plan, file_digest(GUEST_TESTS / "lib", RUNNER))
    entry = store.entry("regression", key, lambda draft: _fill(listed, programs, draft))
    cases = tuple(case_of(test, source) for test in listed.tests)
    return Suite(cases, entry.path / "tests.img", cached and entry.cached)
