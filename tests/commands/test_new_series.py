# SPDX-License-Identifier: GPL-2.0-only
"""A new project lists two cases, each of which says that it is to be written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from harness.cases.ktap import read_case
from harness.commands.new_series import command
from harness.commands.new_series.command import clause_prefix, new_series
from harness.core.errors import InvocationError, SeriesError
from harness.image.programs import CFLAGS, GUEST_TESTS
from harness.series import contract
from harness.series.patches import parse_patch
from tests.support.toy import Toy, grow


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where projects are, in place of ours."""
    monkeypatch.setattr(command, "PROJECT", tmp_path / "checkout")
    return tmp_path / "checkout"


def made(toy: Toy, **given: object) -> str:
    console = Console(width=200, record=True, file=sys.stderr)
    assert new_series(toy.settings(**given), console) == 0
    return console.export_text()


def verdict(*argv: str | Path) -> tuple[str, str]:
    done = subprocess.run(
        [*map(str, argv)],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(GUEST_TESTS / "lib"), "PATH": "/usr/bin:/bin"},
    )
    case = read_case(done.stdout, str(argv[-1]), done.returncode)
    return case.outcome, case.reason


def test_a_project_whose_cases_fail_until_they_are_written(
    toy: Toy, place: Path, tmp_path: Path
) -> None:
    folder = toy.series(
        ("mm: One: of two", {"mm/swap.c": grow}),
        ('mm: "Two" #2', {"mm/madvise.c": grow}),
    )
    said = made(toy, name="my-fix", series=str(folder))
    assert "patches/my-fix/6.1: 2 patches" in said
    assert "next: make test-kernel PROJECT=my-fix" in said
    data = contract.load(place / "patches" / "my-fix")
    assert data.subjects == ("mm: One: of two", 'mm: "Two" #2')
    assert (data.title, data.guest_tests, data.below) == ("mm: One: of two", "my-fix", None)
    assert {c.id: c.holds_from for c in data.clauses.values()} == {"MF-EX-1": 2}
    patches = sorted((place / "patches" / "my-fix" / "6.1").glob("*.patch"))
    subjects = [parse_patch(path.read_bytes(), path.name).subject for path in patches]
    assert subjects == list(data.subjects)
    suite = place / "guest-tests" / "my-fix"
    unwritten = ("fail", "write me: nothing shows MF-EX-1 yet")
    include = f"-I{GUEST_TESTS / 'lib'}"
    subprocess.run(["gcc", *CFLAGS, include, suite / "example.c", "-o", tmp_path / "c"], check=True)
    assert verdict(tmp_path / "c", "--run", "example_in_c") == unwritten
    outcome, reason = verdict(sys.executable, suite / "example.py", "--run", "example_in_python")
    assert outcome == "fail" and reason.endswith(unwritten[1])


def test_a_project_on_top_of_another(toy: Toy, place: Path) -> None:
    lower = toy.series(("mm: Lower", {"mm/swap.c": grow}), name="lower")
    made(toy, name="lower-one", series=str(lower))
    both = toy.series(
        ("mm: Lower", {"mm/swap.c": grow}),
        ("mm: Upper", {"mm/swap.c": lambda text: text.replace("7", "8")}),
        name="both",
    )
    (both / "0001-mm-Lower.patch").unlink()
    with pytest.raises(SeriesError, match="does not apply"):
        made(toy, name="upper-one", series=str(both))
    assert not (place / "patches" / "upper-one").exists()
    below = place / "patches" / "lower-one"
    made(toy, name="upper-one", series=str(both), project=below, claimed=True)
    data = contract.load(place / "patches" / "upper-one")
    assert data.below is not None and data.below.name == "lower-one"
    assert [(c.id, c.holds_from) for c in data.clauses.values()] == [("UO-EX-1", 1), ("LO-EX-1", 0)]
    assert data.own == {"UO-EX-1"}


@pytest.mark.parametrize("name", [None, "My", "my_fix", "../my", "my-", "there"])
def test_names_that_are_refused(toy: Toy, place: Path, name: str | None) -> None:
    (place / "guest-tests" / "there").mkdir(parents=True)
    with pytest.raises(InvocationError, match="NAME="):
        made(toy, name=name, series="x")
    assert not (place / "patches").exists()


def test_patches_must_be_named(toy: Toy, place: Path) -> None:
    with pytest.raises(InvocationError, match="SERIES="):
        made(toy, name="my-fix")


def test_what_clauses_are_called() -> None:
    names = ("lazyfree-shared", "readahead", "x86-64-fix", "mm", "volatile-swapless")
    assert [clause_prefix(name) for name in names] == ["LS", "REA", "XF", "MM", "VS"]
