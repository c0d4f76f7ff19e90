# SPDX-License-Identifier: GPL-2.0-only
"""make test-kernel from the command line to its last file, with fake guests (fake_guest_run.py)."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import UNTESTED
from harness.core.store import digest
from tests.run.fake_guest_run import Job, built_toy, dies, fails, hangs, passes, warns
from tests.support.limits import HUNG_S
from tests.support.toy import Toy
from tests.vm.fake_guest import FakeQemu

FIRST = [f"a{n:02}" for n in range(8)]
SECOND = [f"b{n:02}" for n in range(8)]
LATER = "b07"  # of a patch that the series does not have
RUN = [*FIRST, *SECOND[:-1]]  # what runs in a guest
IDS = [f"toy/first.py::{n}" for n in FIRST] + [f"toy/second.py::{n}" for n in SECOND]
STAGES = ("tree", "series", "config", "programs", "build", "rootfs", "change", "boot", "tests")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Toy, Path]:
    """The toy and a series of one patch; the first run builds it for all."""
    cases = {"first": dict.fromkeys(FIRST, 1), "second": dict.fromkeys(SECOND, 1) | {LATER: 2}}
    return built_toy(tmp_path_factory, cases)


def records(job: Job) -> dict[str, tuple[str, str]]:
    """Status and reason of all cases; each is there once, in order."""
    tests = job.document["tests"]
    assert [test["id"] for test in tests] == IDS
    return {test["id"].split("::")[1]: (test["status"], test["reason"]) for test in tests}


def broken(job: Job) -> dict[str, tuple[str, str]]:
    """The records of all that did not pass, without the one that cannot."""
    found = records(job)
    reason = "T-ONE-2 holds from patch 2; 1 applied"
    assert found.pop(LATER) == ("not_applicable", reason)
    return {name: said for name, said in found.items() if said != ("pass", "")}


def of_cases(job: Job) -> list[tuple[str, str]]:
    """What was said of cases, in order: the event and the case."""
    found = []
    for event in job.events:
        about = event.get("id") if event["event"].startswith("Case") else event.get("test")
        if about:
            found.append((event["event"], about.split("::")[1]))
    return found


def plainly(names: list[str]) -> list[tuple[str, str]]:
    """What is said of cases of which there is nothing to say."""
    said = [(kind, name) for name in names for kind in ("CaseStarted", "CaseFinished")]
    return [(kind, name) for kind, name in said if (kind, name) != ("CaseStarted", LATER)]


def names_of(job: Job, *without: str) -> list[str]:
    """The events by name, but those ``without`` and what is said of cases."""
    left_out = {"CaseStarted", "CaseFinished", *without}
    return [event["event"] for event in job.events if event["event"] not in left_out]


def clauses(job: Job) -> dict[str, Any]:
    return {name: found["verdict"] for name, found in job.document["clauses"].items()}


def test_all_pass(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    assert job.test_kernel("JOBS=1") == 0
    assert broken(job) == {}
    assert clauses(job) == {"T-ONE-1": "pass", "T-ONE-2": "not_applicable"}
    assert of_cases(job) == plainly([*FIRST, *SECOND])
    assert job.runs == dict.fromkeys(RUN, 1)
    assert (job.booted, job.restored) == (1, 0)
    stage = ["StageStarted", "StageFinished"]
    assert names_of(job, "Note") == [
        "RunStarted",
        *("StageStarted", "BaseKnown", "StageFinished"),
        *("StageStarted", "SeriesKnown", "StageFinished"),
        *("StageStarted", "ConfigKnown", "StageFinished"),
        *(stage * 3),  # programs, build, rootfs
        "AccelChosen",
        *("StageStarted", "ChangeKnown", "StageFinished"),
        *("StageStarted", "GuestBooted", "PaceMeasured", "StageFinished"),
        *("StageStarted", "StageFinished"),
        "RunFinished",
    ]
    for kind in stage:
        assert [e["name"] for e in job.events if e["event"] == kind] == list(STAGES)
    document = job.document
    assert document["exit_code"] == 0 and document["verdict"] == "pass" and not document["error"]
    assert document["kernel"]["version"] == "6.1.7"
    assert [patch["subject"] for patch in document["series"]["patches"]] == ["one"]
    for name in ("junit.xml", "report.html", "console.log", "build.log", "kernel.config"):
        assert (job.out / "latest" / name).stat().st_size
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in said if line.startswith(STAGES)] == list(STAGES)
    assert "16 cases: 15 pass, 1 not applicable" in said
    assert said[-1].startswith("verdict: pass (exit 0: nothing broke) in ")


def test_a_case_with_a_mistake_is_told_before_the_kernel_is_built(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = job.project / "guest-tests" / "toy"
    mistaken = suite / "mistaken.c"
    mistaken.write_text("int main(void) { return nowhere; }\n")
    try:
        assert job.test_kernel("JOBS=1") == 2
    finally:
        mistaken.unlink()
    begun = [e["name"] for e in job.events if e["event"] == "StageStarted"]
    assert begun == ["tree", "series", "config", "programs"]
    assert "the guest test mistaken.c does not compile" in capsys.readouterr().out


def test_a_case_that_fails(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    job.behaviours = {"a03": fails}
    assert job.test_kernel("JOBS=1") == 1
    assert broken(job) == {"a03": ("fail", "wanted 1, got 2")}
    assert clauses(job)["T-ONE-1"] == "fail"
    assert of_cases(job) == plainly([*FIRST, *SECOND])
    assert (job.booted, job.restored) == (1, 0)
    said = capsys.readouterr().out.splitlines()
    assert "  FAIL toy/first.py::a03: wanted 1, got 2" in said
    assert "  claim:  What a03 shows.  (T-ONE-1)" in said
    assert said[-1].startswith(
        "verdict: fail (exit 1: the series is at fault: 1 case broken, 0 kernel complaints) in "
    )


def test_after_enough_failures_no_other_case_is_begun(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    job.behaviours = dict.fromkeys(("a01", "a03", "a05"), fails)
    assert job.test_kernel("JOBS=1", "MAXFAIL=2") == 1
    assert job.runs == dict.fromkeys(FIRST[:4], 1)
    assert [test["id"] for test in job.document["tests"]] == IDS[:4]
    assert "MAXFAIL=2: 12 of 16 cases have not been run" in capsys.readouterr().out


def test_fewer_failures_stop_nothing(job: Job) -> None:
    job.behaviours = {"a01": fails}
    assert job.test_kernel("JOBS=2", "MAXFAIL=2") == 1
    assert broken(job) == {"a01": ("fail", "wanted 1, got 2")}


def test_a_case_that_hangs_is_ended_and_its_guest_kept(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    job.behaviours = {"b00": hangs}
    assert job.test_kernel("JOBS=1") == 1
    ((name, (status, reason)),) = broken(job).items()
    assert (name, status) == ("b00", "timeout") and reason.startswith("did not end within ")
    assert of_cases(job) == plainly([*FIRST, *SECOND])
    assert (job.booted, job.restored) == (1, 0)
    assert "  TIMEOUT toy/second.py::b00: did not end within " in capsys.readouterr().out


def test_what_the_kernel_says_is_that_cases(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    job.behaviours = {"a05": warns}
    assert job.test_kernel("JOBS=1") == 1
    assert broken(job) == {"a05": ("fail", "the kernel complained: WARNING in do_thing")}
    expected = plainly([*FIRST, *SECOND])
    expected.insert(expected.index(("CaseFinished", "a05")), ("SplatSeen", "a05"))
    assert of_cases(job) == expected
    (splat,) = job.document["splats"]
    assert (splat["title"], splat["test"]) == ("WARNING in do_thing", "toy/first.py::a05")
    assert "do_thing+0x1/0x2" in splat["text"]
    said = capsys.readouterr().out
    assert "  kernel: WARNING in do_thing  toy/first.py::a05\n" in said
    assert "1 case broken, 1 kernel complaint" in said


def test_a_lost_guest_is_replaced_from_the_snapshot(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    job.behaviours = {"a07": dies}
    assert job.test_kernel("JOBS=1") == 1
    assert broken(job) == {"a07": ("error", "the guest died")}
    expected = plainly([*FIRST, *SECOND])
    expected.insert(expected.index(("CaseFinished", "a07")), ("GuestLost", "a07"))
    assert of_cases(job) == expected
    assert job.runs == dict.fromkeys(RUN, 1)
    assert (job.booted, job.restored) == (1, 1)
    assert [boot["restored"] for boot in job.document["boots"]] == [False, True]
    lost = {"reason": "the guest died", "test": "toy/first.py::a07"}
    assert job.document["guests_lost"] == [lost]
    assert "  guest lost: the guest died\n" in capsys.readouterr().out


def test_broken_cases_run_again_and_their_records_stay(job: Job) -> None:
    def once_well(name: str, guest: FakeQemu) -> tuple[str, str]:
        return (passes if job.runs[name] == 3 else fails)(name, guest)

    job.behaviours = {"a01": once_well, "b01": dies}
    assert job.test_kernel("JOBS=1", "REPEAT=2") == 1
    assert broken(job) == {"a01": ("fail", "wanted 1, got 2"), "b01": ("error", "the guest died")}
    assert job.document["repeats"] == [
        {"id": "toy/first.py::a01", "passed": 1, "runs": 2},
        {"id": "toy/second.py::b01", "passed": 0, "runs": 2},
    ]
    assert job.runs == dict.fromkeys(RUN, 1) | {"a01": 3, "b01": 3}
    assert len(job.document["guests_lost"]) == 1  # what is lost in a repetition is no news
    assert of_cases(job)[-2:] == [("CaseRepeated", "a01"), ("CaseRepeated", "b01")]


def test_only_what_is_selected_runs(job: Job) -> None:
    assert job.test_kernel("JOBS=2", "TESTS=a03 or b03") == 0
    tests = [test["id"] for test in job.document["tests"]]
    assert tests == ["toy/first.py::a03", "toy/second.py::b03"]
    assert job.runs == {"a03": 1, "b03": 1}
    assert (job.booted, job.restored) == (1, 0)


class TestTwoGuests:
    """The first case ends when all others have, in the other guest."""

    @pytest.fixture
    def shared(self, job: Job) -> Job:
        others = len(RUN) - 1
        ended = threading.Semaphore(0)

        def waits(name: str, guest: FakeQemu) -> tuple[str, str]:
            for _ in range(others):
                assert ended.acquire(timeout=HUNG_S)
            return passes(name, guest)

        def counts(name: str, guest: FakeQemu) -> tuple[str, str]:
            act = {"a02": fails, "a06": warns, "b04": dies}.get(name, passes)
            try:
                return act(name, guest)
            finally:
                ended.release()

        job.behaviours = dict.fromkeys(RUN, counts) | {"a00": waits}
        return job

    def test_records_and_events_are_in_the_order_of_the_cases(
        self, shared: Job, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert shared.test_kernel("JOBS=2") == 1
        assert broken(shared) == {
            "a02": ("fail", "wanted 1, got 2"),
            "a06": ("fail", "the kernel complained: WARNING in do_thing"),
            "b04": ("error", "the guest died"),
        }
        expected = plainly([*FIRST, *SECOND])
        expected.insert(expected.index(("CaseFinished", "a06")), ("SplatSeen", "a06"))
        expected.insert(expected.index(("CaseFinished", "b04")), ("GuestLost", "b04"))
        # The screen is told what it waits for, be it run or not.
        expected.insert(expected.index(("CaseFinished", LATER)), ("CaseStarted", LATER))
        assert of_cases(shared) == expected
        assert shared.runs == dict.fromkeys(RUN, 1)
        assert (shared.booted, shared.restored) == (1, 2)
        said = capsys.readouterr().out.splitlines()
        marked = [line.split(":")[0] for line in said if line.startswith(("  FAIL", "  ERROR"))]
        assert marked == ["  FAIL toy/first.py", "  FAIL toy/first.py", "  ERROR toy/second.py"]
        assert "16 cases: 12 pass, 2 fail, 1 error, 1 not applicable" in said

    def test_broken_cases_run_again_in_the_first(self, shared: Job) -> None:
        assert shared.test_kernel("JOBS=2", "REPEAT=1") == 1
        assert set(broken(shared)) == {"a02", "a06", "b04"}
        repeated = [(r["id"].split("::")[1], r["passed"]) for r in shared.document["repeats"]]
        assert repeated == [("a02", 0), ("a06", 0), ("b04", 0)]
        assert shared.runs == dict.fromkeys(RUN, 1) | {"a02": 2, "a06": 2, "b04": 2}
        assert len(shared.document["splats"]) == len(shared.document["guests_lost"]) == 1


def test_the_change_has_run(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    job.executes = lambda address, case: True
    assert job.test_kernel("JOBS=1", "COVERAGE=1") == 0
    coverage = job.document["coverage"]
    assert (coverage["functions_entered"], coverage["functions"]) == (1, 1)
    assert coverage["lines_run"] == coverage["lines"] > 0 and coverage["whole"]
    said = capsys.readouterr().out.splitlines()
    lines, by = coverage["lines"], len(coverage["run_by"])
    assert f"change: {lines} of {lines} lines run, 1 of 1 functions, by {by} cases" in said
    page = (job.out / "latest" / "report.html").read_text()
    assert '<span class="run" title="outside of cases, as at boot">+}</span>' in page
    assert not list((job.out / "latest").glob("*.marks"))
    # The toy's flavour is called toy, whatever CONFIG= says: no other folder is built in.
    base, tools = job.toy.base(), job.toy.bench()
    here, other = (digest(base.key, name, tools.toolchain.version) for name in ("toy", "default"))
    assert job.toy.store.work_path("build", here).is_dir()
    assert not job.toy.store.work_path("build", other).exists()


def test_what_has_not_run_is_no_pass(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    assert job.test_kernel("JOBS=1", "COVERAGE=1") == UNTESTED
    assert job.document["verdict"] == "untested"
    assert job.document["coverage"]["not_reached"] == ["mm/swap.c:17 grown"]
    assert "not reached: mm/swap.c:17 grown" in capsys.readouterr().out.splitlines()


def test_a_selection_of_cases_shows_what_ran_and_proves_no_more(job: Job) -> None:
    assert job.test_kernel("JOBS=1", "COVERAGE=1", "TESTS=a03") == 0
    coverage = job.document["coverage"]
    assert (coverage["functions_entered"], coverage["functions"]) == (0, 1)
    assert not coverage["whole"]
