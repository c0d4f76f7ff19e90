# SPDX-License-Identifier: GPL-2.0-only
"""What selftests print is read point by point; recorded outputs of real kernels."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core import events as ev
from harness.workloads.judge import WHOLE, Seen, SelftestRuns, points, seen

RECORDED = Path(__file__).parent / "data"


def test_points_have_a_number_a_name_and_an_outcome() -> None:
    text = """TAP version 13
1..6
ok 1 plain
not ok 2 - with a dash
ok 3 # SKIP no such device
ok 4 skipped # SKIP reason
ok 5 # XFAIL expected to fail
not ok 6 # error broken
# ok 7 a comment
    ok 8 indented
# Totals: pass:1 fail:1 xfail:1 xpass:0 skip:2 error:1"""
    assert points(text.splitlines()) == {
        "1 plain": "pass",
        "2 with a dash": "fail",
        "3": "skip",
        "4 skipped": "skip",
        "5": "xfail",
        "6": "fail",
    }


def test_what_varies_from_run_to_run_is_no_part_of_a_name() -> None:
    lines = ["ok 1 mapped at 0x7f21aa000000 in 8000500ns", "ok 2 took 1.25 ms, 3 s of CPU"]
    assert list(points(lines)) == ["1 mapped at 0x.. in .. s", "2 took .. s, .. s of CPU"]


def test_results_in_a_programs_own_words() -> None:
    own = r"^Testing (?P<name>.+)\.\.\. (?P<outcome>\w+)"
    lines = ["Testing wp on anon... done", "Testing x on y... skipped [reason: z]", "ok 1 no TAP"]
    assert points(lines, own) == {"wp on anon": "done", "x on y": "skipped"}


def test_a_name_that_stands_twice_is_two_points() -> None:
    assert points(["ok 1 x", "not ok 1 x"]) == {"1 x": "pass", "1 x (again)": "fail"}


def test_a_name_that_stands_often_is_so_many_points() -> None:
    found = points(["ok 1 x"] * 4000)
    assert len(found) == 4000 and "1 x (again)" in found and "1 x (4000)" in found


def test_an_ok_whose_subtest_failed_is_none() -> None:
    lines = ["    # Subtest: in", "    1..1", "    not ok 1 in", "\x1b[32mok 1 out\x1b[0m"]
    assert points(lines) == {"1 out": "fail"}


def record(*diagnostics: str, status: ev.Status = "pass", reason: str = "") -> ev.CaseFinished:
    return ev.CaseFinished(ev.CaseId.parse("t"), status, reason, 1.5, (), diagnostics=diagnostics)


def test_only_the_programs_own_lines_are_read() -> None:
    got = seen(record("| ok 1 a", "ok 2 not the program's", "selftest.py:3: | no", status="fail"))
    assert got.outcomes == {WHOLE: "fail", "1 a": "pass"}
    assert (got.status, got.lines, got.seconds) == ("fail", ("ok 1 a",), 1.5)


def test_a_program_that_skips_everything_has_not_passed() -> None:
    got = seen(record("| ok 1 # SKIP no nodes", "| ok 2 b # SKIP no nodes"))
    assert (got.status, got.reason) == ("skip", "each of its 2 results is a skip")
    assert seen(record("| ok 1 # SKIP no nodes", "| ok 2 b")).status == "pass"
    assert seen(record("| no results at all")).status == "pass"


def test_a_point_that_one_run_lacks_differs() -> None:
    a = Seen({WHOLE: "pass", "1 a": "pass", "2 b": "skip"})
    same = Seen({"2 b": "skip", "1 a": "pass", WHOLE: "pass"}, "why", 3.0)
    assert not SelftestRuns([a], [same]).differ
    assert SelftestRuns([a], [Seen({WHOLE: "pass", "1 a": "pass"})]).differ
    assert SelftestRuns([a], [Seen({**a.outcomes, "1 a": "fail"})]).differ
    assert SelftestRuns([a], [Seen({**a.outcomes, WHOLE: "fail"})]).differ


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("mremap_test-no-room.txt", {"pass": 7, "fail": 4, "xfail": 3}),
        ("mremap_test.txt", {"pass": 11, "xfail": 3}),
        ("madv_populate.txt", {"pass": 21}),
        ("migration.txt", {"skip": 3}),
        ("mlock2-tests.txt", {}),
    ],
)
def test_recorded_outputs(name: str, counts: dict[str, int]) -> None:
    """The program's own totals, where it prints some, are what is read."""
    found = list(points((RECORDED / name).read_text().splitlines()).values())
    assert {outcome: found.count(outcome) for outcome in set(found)} == counts


@pytest.mark.parametrize(
    ("lines", "status", "reason"),
    [
        (("1..3", "ok 1", "ok 3"), "fail", "2 of 3 planned points came; missing: 2"),
        (("ok 1", "Bail out! no memory"), "fail", "bailed out: no memory"),
        (("1..0 # SKIP needs two nodes",), "skip", "needs two nodes"),
        (("TAP version 13", "1..0"), "skip", "its plan is 1..0"),
        (("ok 1", "ok 2", "1..2"), "pass", ""),
        (("not ok 1 # TODO later", "1..1"), "pass", ""),
    ],
)
def test_exit_status_0_is_no_pass_of_a_program_that_says_it_gave_up(
    lines: tuple[str, ...], status: str, reason: str
) -> None:
    got = seen(record(*(f"| {line}" for line in lines)))
    assert (got.status, got.reason) == (status, reason)


def test_what_the_runner_left_out_is_not_missing() -> None:
    assert seen(record("| 1..9", "| ok 9", "left out: 8 results")).status == "pass"
    assert seen(record("| 1..9", "| ok 9", "| left out: 8 results")).status == "fail"
