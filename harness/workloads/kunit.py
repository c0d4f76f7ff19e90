# SPDX-License-Identifier: GPL-2.0-only
"""KUnit suites as tests: each prints what the suite said when the kernel booted.

So a suite has a record, is looked at on the bare base, and is selected as any other workload.
Source: lib/kunit/debugfs.c of the kernel.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping

from harness.change.kunit import KunitFile
from harness.workloads.selftests import Selftest

GROUP = "kunit"
RESULTS = "/sys/kernel/debug/kunit"
TIMEOUT_S = 10.0  # to print a file


def _named(files: Iterable[KunitFile]) -> Mapping[str, tuple[str, KunitFile]]:
    """Each suite by the name of its script."""
    return {
        f"kunit_{re.sub(r'[^A-Za-z0-9]+', '_', suite)}": (suite, file)
        for file in files
        for suite in file.suites
    }


def tests(files: Iterable[KunitFile]) -> list[Selftest]:
    """A test for each suite of the files."""
    return [
        Selftest(
            name, (f"{GROUP}/{name}",), TIMEOUT_S, group=GROUP, own=file.path == file.touched,
            why=f"{file.path}, for {file.touched}; it ran when the kernel booted",
        )
        for name, (_, file) in _named(files).items()
    ]  # fmt: skip


def scripts(files: Iterable[KunitFile]) -> dict[str, str]:
    """The script of each of these tests, by its path below bin/ in the guest."""
    return {f"{GROUP}/{name}": script(suite) for name, (suite, _) in _named(files).items()}


def script(suite: str) -> str:
    """The shell script that prints the results of a suite; 4 where the kernel has none."""
    results = shlex.quote(f"{RESULTS}/{suite}/results")
    return (
        f"#!/bin/sh\nif [ ! -e {results} ]; then\n"
        "echo 'skip: this kernel was built without the suite, or without CONFIG_KUNIT_DEBUGFS'\n"
        f"exit 4\nfi\nexec cat {results}\n"
    )
