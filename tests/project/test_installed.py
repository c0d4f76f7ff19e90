# SPDX-License-Identifier: GPL-2.0-only
"""``pip install .``: the program has its data with it and runs outside of any checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.core import git
from harness.core.command_table import COMMANDS, PROJECT, VARIABLES
from harness.setup import bootstrap
from tests.support.toy import Toy, commit

Run = Callable[..., subprocess.CompletedProcess[str]]
DATA = ("patches", "kconfig", "guest-tests", "examples")


@pytest.fixture(scope="module")
def venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A venv with the wheel of this checkout; what that depends on is borrowed from ours."""
    folder = tmp_path_factory.mktemp("installed")
    venv = folder / "venv"
    for argv in (
        ["-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        ["-m", "venv", "--without-pip", str(venv)],
        [bootstrap.pip(), "--python", str(venv / "bin" / "python"), "install", "--no-deps",
         "--no-index", "--find-links", str(folder), "--disable-pip-version-check",
         "kernel-series-harness"],
    ):  # fmt: skip
        done = subprocess.run(
            [sys.executable, *argv], cwd=PROJECT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    (site,) = venv.glob("lib/python3*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return venv


@pytest.fixture
def run(venv: Path, tmp_path: Path) -> Run:
    """Runs a program of the venv, outside of any checkout."""
    here = tmp_path / "here"
    here.mkdir()
    env = {n: v for n, v in os.environ.items() if n not in {"PYTHONPATH", *VARIABLES}}

    def run(program: str, *argv: str) -> subprocess.CompletedProcess[str]:
        command = [str(venv / "bin" / program), *argv]
        return subprocess.run(
            command, cwd=here, env=env, capture_output=True, text=True, check=False
        )

    return run


def files(root: Path, below: Path) -> set[Path]:
    """The files below a folder, without what Python leaves there."""
    found = (p for p in below.rglob("*") if p.is_file() and p.suffix != ".pyc")
    return {path.relative_to(root) for path in found}


def test_the_wheel_has_every_file_of_the_harness_and_of_the_series(venv: Path) -> None:
    (package,) = venv.glob("lib/python3*/site-packages/harness")
    data = package / "_project"
    for name in DATA:
        assert files(data, data / name) == files(PROJECT, PROJECT / name) != set()
    with_data = {path for path in files(package, package) if path.parts[0] != "_project"}
    assert with_data == files(PROJECT / "harness", PROJECT / "harness")
    assert {path.suffix for path in with_data} >= {".py", ".c", ".h", ".yaml", ".json", ".j2"}


def test_it_says_what_to_type(run: Run) -> None:
    said = run("kernel-series-harness", "test-kernel", "--help")
    assert said.returncode == 0, said.stderr
    assert "for example: kernel-series-harness test-kernel KERNEL=6.12" in said.stdout
    said = run("kernel-series-harness", "--help")
    assert all(f"  {name} " in said.stdout for name in COMMANDS)
    said = run("kernel-series-harness", "tset-kernel")
    assert said.returncode == 2
    assert "next: kernel-series-harness help" in said.stderr
    said = run("kernel-series-harness", "check", "SLOW=no")
    assert said.returncode == 2 and "next: use a checkout" in said.stderr


FINDS = """
from harness.series.base import known_kernels
from harness.detectors.canaries import PROGRAMS
from harness.series.contract import load
from harness.build.flavours import load_flavour
from harness.image.programs import GUEST_TESTS
from harness.races.scenario import RACES
from harness.core.settings import from_environment
from harness.commands.soak import load_kinds

settings = from_environment()
data = load(settings.project)
assert "6.1" in known_kernels() and load_flavour("kasan").fragments
assert any((GUEST_TESTS / data.guest_tests).glob("*.c")) and any(RACES.glob("*.c"))
assert any(PROGRAMS.glob("*.py")) and "stress" in load_kinds(data.folder)
print(data.folder)
"""


def test_it_finds_series_flavours_and_guest_tests(run: Run, venv: Path) -> None:
    found = run("python", "-c", FINDS)
    assert found.returncode == 0, found.stderr
    assert Path(found.stdout.strip()).is_relative_to(venv)


@pytest.mark.slow
def test_a_series_is_read_and_a_kernel_configured_outside_a_checkout(
    run: Run, toy: Toy, tmp_path: Path
) -> None:
    series = toy.series(("one", {"mm/swap.c": lambda text: text + "/* more */\n"}))
    given = (f"KERNEL={toy.tree}", f"SERIES={series}", f"HARNESS_CACHE={toy.store.root}")
    planned = run("kernel-series-harness", "plan", *given, "CONFIG=default,kasan")
    assert planned.returncode == 0, planned.stderr
    assert len(planned.stdout.splitlines()) == 2
    assert planned.stdout.startswith(f"kernel-series-harness revision KERNEL={toy.tree} ")
    # The toy kernel has none of the symbols that the flavour asks for, and is not to blame.
    tested = run("kernel-series-harness", "test-kernel", *given)
    assert tested.returncode == 2
    assert "1 of 1 patches" in tested.stdout
    assert "kconfig/boot.config" in tested.stdout
    assert (tmp_path / "here" / "out" / "latest" / "results.json").is_file()


def test_refresh_writes_nothing_into_the_installed_program(
    run: Run, venv: Path, tmp_path: Path
) -> None:
    (package,) = venv.glob("lib/python3*/site-packages/harness")
    tree, folder = tmp_path / "edited", package / "_project" / "patches" / "volatile" / "6.1"
    git.text(None, "init", "--quiet", str(tree))
    commit(tree, {"a.c": "int a;\n"}, "base")
    first = git.commit_id(tree, "HEAD")
    commit(tree, {"a.c": "int b;\n"}, "mm: one")
    git.text(tree, "config", "harness.base", first)
    git.text(tree, "config", "harness.folder", str(folder))
    before = {path: path.read_bytes() for path in folder.iterdir()}
    told = run("kernel-series-harness", "refresh", f"TREE={tree}")
    assert told.returncode == 2, told.stderr
    assert f"next: kernel-series-harness refresh SERIES=DIRECTORY TREE={tree}\n" in told.stderr
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    told = run("kernel-series-harness", "refresh", f"TREE={tree}", f"SERIES={tmp_path / 'mine'}")
    assert told.returncode == 0, told.stderr
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["0001-mm-one.patch"]


@pytest.mark.parametrize("name", [n for n, c in COMMANDS.items() if c.target.startswith("tools.")])
def test_what_is_about_the_project_itself_asks_for_a_checkout(run: Run, name: str) -> None:
    told = run("kernel-series-harness", name)
    assert told.returncode == 2
    assert "next: use a checkout" in told.stderr
