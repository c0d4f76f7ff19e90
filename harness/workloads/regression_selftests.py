# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's own selftests that a series is compared by: ``regression.yaml``, read and built.

The file lists, for each kernel line, what is run and how, and what is left out and why;
nothing of a folder is passed over in silence.

Their own Makefile builds them: statically, so that they need nothing of the guest, and once,
from the bare base and against its headers. The same programs run on both kernels, and what
differs is the kernel.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from harness.build.toolchain import environment
from harness.core import proc
from harness.core.errors import InternalError, InvocationError, MachineError
from harness.core.events import CaseId
from harness.core.jsondata import read_yaml
from harness.core.sandbox import Inside
from harness.core.store import Store, file_digest
from harness.image.programs import GUEST_TESTS, IN_GUEST, Case, Program
from harness.series.base import Base
from harness.workloads.selftest_sources import (
    SELFTESTS,
    answer,
    question,
    selftest_sources,
    write_sources,
)

FILE, HELP = "regression.yaml", "docs/regression.md says what stands there"
DEFAULT_TIMEOUT_S = 10.0  # the time limit of a test that names none
RUNNER = GUEST_TESTS / "regression" / "selftest.py"
# make's own words for what the Makefile builds.
_LISTS = ("TEST_GEN_PROGS", "TEST_GEN_FILES", "TEST_CUSTOM_PROGS", "TEST_PROGS", "TEST_FILES")
# 'run_test ./program arguments', with or without a category before and a wrapper between.
_RUN = re.compile(r"^[ \t]*(?:\w+=\S+ )*run_test[ \t](?:.*?[ \t])?\./(\S+)", re.MULTILINE)
# The guest's runner gives a test twice its time, for a neighbour, and says what it did in it;
# the harness ends it only after that.
TIME_FACTOR, SPARE_S = 2.0, 10.0


@dataclass(frozen=True)
class Selftest:
    """One program with its arguments, and the state of the guest that it needs.

    As the head of ``regression.yaml`` explains them. ``timeout``: seconds on a guest of
    reference speed that has nothing else to do. ``config``: symbols without CONFIG_.
    ``points``: a regular expression with groups 'name' and 'outcome', '' for TAP. ``flaps``:
    '' or why it may say something else each time on the bare base. ``group``: what its record's
    name begins with; ``why``: what it was chosen for; ``keep``: of its last lines (0: as usual).
    ``own``: the series brings or changes it, so that failing on the base excuses nothing.
    ``script``: of a program that is a shell script, its text.
    """

    name: str
    argv: tuple[str, ...]
    timeout: float = DEFAULT_TIMEOUT_S
    settings: tuple[tuple[str, str], ...] = ()
    huge_pages: int = 0
    hugetlbfs: bool = False
    swap: bool = False
    user: str = "root"
    config: Sequence[str] = ()
    points: str = ""
    flaps: str = ""
    group: str | None = None
    why: str = ""
    keep: int = 0
    own: bool = False
    script: str = ""

    @property
    def claim(self) -> str:
        """What is compared by it."""
        return f"{' '.join(self.argv)} says the same with the series as without it"

    def lacks(self, config: Mapping[str, str]) -> str | None:
        """The first symbol that it needs and that the kernel's configuration lacks."""
        return next((name for name in self.config if config.get(name, "n") == "n"), None)


@dataclass(frozen=True)
class SelftestRow:
    """A selftest, as a table has it: ``run`` are its words, ``set`` the files that are written."""

    run: str
    name: str | None = None
    timeout: float | None = None
    set: dict[str, str | int] = field(default_factory=dict)
    huge_pages: int = 0
    hugetlbfs: bool = False
    swap: bool = False
    user: str = "root"
    config: tuple[str, ...] = ()
    points: str = ""
    flaps: str = ""

    def selftest(self, timeout: float) -> Selftest:
        """It, with ``timeout`` seconds where the row has none."""
        read = ("run", "name", "timeout", "set")
        return Selftest(
            self.name or re.sub(r"\W+", "_", self.run).strip("_"),
            tuple(shlex.split(self.run)),
            timeout if self.timeout is None else self.timeout,
            tuple((path, str(value)) for path, value in self.set.items()),
            **{name: value for name, value in vars(self).items() if name not in read},
        )


@dataclass(frozen=True)
class RegressionRow:
    """What ``regression.yaml`` has for one kernel line.

    ``folder``: below tools/testing/selftests. ``memory_mb``: of a guest, in MiB.
    ``libraries``: static ones that the host must have, without 'lib' and '.a'. ``cflags``:
    program, or '*' for any other -> more words for the compiler. ``append``: to the kernel's
    command line. ``left_out``: program, or a pattern of names -> why it is not run.
    """

    folder: str
    memory_mb: int
    tests: tuple[SelftestRow, ...]
    left_out: dict[str, str] = field(default_factory=dict)
    libraries: tuple[str, ...] = ()
    cflags: dict[str, str] = field(default_factory=dict)
    append: str = ""


