# SPDX-License-Identifier: GPL-2.0-only
"""``make test-kernel`` on a series of which the project knows nothing, with fake guests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.commands import one_kernel
from harness.core.errors import UNTESTED
from harness.run import against_base
from harness.run.assemble_guest import Equipment
from harness.run.session import Session
from harness.run.two_kernels import ComparedKernel
from harness.vm.machine import CodeWatch
from tests.run.fake_guest_run import Job, built_toy, fails, passes, warns
from tests.support.toy import Toy
from tests.vm.fake_guest import FakeQemu

FOREIGN = ("PROJECT=", "JOBS=1")
OWN = ("WORKLOADS=run", "RUN=./my-test --fast")
NAME = "my_test_fast"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Toy, Path]:
    return built_toy(tmp_path_factory, {"first": dict.fromkeys(("a01", "a02"), 1)})


def status(job: Job) -> dict[str, str]:
    return {test["id"]: test["status"] for test in job.document["tests"]}


def test_nothing_that_runs_it_is_no_pass(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    assert job.test_kernel(*FOREIGN, "WORKLOADS=none") == UNTESTED
    document = job.document
    assert document["verdict"] == "untested" and document["tests"] == []
    assert document["series"]["name"] == "foreign" and document["clauses"] == {}
    assert [(f["path"], f["compiled"]) for f in document["files"]] == [("mm/swap.c", True)]
    assert "no workload ran" in document["untested"][0]
    said = capsys.readouterr().out
    assert "taken for a foreign series" in said
    assert "verdict: untested (exit 4: nothing broke, and too little of the change has run)" in said


def test_the_users_program_earns_a_pass(job: Job) -> None:
    assert job.test_kernel(*FOREIGN, *OWN) == 0
    assert status(job) == {f"RUN::{NAME}": "pass"}
    assert job.booted == 1 and job.document["untested"] == []


def test_a_program_that_fails_with_the_series_only(job: Job) -> None:
    def on_the_series(name: str, guest: FakeQemu) -> tuple[str, str]:
        return (fails if job.booted == 1 else passes)(name, guest)

    job.behaviours = {NAME: on_the_series}
    # The repetitions of the series' kernel come from the boots after the base's, and pass.
    assert job.test_kernel(*FOREIGN, *OWN) in (1, UNTESTED)
    assert job.booted >= 2
    assert (job.out / "latest" / "base" / "console.log").is_file()
    # What the base is made of is no part of the results.
    assert job.document["series"]["patches"] and job.document["kernel"]["base"]


def test_a_program_that_fails_without_the_series_too(job: Job) -> None:
    job.behaviours = {NAME: fails}
    assert job.test_kernel(*FOREIGN, *OWN) == UNTESTED
    assert status(job) == {f"RUN::{NAME}": "skip"}
    assert "on the bare base too" in job.document["tests"][0]["reason"]


def test_a_complaint_counts_unless_the_base_has_it_too(job: Job) -> None:
    def on_the_series(name: str, guest: FakeQemu) -> tuple[str, str]:
        return (warns if job.booted == 1 else passes)(name, guest)

    job.behaviours = {NAME: on_the_series}
    assert job.test_kernel(*FOREIGN, *OWN) == 1
    assert len(job.document["splats"]) == 1 and status(job) == {f"RUN::{NAME}": "fail"}
    job.booted = 0
    job.behaviours = {NAME: warns}
    assert job.test_kernel(*FOREIGN, *OWN) == UNTESTED
    assert job.document["splats"] == [] and job.document["foreign_splats"]


def test_a_program_runs_beside_the_cases_of_a_series_of_ours(job: Job) -> None:
    assert job.test_kernel("JOBS=1", "RUN=./my-test --fast") == 0
    found = status(job)
    assert found[f"RUN::{NAME}"] == "pass" and len(found) == 3


def test_files_that_are_no_folder_are_refused(job: Job, tmp_path: Path) -> None:
    assert job.test_kernel(*FOREIGN, *OWN, f"GUEST_FILES={tmp_path / 'none'}") == 2
    assert job.test_kernel(*FOREIGN, "WORKLOADS=nonsense") == 2


def test_the_stage_counts_what_waits_for_the_base(job: Job) -> None:
    job.behaviours = {NAME: fails}
    job.test_kernel(*FOREIGN, *OWN)
    (tests,) = (stage for stage in job.document["stages"] if stage["name"] == "tests")
    assert tests["detail"] == "1 case"


def test_repetitions_are_not_watched_for_the_change(
    job: Job, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    watched: list[object] = []
    nothing = CodeWatch(tmp_path / "marks.so", tmp_path / "addresses")
    nothing.addresses.write_bytes(bytes(8))

    def kernel(session: Session, equipment: Equipment, *rest: Any) -> ComparedKernel:
        watched.append(equipment.spec.watch)
        return ComparedKernel(session, equipment, *rest)

    def watch(session: Session, equipment: Equipment) -> tuple[Equipment, None]:
        return replace(equipment, spec=replace(equipment.spec, watch=nothing)), None

    monkeypatch.setattr(against_base, "ComparedKernel", kernel)
    monkeypatch.setattr(one_kernel, "watch_change", watch)
    job.behaviours = {NAME: lambda name, guest: (fails if job.booted == 1 else passes)(name, guest)}
    job.test_kernel(*FOREIGN, *OWN)
    assert watched == [None, None]


def test_a_listing_has_no_verdict(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    assert job.run("list-tests", *FOREIGN, *OWN) == 0
    said = capsys.readouterr().out
    assert NAME in said and "verdict" not in said
    assert "would run: run 1\n" in said and "listed (exit 0: nothing was run)" in said
    assert job.run("list-tests", *FOREIGN, "SERIES=/nowhere") == 2
    assert "verdict: " in capsys.readouterr().out


def test_a_listing_of_nothing_says_so(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    assert job.run("list-tests", *FOREIGN, "WORKLOADS=run") == 0
    said = capsys.readouterr().out
    assert "no workload: nothing calls the change" in said and "listed (exit 0" in said


def test_a_series_without_code_is_not_measured(job: Job) -> None:
    text = job.toy.series(("words", {"Documentation/a.rst": "Words.\n"}), name="words")
    assert job.test_kernel("PROJECT=", "JOBS=1", f"SERIES={text}", "COVERAGE=1") == 0
    assert "coverage" not in [stage["name"] for stage in job.document["stages"]]
