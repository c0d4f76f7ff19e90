# SPDX-License-Identifier: GPL-2.0-only
"""Which workloads run a change: chosen by the files that it touches, and by what the user says."""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import yaml

from harness.change.touched import Touched
from harness.change.whose_series import is_foreign
from harness.core.jsondata import from_json
from harness.core.settings import CASES, KSELFTEST, KUNIT, RUN, STRESS, Settings
from harness.series.contract import SeriesData
from harness.workloads.regression_selftests import Selftest, SelftestRow
from harness.workloads.selftest_sources import SELFTESTS
from harness.workloads.suite import OWN_SCRIPT, own_script

OWN_GROUP, OWN_TIMEOUT_S = "RUN", 120.0  # of the user's own program; see docs/workloads.md
OWN_KEPT_LINES = 5000


def kinds_of(settings: Settings, data: SeriesData) -> frozenset[str]:
    """The kinds of workloads of a run: WORKLOADS=, else those that suit the series."""
    foreign = is_foreign(data)
    suited = {KSELFTEST, KUNIT, STRESS} if foreign else {CASES}
    kinds = set(settings.workloads) or suited | ({RUN} if settings.run else set())
    return frozenset(kinds - {CASES} if foreign else kinds)  # it has no cases of ours


@dataclass(frozen=True)
class WorkloadTable:
    """``workloads.yaml``. ``kselftests``, ``stressors``: pattern of paths -> names.

    ``timeout``: seconds, of a program; ``operations``: of a stressor.
    """

    timeout: float
    operations: int
    stressors: dict[str, tuple[str, ...]]
    kselftests: dict[str, tuple[str, ...]]
    programs: dict[str, tuple[SelftestRow, ...]]


@functools.cache
def load_workloads() -> WorkloadTable:
    """The table, read once."""
    text = Path(__file__).with_name("workloads.yaml").read_text("utf-8")
    return from_json(WorkloadTable, yaml.safe_load(text))


def selftest_folders(files: Iterable[Touched], table: WorkloadTable) -> dict[str, str]:
    """The folders of selftests for these files, each with why it was chosen."""
    files = list(files)
    own = {
        folder: f"the series changes {file.path}"
        for file in files
        if file.kind == "selftest" and not file.gone and (folder := _own_folder(file.path))
    }
    return {**by_pattern(files, table.kselftests), **own}


def by_pattern(files: Iterable[Touched], patterns: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """What the first pattern of each file with code names, each with why."""
    found: dict[str, str] = {}
    for file in files:
        if file.kind not in ("code", "header"):
            continue
        pattern = next((p for p in patterns if fnmatch.fnmatchcase(file.path, p)), None)
        for name in patterns[pattern] if pattern else ():
            why = f"for {file.path}" + ("" if pattern == file.path else f", by {pattern}")
            found.setdefault(name, why)
    return found


def _own_folder(path: str) -> str | None:
    """The folder of a selftest's file: what is between selftests/ and its name."""
    folder = str(PurePosixPath(path).parent.relative_to(SELFTESTS))
    return None if folder == "." else folder


def own_program(command: str) -> Selftest:
    """The user's own program, RUN=, as a test."""
    why = f"RUN={command}"
    name = re.sub(r"\W+", "_", command).strip("_")[:40] or "program"
    return Selftest(
        name, (OWN_SCRIPT,), OWN_TIMEOUT_S, group=OWN_GROUP, why=why, keep=OWN_KEPT_LINES,
        script=own_script(command),
    )  # fmt: skip
