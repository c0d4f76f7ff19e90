# SPDX-License-Identifier: GPL-2.0-only
"""A 'kernel' that is compiled once for all tests of races; played machines."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.debugger.dwarf import DebugInfo
from harness.debugger.symbols import KernelSource, Symbols
from harness.races.scenario import Scenario
from tests.debugger.fake_stub import Cpu
from tests.races.fake_machine import Machine, Make, PlayedRace, play
from tests.races.toy_kernel import SOURCE


def run(*command: str, folder: Path) -> str:
    return subprocess.run(
        command, cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Symbols]:
    """A 'kernel' of one file, its source in git, built as kernels are."""
    folder = tmp_path_factory.mktemp("toy")
    (folder / "mm").mkdir()
    (folder / "mm" / "toy.c").write_text(SOURCE)
    flags = ("-O2", "-g", "-fno-omit-frame-pointer", "-no-pie", "-fno-pie")
    run("gcc", *flags, "-o", "toy", "mm/toy.c", folder=folder)
    run("git", "init", "-q", folder=folder)
    run("git", "add", "mm/toy.c", folder=folder)
    author = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    run("git", *author, "commit", "-qm", "toy", folder=folder)
    commit = run("git", "rev-parse", "HEAD", folder=folder)
    rows = run("nm", "toy", folder=folder).splitlines()
    system_map = "\n".join(row for row in rows if len(row.split()) == 3)
    debug = DebugInfo(folder / "toy", folder, folder / "cache")
    yield Symbols(system_map, debug, KernelSource(folder, commit))
    debug.close()
    shutil.rmtree(folder)


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def make(machine: Machine) -> Iterator[Make]:
    made: list[PlayedRace] = []

    def build(chosen: Scenario, cpus: list[Cpu]) -> PlayedRace:
        made.append(play(machine, chosen, cpus))
        return made[-1]

    yield build
    for one in made:
        one.close()
