# SPDX-License-Identifier: GPL-2.0-only
"""Which of the kernel's own selftests a series is compared by: ``regression.yaml``, read.

The file belongs to the series: one that touches memory management asks for other
selftests than one that touches a file system. It lists, for each kernel line, what is
run and how, and what is left out and why; nothing of a folder is passed over in silence.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from harness.core.errors import InternalError, InvocationError

FILE = "regression.yaml"
DEFAULT_TIMEOUT_S = 10.0  # the time limit of a test that names none


@dataclass(frozen=True)
class Selftest:
    """One program with its arguments, and the state of the guest that it needs.

    Args:
        timeout: seconds on a guest of reference speed that has nothing else to do.
        settings: files below /proc and /sys and what is written to them before.
        huge_pages: how many must be free.
        hugetlbfs: whether one is mounted at ``huge`` in the directory it runs in.
        swap: whether the swap disk is on.
        user: who runs it.
        config: symbols that the kernel must have, without CONFIG_.
        points: how to find results in the output of a program that prints no TAP: a regular
            expression with groups 'name' and 'outcome'; '' where it does.
        flaps: '' or why it may say something else each time on the bare base.
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

    @property
    def claim(self) -> str:
        """What is compared by it."""
        return f"{' '.join(self.argv)} says the same with the series as without it"

    def lacks(self, config: Mapping[str, str]) -> str | None:
        """The first symbol that it needs and that the kernel's configuration lacks."""
        return next((name for name in self.config if config.get(name, "n") == "n"), None)


@dataclass(frozen=True)
class SelftestList:
    """What is compared on one kernel line.

    Args:
        clause: of the contract, which this shows.
        floor: how many tests must pass on the bare base for the comparison to say anything.
        folder: in the kernel tree, with a Makefile.
        memory_mb: of a guest, in MiB.
        left_out: program -> why it is not run.
        sources: what else of the tree its programs include.
        libraries: that the host must have as static ones, without 'lib' and '.a'.
        cflags: program, or '*' for any other -> more words for the compiler.
        append: more words for the kernel's command line.
    """

    clause: str
    floor: int
    folder: str
    memory_mb: int
    tests: Sequence[Selftest]
    left_out: Mapping[str, str]
    sources: Sequence[str] = ()
    libraries: Sequence[str] = ()
    cflags: Mapping[str, str] = field(default_factory=dict)
    append: str = ""

    @property
    def programs(self) -> tuple[str, ...]:
        """The programs to build, each once."""
        return tuple(dict.fromkeys(test.argv[0] for test in self.tests))


def load(folder: Path, line: str) -> SelftestList:
    """Reads ``folder/regression.yaml`` for one kernel line, such as '6.1'.

    Raises:
        InvocationError: the series says nothing of selftests, or nothing for this line.
        InternalError: a test stands twice, or is in both tables, or a key is unknown.
    """
    path = folder / FILE
    data = yaml.safe_load(path.read_text()) if path.is_file() else {"kernels": {}}
    if line not in data["kernels"]:
        raise InvocationError(
            f"{path} lists no selftests for Linux {line}",
            next_step="docs/regression.md says what stands there",
        )
    about, tests = data["kernels"][line], []
    for row in about["tests"]:
        words = str(row.pop("run"))
        row.setdefault("name", re.sub(r"\W+", "_", words).strip("_"))
        settings = tuple((str(k), str(v)) for k, v in row.pop("set", {}).items())
        try:
            tests.append(Selftest(argv=tuple(shlex.split(words)), settings=settings, **row))
        except TypeError as error:
            raise InternalError(f"{FILE}: {words}: {error}") from error
    names = [test.name for test in tests]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InternalError(f"{FILE}: {line} has {twice[0]} twice")
    try:
        more = {"clause": data["clause"], "floor": data["floor"], "tests": tests}
        listed = SelftestList(**about | more)
    except TypeError as error:
        raise InternalError(f"{FILE}: {line}: {error}") from error
    if both := sorted(set(listed.programs) & set(listed.left_out)):
        raise InternalError(f"{FILE}: {line} runs {both[0]}, and leaves it out")
    return listed
