# SPDX-License-Identifier: GPL-2.0-only
"""TESTS=touched: which functions were edited, and which cases run first for that."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import UNTESTED
from harness.run.touched import edits_of
from tests.run.fake_guest_run import Job, built_toy, fails
from tests.support.toy import TOY, Toy, grow

CASES = [f"a{n:02}" for n in range(6)]
SWAP = (TOY / "mm" / "swap.c").read_text()
OUTSIDE = "it was edited outside of functions"


def edited(now: str, before: str | None = SWAP) -> dict[str, set[int]] | str:
    found = edits_of(before, now)
    return found if isinstance(found, str) else {f.names[0]: lines for f, lines in found}


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (SWAP, {}),
        (SWAP.replace("page + 1", "page + 2"), {"swap_out": {9}}),
        # Where a line is added, those beside it tell.
        (SWAP.replace("\treturn page - 1", "\tpage--;\n\treturn page - 1"), {"swap_in": {13, 14}}),
        # What moves is not edited.
        (SWAP.replace("\treturn -1;", "\treturn\n-1;"), {"swap_out": {7}}),
        (SWAP[: SWAP.index("\nint swap_in")], {"swap_in": {12, 13, 14, 15}}),
        # Who calls a new function was edited too.
        (grow(SWAP), {}),
        (SWAP.replace("#include", "/* why */\n#include"), {}),
        (SWAP.replace("#include", "#define LOW 0\n#include"), OUTSIDE),
    ],
)
def test_the_functions_that_were_edited(now: str, expected: dict[str, set[int]] | str) -> None:
    assert edited(now) == expected


@pytest.mark.parametrize(("was", "now", "line"), [("+ 1", "+ 2", 9), ("- 1;\n}", "- 2;\n}", 14)])
def test_two_functions_of_one_name_are_two(was: str, now: str, line: int) -> None:
    before = SWAP.replace("swap_in", "swap_out")
    assert edited(before.replace(was, now), before) == {"swap_out": {line}}


def test_of_a_file_that_was_not_watched_nothing_is_known() -> None:
    assert edited(SWAP, None) == "it was not watched in the last whole run"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Toy, Path]:
    return built_toy(tmp_path_factory, {"first": dict.fromkeys(CASES, 1)})


@pytest.fixture
def edit(job: Job) -> Path:
    """The series with another function grown, after a whole run in which two cases entered that."""
    job.executes = lambda address, case: case in ("a02", "a04")
    assert job.test_kernel("JOBS=1", "COVERAGE=1") == 0
    job.runs.clear()
    steps = ("one", {"mm/swap.c": lambda text: grow(text).replace("return 7", "return 8")})
    return job.toy.series(steps, name="edited")


def order(job: Job) -> list[str]:
    return [test["id"].split("::")[1] for test in job.document["tests"]]


def said(job: Job) -> list[str]:
    return [note for note in job.document["notes"] if "touched: " in note or "left out" in note]


def test_they_run_first_and_the_full_set_follows(job: Job, edit: Path) -> None:
    job.behaviours = {"a04": fails}
    assert job.test_kernel("JOBS=1", f"SERIES={edit}", "TESTS=touched") == 1
    assert set(order(job)[:2]) == {"a02", "a04"} and sorted(order(job)) == CASES
    assert said(job) == ["touched: 2 of 6 cases; edited: grown"]
    (stage,) = [s for s in job.document["stages"] if s["name"] == "touched"]
    assert stage["detail"] == "2 cases, 1 broken"


def test_or_no_others_do(job: Job, edit: Path) -> None:
    assert job.test_kernel("JOBS=1", f"SERIES={edit}", "TESTS=touched-only") == 0
    assert set(order(job)) == {"a02", "a04"} == set(job.runs)
    assert said(job)[1] == "4 cases left out, which cannot reach it"


def test_a_broken_case_can_end_the_run(job: Job, edit: Path) -> None:
    job.behaviours = {"a02": fails, "a04": fails}
    assert job.test_kernel("JOBS=1", f"SERIES={edit}", "TESTS=touched", "MAXFAIL=1") == 1
    assert len(job.runs) == 1


def test_where_nothing_was_edited_no_case_touches(job: Job, edit: Path) -> None:
    assert job.test_kernel("JOBS=1", "TESTS=touched-only") == UNTESTED
    assert not job.runs
    assert said(job)[0] == "touched: 0 of 6 cases; nothing was edited since the last whole run"


def test_without_a_whole_run_all_cases_are_run(
    job: Job, edit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (job.toy.store.root / "reach").iterdir():
        path.unlink()
    assert job.test_kernel("JOBS=1", f"SERIES={edit}", "TESTS=touched-only") == 0
    assert order(job) == CASES
    assert said(job) == ["touched: 6 of 6 cases; no whole run of this kernel is in the store"]