@dataclass(frozen=True)
class RegressionTable:
    """What ``regression.yaml`` holds, for each kernel line."""

    clause: str
    floor: int
    kernels: dict[str, RegressionRow]


@dataclass(frozen=True)
class SelftestList:
    """What is compared on one kernel line; ``source``: the file that says so."""

    source: Path
    clause: str
    floor: int
    tests: Sequence[Selftest]
    row: RegressionRow

    @property
    def programs(self) -> tuple[str, ...]:
        """The programs to build, each once."""
        return tuple(dict.fromkeys(test.argv[0] for test in self.tests))


def load(folder: Path, line: str) -> SelftestList:
    """Reads ``folder/regression.yaml`` for one kernel line, such as '6.1'.

    Raises:
        InvocationError: the series says nothing of selftests, or nothing for this line; the file
            makes no sense, a test stands twice in it, or is in both tables.
    """
    path = folder / FILE
    table = read_yaml(RegressionTable, path, HELP) if path.is_file() else None
    if table is None or line not in table.kernels:
        raise InvocationError(f"{path} lists no selftests for Linux {line}", next_step=HELP)
    row = table.kernels[line]
    tests = [test.selftest(DEFAULT_TIMEOUT_S) for test in row.tests]
    listed = SelftestList(path, table.clause, table.floor, tests, row)
    names = [test.name for test in tests]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InvocationError(f"{path}: {line} has {twice[0]} twice", next_step=HELP)
    if both := sorted(set(listed.programs) & set(row.left_out)):
        what = f"{path}: {line} runs {both[0]}, and leaves it out"
        raise InvocationError(what, next_step=HELP)
    return listed


def present(script: Path, names: Sequence[str]) -> frozenset[str]:
    """All programs of a folder: ``names`` that make says, and what ``run_vmtests.sh`` runs."""
    run = _RUN.findall(script.read_text()) if script.is_file() else []
    return frozenset((*names, *run))


def build_programs(
    store: Store, listed: SelftestList, base: Base, headers: Path, jobs: int
) -> tuple[Path, bool]:
    """The folder of built programs, and whether it was in the store.

    Raises:
        InternalError: the folder has programs that the list does not know.
        MachineError: one does not compile here.
    """
    row = listed.row
    by_cflags: dict[str, list[str]] = {}  # the programs, by the words that the compiler gets
    for name in listed.programs:
        cflags = row.cflags.get(name, row.cflags.get("*", ""))
        by_cflags.setdefault(cflags, []).append(name)
    sources = selftest_sources(base.repo, base.commit)
    inputs = row.folder, sources, file_digest(headers), proc.version("gcc"), by_cflags

    def make(draft: Path) -> None:
        folder = write_sources(base.repo, base.commit, row.folder, draft / "source")
        out = draft / "bin"
        out.mkdir()
        argv = ("make", "-C", str(folder), f"OUTPUT={out}", f"KHDR_INCLUDES=-isystem {headers}")
        # Nothing of ours: a Makefile would take CONFIG or OUT, and MAKEFLAGS, for its own.
        env = environment()
        box = Inside(reads=(headers,), writes=(draft,))
        asked = proc.capture((*argv, *question(*_LISTS)), env=env, inside=box).decode()
        there = present(folder / "run_vmtests.sh", answer(asked))
        (draft / "present.json").write_text(json.dumps(sorted(there)))
        said = []
        for cflags, wanted in by_cflags.items():
            words = (f"EXTRA_CFLAGS=-static {cflags}", "-k", f"-j{jobs}")
            targets = (str(out / name) for name in wanted)
            done = proc.run((*argv, *words, *targets), env=env, inside=box)
            lines = done.output.splitlines()
            said += [line for line in lines if "rror" in line or "cannot" in line]
        if absent := [name for name in listed.programs if not (out / name).is_file()]:
            what = f"{', '.join(absent)} of {SELFTESTS}/{row.folder} cannot be built here"
            raise MachineError(
                "\n".join((what, *said[:12])),
                next_step="a missing -lNAME is Debian's package libNAME-dev; "
                "what can be built nowhere belongs to left_out",
            )

    entry = store.entry("selftests", inputs, make, also=("build", "image"))
    there = set(json.loads((entry.path / "present.json").read_text()))
    known = [*listed.programs, *row.left_out]
    forgotten = sorted(name for name in there if not any(fnmatchcase(name, k) for k in known))
    if forgotten:
        raise InternalError(
            f"regression.yaml neither runs nor leaves out {', '.join(forgotten)}"
            f" of {SELFTESTS}/{row.folder}"
        )
    return entry.path / "bin", entry.cached


def case_of(test: Selftest, source: Path, attempt: int = 1) -> Case:
    """A test as a case that a runner can run; ``attempt`` tells repetitions apart."""
    program = Program(source, source.name, ("python3", str(IN_GUEST / RUNNER.name)))
    limit = TIME_FACTOR * test.timeout + SPARE_S
    about = ": ".join(filter(None, (shlex.join(test.argv), test.why)))
    return Case(CaseId("guest", test.group, test.name, attempt), program, (), limit, about)
