# SPDX-License-Identifier: GPL-2.0-only
"""Which of the kernel's own selftests a series is compared by: ``regression.yaml``, read.

The file belongs to the series: one that touches memory management asks for other
selftests than one that touches a file system. It lists, for each kernel line, what is
run and how, and what is left out and why; nothing of a folder is passed over in silence.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    config: tuple[str, ...] = ()
    points: str = ""
    flaps: str = ""

    @property
    def program(self) -> str:
        """The program's name."""
        return self.argv[0]


@dataclass(frozen=True)
class SelftestList:
    """What is compared on one kernel line.

    Args:
        clause: of the contract, which this shows.
        floor: how many tests must pass on the bare base for the comparison to say anything.
        folder: in the kernel tree, with a Makefile.
        sources: what else of the tree its programs include.
        libraries: that the host must have as static ones, without 'lib' and '.a'.
        cflags: program, or '*' for any other -> more words for the compiler.
        append: more words for the kernel's command line.
        memory_mb: of a guest, in MiB.
        left_out: program -> why it is not run.
    """

    clause: str
    floor: int
    folder: str
    sources: tuple[str, ...]
    libraries: tuple[str, ...]
    cflags: Mapping[str, str]
    append: str
    memory_mb: int
    tests: tuple[Selftest, ...]
    left_out: Mapping[str, str]

    @property
    def programs(self) -> tuple[str, ...]:
        """The programs to build, each once."""
        return tuple(dict.fromkeys(test.program for test in self.tests))


def _test(record: Mapping[str, Any]) -> Selftest:
    record = dict(record)
    line = str(record.pop("run"))
    name = record.pop("name", None) or re.sub(r"\W+", "_", line).strip("_")
    settings = tuple((str(k), str(v)) for k, v in record.pop("set", {}).items())
    config = tuple(record.pop("config", ()))
    try:
        argv = tuple(shlex.split(line))
        return Selftest(str(name), argv, settings=settings, config=config, **record)
    except TypeError as error:
        raise InternalError(f"{FILE}: {line}: {error}") from error


def parse(text: str, line: str) -> SelftestList | None:
    """The list of one kernel line; None where the file has none.

    Raises:
        InternalError: a test stands twice, or is in both tables, or a key is unknown.
    """
    data = yaml.safe_load(text)
    about = data["kernels"].get(line)
    if about is None:
        return None
    tests = tuple(_test(record) for record in about["tests"])
    names = [test.name for test in tests]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InternalError(f"{FILE}: {line} has {twice[0]} twice")
    left_out = {str(name): str(why) for name, why in about["left_out"].items()}
    if both := sorted({test.program for test in tests} & set(left_out)):
        raise InternalError(f"{FILE}: {line} runs {both[0]}, and leaves it out")
    return SelftestList(
        clause=data["clause"],
        floor=data["floor"],
        folder=about["folder"],
        sources=tuple(about.get("sources", ())),
        libraries=tuple(about.get("libraries", ())),
        cflags=about.get("cflags", {}),
        append=about.get("append", ""),
        memory_mb=about["memory_mb"],
        tests=tests,
        left_out=left_out,
    )


def load(folder: Path, line: str) -> SelftestList:
    """Reads ``folder/regression.yaml`` for one kernel line, such as '6.1'.

    Raises:
        InvocationError: the series says nothing of selftests, or nothing for this line.
        InternalError: see ``parse``.
    """
    path = folder / FILE
    found = parse(path.read_text(), line) if path.is_file() else None
    if found is None:
        raise InvocationError(
            f"{path} lists no selftests for Linux {line}",
            next_step="docs/regression.md says what stands there",
        )
    return found


def unmet(test: Selftest, config: Mapping[str, str]) -> str:
    """The first symbol that a test needs and that the kernel's configuration lacks, or ''."""
    return next((name for name in test.config if config.get(name, "n") == "n"), "")


def unlisted(listed: SelftestList, there: frozenset[str]) -> tuple[str, ...]:
    """What the folder has (``there``) and neither table names, sorted."""
    return tuple(sorted(there - set(listed.programs) - set(listed.left_out)))
