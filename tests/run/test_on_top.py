# SPDX-License-Identifier: GPL-2.0-only
"""A series that stands on another, with fake guests: what is counted, blamed and said of which."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.change import whose_series
from harness.commands import edit
from harness.core import git
from harness.mutants.switched_tree import switched_tree
from harness.run.against_base import BROKEN_BY_THIS, FEWEST
from harness.series.apply import apply_series
from harness.series.on_top import obtain_base
from harness.series.patches import load_series
from tests.run.fake_guest_run import CASE, PROGRAM, Job, built_toy, fails, passes
from tests.support.c_mutants import mutants_in
from tests.support.toy import Toy, grow
from tests.vm.fake_guest import WARNING, FakeQemu

UPPER = {
    "series.yaml": """\
name: upper
title: Upper
on_top_of: project
contract: contract.md
guest_tests: {guest_tests}
patches: ["mm: Count", "mm: Tell"]
holds_from: {{"U-*": 1, U-ONE-2: 2}}
""",
    "contract.md": "## Two\n\n| U-ONE-1 | it counts |\n| U-ONE-2 | it tells |\n",
}
COUNTED = "int counted(void)\n{\n\treturn 3;\n}\n"
LOWER_IDS = ["toy/first.py::a01", "toy/first.py::a02"]
UPPER_IDS = ["above/new.py::counts", "above/new.py::tells"]
# A helper of the lower series, used by a case of the upper one, which has one of its own.
HELPED = "import above_help, toy_help\n" + PROGRAM


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Toy, Path]:
    """The toy, a series on it and one on top of that; gives the folder of the upper one."""
    toy, lower = built_toy(tmp_path_factory, {"first": dict.fromkeys(("a01", "a02"), 1)})
    toy.series(
        ("one", {"mm/swap.c": grow}),
        ("mm: Count", {"mm/volatile.c": COUNTED}),
        ("mm: Tell", {"mm/madvise.c": lambda text: text + "\nint told(void)\n{\n\treturn 9;\n}\n"}),
        name="both",
    )
    upper = toy.root / "upper"
    for folder, patches in ((lower, "0001-*"), (upper, "000[23]-*")):
        (folder / "6.1").mkdir(parents=True)
        for patch in (toy.root / "both").glob(patches):
            shutil.copy(patch, folder / "6.1")
    suite = upper / "guest-tests" / "above"
    for place in (suite, lower / "guest-tests" / "toy"):
        (place / "lib").mkdir(parents=True)
        (place / "lib" / f"{place.name}_help.py").touch()
    cases = (("counts", 1), ("tells", 2))
    text = "".join(CASE.format(name=name, clause=clause) for name, clause in cases)
    (suite / "new.py").write_text(HELPED.format(cases=text.replace("T-ONE", "U-ONE")))
    for name, content in UPPER.items():
        (upper / name).write_text(content.format(guest_tests=suite))
    return toy, upper


def test_kernel(job: Job, *given: str) -> int:
    return job.test_kernel("SERIES=", "JOBS=1", *given)


test_kernel.__test__ = False  # type: ignore[attr-defined]


def said(job: Job) -> dict[str, tuple[str, str]]:
    return {test["id"]: (test["status"], test["reason"]) for test in job.document["tests"]}


def verdicts(job: Job) -> dict[str, Any]:
    return {name: clause["verdict"] for name, clause in job.document["clauses"].items()}


def test_its_own_patches_are_counted_and_both_suites_run(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    job.executes = lambda _address, _case: True
    assert test_kernel(job, "COVERAGE=1") == 0
    assert said(job) == dict.fromkeys((*UPPER_IDS, *LOWER_IDS), ("pass", ""))
    document = job.document
    assert [p["subject"] for p in document["series"]["patches"]] == ["mm: Count", "mm: Tell"]
    # Only what the upper series changes is the change.
    assert {file["path"] for file in document["files"]} == {"mm/volatile.c", "mm/madvise.c"}
    assert document["coverage"]["functions"] == 2 and document["coverage"]["whole"]
    page = (job.out / "latest" / "report.html").read_text()
    assert "counted" in page and "grown" not in page
    # The lower series' clauses stand apart: all that it promises is there, whatever its patch.
    expected = {"U-ONE-1": "pass", "U-ONE-2": "pass", "T-ONE-1": "pass", "T-ONE-2": "untested"}
    assert verdicts(job) == expected and list(verdicts(job)) == list(expected)
    screen = capsys.readouterr().out
    assert "Toy: One" in screen and "with 1 patches of toy" in screen


def test_without_its_patches_the_lower_series_is_left(job: Job) -> None:
    assert test_kernel(job, "PATCHES=0") == 0
    early = {name: ("not_applicable", f"U-ONE-{n} holds from patch {n}; 0 applied")
             for n, name in enumerate(UPPER_IDS, 1)}  # fmt: skip
    assert said(job) == dict.fromkeys(LOWER_IDS, ("pass", "")) | early
    assert job.document["files"] == [] and job.document["series"]["total"] == 2
    source = next((job.toy.store.root / "work" / "source").glob("*/tree"))
    assert "grown" in (source / "mm" / "swap.c").read_text()
    assert not (source / "mm" / "volatile.c").exists()
    assert test_kernel(job, "PATCHES=1") == 0
    assert verdicts(job)["U-ONE-1"] == "pass" and verdicts(job)["U-ONE-2"] == "not_applicable"


def test_the_lower_series_by_itself_finds_its_own_tree_again(job: Job) -> None:
    assert test_kernel(job) == 0
    assert test_kernel(job, f"PROJECT={job.project.parent / 'project'}", "PATCHES=0") == 0
    source = next((job.toy.store.root / "work" / "source").glob("*/tree"))
    assert git.text(job.toy.tree, "show", "HEAD:mm/swap.c") == (
        (source / "mm" / "swap.c").read_text().rstrip("\n")
    )
    assert not (source / "mm" / "volatile.c").exists()


def test_a_report_leads_to_a_patch_of_the_upper_series(job: Job) -> None:
    def warns_of_it(name: str, guest: FakeQemu) -> tuple[str, str]:
        guest.print(WARNING.replace("mm/x.c:1 do_thing", "mm/volatile.c:3 counted"))
        return passes(name, guest)

    job.behaviours = {"counts": warns_of_it}
    assert test_kernel(job) == 1
    (splat,) = job.document["splats"]
    assert splat["patch"] == "1 (mm: Count), mm/volatile.c:3"


def test_what_fails_of_the_lower_series_only_with_the_upper_one_is_broken_by_it(job: Job) -> None:
    def on_the_series(name: str, guest: FakeQemu) -> tuple[str, str]:
        assert guest.spec is not None
        upper = "counted" in (guest.spec.kernel.parent / "System.map").read_text()
        return (fails if upper else passes)(name, guest)

    job.behaviours = {"a02": on_the_series}
    assert test_kernel(job) == 1
    assert said(job)["toy/first.py::a02"] == ("fail", f"{BROKEN_BY_THIS}: wanted 1, got 2")
    assert job.runs["a02"] == 2 * (1 + FEWEST)
    assert verdicts(job)["T-ONE-1"] == "fail" and verdicts(job)["U-ONE-1"] == "pass"
    assert job.runs["a01"] == 1 and job.runs["counts"] == 1  # of the base only what failed


def test_what_fails_once_of_many_runs_is_no_evidence(job: Job) -> None:
    def at_first(name: str, guest: FakeQemu) -> tuple[str, str]:
        return (fails if job.booted == 1 else passes)(name, guest)

    job.behaviours = {"a02": at_first}
    assert test_kernel(job) == 0
    status, reason = said(job)["toy/first.py::a02"]
    assert status == "skip" and "no evidence of a difference" in reason


def test_what_fails_without_the_upper_series_too_is_no_fault_of_it(job: Job) -> None:
    job.behaviours = {"a02": fails}
    assert test_kernel(job) == 0
    status, reason = said(job)["toy/first.py::a02"]
    assert status == "skip" and reason == "on the bare base too: wanted 1, got 2"
    job.behaviours = {"tells": fails}  # which the base promises nothing of
    assert test_kernel(job) == 1
    assert said(job)["above/new.py::tells"] == ("fail", "wanted 1, got 2")


def test_a_lower_series_that_is_not_there(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    lower = job.project.parent / "project" / "6.1"
    away = lower.rename(lower.with_name("6.2"))
    try:
        assert test_kernel(job) == 2
    finally:
        away.rename(lower)
    told = capsys.readouterr().out
    assert "upper stands on toy: there is no series of ours for Linux 6.1 (only for: 6.2)" in told
    text = (job.project / "series.yaml").read_text()
    (job.project / "series.yaml").write_text(text.replace("project", "nobody"))
    try:
        assert test_kernel(job) == 2
    finally:
        (job.project / "series.yaml").write_text(text)


def test_a_tree_that_has_the_lower_series_already_is_the_base(job: Job, tmp_path: Path) -> None:
    tree = tmp_path / "linux"
    git.text(None, "clone", "--quiet", str(job.toy.tree), str(tree))
    (patch,) = (job.project.parent / "project" / "6.1").glob("*.patch")
    git.text(tree, "am", "--quiet", str(patch))
    assert test_kernel(job, f"KERNEL={tree}") == 0
    assert job.document["kernel"]["commit"] == git.text(tree, "rev-parse", "HEAD")
    assert {file["path"] for file in job.document["files"]} == {"mm/volatile.c", "mm/madvise.c"}


def test_it_is_known_by_its_patches_and_brings_the_lower_series(
    job: Job, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(whose_series, "SHIPPED", job.project.parent)
    given = "PROJECT=", f"SERIES={job.project / '6.1'}", "JOBS=1"
    assert job.test_kernel(*given) == 0
    assert "taken for upper (Upper): 2 of its 2 patches are among" in capsys.readouterr().out
    assert job.document["series"]["name"] == "upper"
    assert {file["path"] for file in job.document["files"]} == {"mm/volatile.c", "mm/madvise.c"}
    assert set(said(job)) == {*UPPER_IDS, *LOWER_IDS}


def test_what_edits_and_mutates_it_begins_above_the_lower_series(job: Job, tmp_path: Path) -> None:
    settings = job.toy.settings(project=job.project, claimed=True, tree=str(tmp_path / "tree"))
    base = obtain_base(settings, job.toy.store, job.toy.events)
    series = load_series(settings, base)
    applied = apply_series(base, series, None, job.toy.store, job.toy.events)
    text = git.raw(applied.repo, "cat-file", "blob", f"{applied.commit}:mm/swap.c").decode()
    mutants = [replace(mutant, path="mm/swap.c") for mutant in mutants_in(text)]
    made = switched_tree(base, applied, mutants, job.toy.store)
    assert git.text(made.repo, "rev-parse", f"{made.commit}~3") == base.commit
    assert edit.tree(settings) == 0
    for _ in range(2):  # made, and then brought up to date
        subjects = git.text(tmp_path / "tree", "log", "--format=%s", "base..HEAD").splitlines()
        assert subjects == ["mm: Tell", "mm: Count"]
        assert "grown" in git.text(tmp_path / "tree", "show", "base:mm/swap.c")
        assert edit.tree(settings) == 0
