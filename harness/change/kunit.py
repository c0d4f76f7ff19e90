# SPDX-License-Identifier: GPL-2.0-only
"""The KUnit tests of what a series touches: those that it brings, and those beside its files.

A test is built into the kernel and runs when that boots; what it said is in debugfs.
Source: Documentation/dev-tools/kunit/style.rst and run_manual.rst of the kernel; the older names
of files are those that lib/ still has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from harness.change.touched import Touched
from harness.series.apply import PatchedTree

# Without the first the results are on the console only; without the second the kernel says
# "kunit: disabled" at boot, and runs no suite: a flavour begins with all defaults off.
NEEDED = ("KUNIT_DEBUGFS", "KUNIT_DEFAULT_ENABLED")
NAMES = ("{}_kunit.c", "{}_test.c", "{}-test.c", "test_{}.c", "{}_kunit_test.c")
FOLDERS = ("", "tests")  # beside the file; the second is what the kernel asks for now
GENERIC = ("mm/", "include/linux/")  # whose tests may be in lib/, as slub's and list.h's are
_IS_TEST = re.compile(r"\bkunit_test_(?:init_section_)?suites?\s*\(")
_SUITE = re.compile(r'struct kunit_suite \w+ = \{[^}]*?\.name\s*=\s*"([^"]+)"')


@dataclass(frozen=True)
class KunitFile:
    """A file with KUnit tests; ``touched``: the file of the series that it is run for."""

    path: str
    touched: str
    suites: tuple[str, ...]


def kunit_files(tree: PatchedTree, files: Iterable[Touched]) -> list[KunitFile]:
    """The files with KUnit tests of the touched ones, each once."""
    found: dict[str, KunitFile] = {}
    for file in files:
        if file.kind not in ("code", "header") or file.gone:
            continue
        for path in (file.path, *_beside(file.path)):
            if path not in found and _IS_TEST.search(text := tree.read(path)):
                found[path] = KunitFile(path, file.path, tuple(_SUITE.findall(text)))
    return list(found.values())


def _beside(path: str) -> Iterator[str]:
    at = PurePosixPath(path)
    folders = [at.parent, *([PurePosixPath("lib")] if path.startswith(GENERIC) else [])]
    for folder in folders:
        for inner in FOLDERS:
            for name in NAMES:
                yield str(folder / inner / name.format(at.stem))
