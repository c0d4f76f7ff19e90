# SPDX-License-Identifier: GPL-2.0-only
"""Which workloads run a change: chosen by the files that it touches, and by what the user says."""

from __future__ import annotations

import fnmatch
import functools
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from harness.change.touched import Touched
from harness.workloads.kselftests import SELFTESTS
from harness.workloads.selftests import Selftest

OWN_GROUP, OWN_TIMEOUT_S = "RUN", 120.0  # of the user's own program; see docs/workloads.md
OWN_KEPT_LINES = 5000


@dataclass(frozen=True)
class WorkloadTable:
    """``workloads.yaml``. ``kselftests``: pattern of paths -> folders; ``timeout``: seconds."""

    timeout: float
    kselftests: Mapping[str, tuple[str, ...]]
    programs: Mapping[str, tuple[Selftest, ...]]


@functools.cache
def load_workloads() -> WorkloadTable:
    """The table, read once."""
    text = Path(__file__).with_name("workloads.yaml").read_text("utf-8")
    data: dict[str, Any] = yaml.safe_load(text)
    programs = {
        folder: tuple(_listed(row, float(data["timeout"])) for row in rows)
        for folder, rows in data["programs"].items()
    }
    folders = {pattern: tuple(names) for pattern, names in data["kselftests"].items()}
    return WorkloadTable(float(data["timeout"]), folders, programs)


def _listed(row: dict[str, Any], timeout: float) -> Selftest:
    words = str(row.pop("run"))
    name = re.sub(r"\W+", "_", words).strip("_")
    return Selftest(**{"name": name, "argv": tuple(shlex.split(words)), "timeout": timeout, **row})


def selftest_folders(files: Iterable[Touched], table: WorkloadTable) -> dict[str, str]:
    """The folders of selftests for these files, each with why it was chosen."""
    found: dict[str, str] = {}
    for file in files:
        if file.kind == "selftest":
            if not file.gone and (folder := _own_folder(file.path)):
                found.setdefault(folder, f"the series changes {file.path}")
        elif file.kind in ("code", "header"):
            for pattern, folders in table.kselftests.items():
                if fnmatch.fnmatchcase(file.path, pattern):
                    for folder in folders:
                        found.setdefault(folder, f"{file.path} is of {pattern}")
                    break
    return found


def _own_folder(path: str) -> str | None:
    """The folder of a selftest's file: what is between selftests/ and its name."""
    folder = str(PurePosixPath(path).parent.relative_to(SELFTESTS))
    return None if folder == "." else folder


def own_program(command: str) -> Selftest:
    """The user's own program, RUN=, as a test."""
    why = f"RUN={command}"
    name = re.sub(r"\W+", "_", command).strip("_")[:40] or "program"
    return Selftest(name, ("run",), OWN_TIMEOUT_S, group=OWN_GROUP, why=why, keep=OWN_KEPT_LINES)
