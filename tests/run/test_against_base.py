# SPDX-License-Identifier: GPL-2.0-only
"""What fails in a workload and what the bare base has to say on it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.core import events as ev
from harness.run.against_base import WorkloadRecords, to_repeat
from harness.workloads import kunit, stress
from harness.workloads.judge import WHOLE, Seen, SelftestRuns
from harness.workloads.regression_selftests import RUNNER, Selftest, case_of

TEST = Selftest("t", ("k/t",), group="kselftest/k")
ID = case_of(TEST, RUNNER).id
OTHER = ev.CaseId.parse("volatile/a.c::b")
GOOD, BAD = ("| 1..2", "| ok 1 one", "| ok 2 two"), ("| 1..2", "| ok 1 one", "| not ok 2 two")


def record(status: ev.Status = "pass", lines: tuple[str, ...] = (), reason: str = "") -> ev.Event:
    return ev.CaseFinished(ID, status, reason, 1.0, (), lines)


def splat(case: ev.CaseId) -> ev.SplatSeen:
    return ev.SplatSeen("WARNING in f", "warning", case, "text")


class Heard(ev.Events):
    """Events, and all that was emitted."""

    def __init__(self) -> None:
        self.all: list[ev.Event] = []
        super().__init__([self.all.append])

    def record(self) -> ev.CaseFinished:
        (only,) = (e for e in self.all if isinstance(e, ev.CaseFinished))
        return only


@pytest.fixture
def heard() -> Heard:
    return Heard()


def records(heard: Heard, *events: ev.Event, test: Selftest = TEST) -> WorkloadRecords:
    held = WorkloadRecords(heard, {str(ID): test})
    for event in events:
        held.take(event)
    return held


def test_what_passes_and_what_is_no_workload_is_told_at_once(heard: Heard) -> None:
    ours = replace(record("fail"), id=OTHER)  # type: ignore[type-var]
    held = records(heard, record("pass", GOOD), ours, splat(OTHER))
    assert [type(e) for e in heard.all] == [ev.CaseFinished, ev.CaseFinished, ev.SplatSeen]
    assert not held.waiting


def test_a_result_that_is_not_ok_fails_whatever_the_exit_status(heard: Heard) -> None:
    held = records(heard, record("pass", BAD))
    assert not heard.all and held.waiting == [str(ID)]
    held.emit({}, {}, set())
    assert heard.record().status == "fail" and "1 of 2 results fail" in heard.record().reason


def test_a_plan_that_was_not_kept_fails(heard: Heard) -> None:
    records(heard, record("pass", ("| 1..3", "| ok 1 one"))).emit({}, {}, set())
    assert heard.record().status == "fail" and "1 of 3" in heard.record().reason


@pytest.mark.parametrize(
    ("base", "status", "word"),
    [
        ({WHOLE: "pass", "1 one": "pass", "2 two": "fail"}, "pass", "on the bare base too"),
        ({WHOLE: "pass", "1 one": "pass", "2 two": "pass"}, "fail", "1 of 2 results fail"),
        ({WHOLE: "pass", "1 one": "fail", "2 two": "pass"}, "fail", "1 of 2 results fail"),
    ],
)
def test_what_was_broken_before_excuses_itself(
    heard: Heard, base: dict[str, str], status: str, word: str
) -> None:
    records(heard, record("pass", BAD)).emit({str(ID): [Seen(base)]}, {}, set())
    assert heard.record().status == status and word in heard.record().reason


def test_results_that_failed_before_are_not_named_as_what_is_new(heard: Heard) -> None:
    lines = ("| 1..3", "| not ok 1 one", "| not ok 2 two", "| ok 3 three")
    held = records(heard, record("fail", lines, "exit status: 1"))
    base = {WHOLE: "fail", "1 one": "fail", "2 two": "pass", "3 three": "pass"}
    held.emit({str(ID): [Seen(base)]}, {}, set())
    share = "1 of 3 results fail, such as 2 two, and not on the bare base"
    assert heard.record().reason == f"exit status: 1; {share}"


def test_what_fails_names_the_patches_that_it_ran(heard: Heard) -> None:
    held = records(heard, record("pass", BAD))
    held.patches_run = lambda case: f"{case.name} ran changed lines of patch 2 (why)"
    held.emit({}, {}, set())
    assert heard.record().diagnostics[-1] == "t ran changed lines of patch 2 (why)"
    heard.all.clear()  # of what the base excuses none is to blame
    held.emit({str(ID): [Seen({WHOLE: "pass", "2 two": "fail"})]}, {}, set())
    assert heard.record().diagnostics == BAD


def test_a_program_that_fails_as_a_whole_on_both_says_nothing(heard: Heard) -> None:
    held = records(heard, record("fail", (), "exit status: 1"))
    held.emit({str(ID): [Seen({WHOLE: "fail"})]}, {}, set())
    assert heard.record().status == "skip"


def test_what_a_stressor_calls_a_failure_is_one_though_it_exits_with_0(heard: Heard) -> None:
    lines = (
        "| stress-ng: info:  [56] dispatching hogs: 1 msg",
        "| stress-ng: fail:  [57] msg: msgsnd failed, errno=22 (Invalid argument)",
        "| stress-ng: info:  [56] successful run completed in 0.06s",
    )
    (test,) = stress.tests({"msg": "for ipc/msg.c"}, 2000, None)
    ran = replace(record("pass", lines), id=case_of(test, RUNNER).id)  # type: ignore[type-var]
    held = WorkloadRecords(heard, {str(case_of(test, RUNNER).id): test})
    held.take(ran)
    held.emit({str(case_of(test, RUNNER).id): [Seen({WHOLE: "pass"})]}, {}, set())
    assert heard.record().status == "fail" and "msgsnd failed" in heard.record().reason


@pytest.mark.parametrize(("group", "times"), [("kselftest/k", 10), (kunit.GROUP, 0)])
def test_what_a_suite_said_at_boot_is_not_read_again_and_again(
    heard: Heard, group: str, times: int
) -> None:
    test = replace(TEST, group=group)
    case = case_of(test, RUNNER)
    held = WorkloadRecords(heard, {str(case.id): test})
    held.take(replace(record("fail"), id=case.id))  # type: ignore[type-var]
    first = {str(case.id): [Seen({WHOLE: "pass"})]}
    assert len(to_repeat(held, [case], first)[0]) == times
    held.emit(first, {}, set())
    assert heard.record().status == "fail" and "not on the bare" in heard.record().diagnostics[0]


@pytest.mark.parametrize(("there", "times"), [(7.0, 5), (290.0, 0)])
def test_what_hung_is_run_again_as_often_as_tells(heard: Heard, there: float, times: int) -> None:
    """A sound series was blamed for a stressor that had hung once, as that took too long."""
    held = records(heard, replace(record("fail"), seconds=300.0))  # type: ignore[type-var]
    first = {str(ID): [Seen({WHOLE: "pass"}, seconds=there)]}
    cases, known = to_repeat(held, [case_of(TEST, RUNNER)], first)
    assert (len(cases), len(known)) == (times, 1 if times else 0)


def test_rates_decide_where_it_was_run_again(heard: Heard) -> None:
    good, bad = Seen({WHOLE: "pass"}), Seen({WHOLE: "fail"})
    flaps = SelftestRuns([good, *[good, bad] * 5], [bad, *[bad, good] * 5])
    records(heard, record("fail")).emit({str(ID): [good]}, {str(ID): flaps}, set())
    assert heard.record().status == "skip"
    heard.all.clear()
    worse = SelftestRuns([good, *[good] * 10], [bad, *[bad] * 10])
    records(heard, record("fail")).emit({str(ID): [good]}, {str(ID): worse}, set())
    assert heard.record().status == "fail"


def test_a_complaint_that_the_base_has_too_does_not_count(heard: Heard) -> None:
    held = records(heard, splat(ID), record("fail", (), "the kernel complained: WARNING in f"))
    assert held.waiting == [str(ID)]
    held.emit({str(ID): [Seen({WHOLE: "fail"})]}, {}, {"WARNING in f"})
    (seen,) = (e for e in heard.all if isinstance(e, ev.SplatSeen))
    assert seen.foreign and heard.record().status == "skip"
    heard.all.clear()
    held = records(heard, splat(ID), record("fail", (), "the kernel complained: WARNING in f"))
    held.emit({str(ID): [Seen({WHOLE: "pass"})]}, {}, set())
    (seen,) = (e for e in heard.all if isinstance(e, ev.SplatSeen))
    assert not seen.foreign and heard.record().status == "fail"


def test_results_that_fail_on_the_base_too_do_not_excuse_a_complaint(heard: Heard) -> None:
    complaint = "the kernel complained: WARNING in f"
    held = records(heard, splat(ID), record("fail", BAD, complaint))
    held.emit({str(ID): [Seen({WHOLE: "fail", "1 one": "pass", "2 two": "fail"})]}, {}, set())
    assert heard.record().status == "fail"
    assert heard.record().reason == complaint
    heard.all.clear()
    held.emit({str(ID): [Seen({WHOLE: "fail", "1 one": "pass", "2 two": "pass"})]}, {}, set())
    assert heard.record().reason == f"{complaint}; 1 of 2 results fail, such as 2 two"


def test_a_selftest_that_the_series_brings_is_excused_by_nothing(heard: Heard) -> None:
    held = records(heard, record("fail"), test=replace(TEST, own=True))
    assert held.waiting == []
    held.emit({}, {}, set())
    assert heard.record().status == "fail"
