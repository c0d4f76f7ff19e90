# SPDX-License-Identifier: GPL-2.0-only
"""What differs between two kernels is told from what only varies."""

from __future__ import annotations

import pytest

from harness.workloads.judge import (
    AGAIN,
    WHOLE,
    Seen,
    SelftestRuns,
    cannot_run,
    differences,
    judge,
    summary,
)
from harness.workloads.regression_selftests import Selftest

TEST = Selftest("one", ("one", "-x"))


def run(whole: str = "pass", **points: str) -> Seen:
    return Seen({WHOLE: whole, **points}, "why" if whole != "pass" else "", 1.0, ("said",))


def once(base: Seen, series: Seen) -> SelftestRuns:
    return SelftestRuns([base], [series])


def test_the_same_on_both_is_a_pass() -> None:
    record = judge(TEST, once(run(a="pass"), run(a="pass")), "V-KS-2")
    assert (str(record.id), record.status) == ("regression::one", "pass")
    assert record.clauses == ("V-KS-2",)
    assert record.reason == "" and record.seconds == 2.0 and record.id.attempt == 1


def test_a_broken_point_is_the_same_as_long_as_it_is_broken_on_both() -> None:
    both = once(run("pass", a="fail"), run("pass", a="fail"))
    assert judge(TEST, both, "V-KS-2").status == "pass"


@pytest.mark.parametrize("status", ["fail", "skip", "error", "timeout"])
def test_what_never_passes_on_the_base_says_nothing(status: str) -> None:
    record = judge(TEST, once(run(status), run(status)), "V-KS-2")
    assert (record.status, record.reason) == ("skip", f"on the bare base too: {status}: why")


def test_what_always_differs_is_a_difference() -> None:
    runs = SelftestRuns([run(a="pass")] * (AGAIN + 1), [run("fail", a="fail")] * (AGAIN + 1))
    record = judge(TEST, runs, "V-KS-2")
    assert record.status == "fail" and record.id.attempt == 1 + AGAIN
    assert record.reason == (
        "exit status: pass 10 of 10 without the series, 0 of 10 with it, p = 1.1e-05: worse"
    )
    fails = next(line for line in record.diagnostics if line.startswith("a: fail 0 of 10"))
    assert fails.endswith("p = 1.1e-05: a difference")
    assert "with the series: said" in record.diagnostics


def test_what_passes_only_with_the_series_is_a_difference_too() -> None:
    runs = SelftestRuns([run("fail")] * 11, [run()] * 11)
    assert judge(TEST, runs, "V-KS-2").status == "fail"


def test_what_flaps_on_both_alike_is_none() -> None:
    base = [run()] + [run(), run("fail")] * 5
    series = [run("fail")] + [run("fail"), run(), run()] * 3 + [run()]
    record = judge(TEST, SelftestRuns(base, series), "V-KS-2")
    assert record.status == "pass"
    assert record.reason.endswith("p = 0.65: no evidence of a difference")


def test_the_run_that_raised_the_suspicion_does_not_count() -> None:
    """With it, 11 of 11 against 4 of 11 would be p = 0.004; without, 10 against 4 is 0.011."""
    base = [run()] * 11
    series = [run("fail")] + [run("fail")] * 6 + [run()] * 4
    ours, chance = differences(SelftestRuns(base, series))
    assert not ours and "pass 10 of 10 without the series, 4 of 10 with it" in chance[0]


def test_one_run_of_each_that_differs_is_a_difference_until_more_is_known() -> None:
    ours, _ = differences(once(run(a="pass"), run(a="skip")))
    assert ours == ["a: pass without the series, skip with it"]


def test_a_point_that_is_gone_is_a_difference() -> None:
    runs = SelftestRuns([run(a="pass", b="pass")] * 11, [run(a="pass")] * 11)
    assert judge(TEST, runs, "V-KS-2").reason.startswith("b: pass 10 of 10 without the series, 0")


def test_what_the_kernel_cannot_run_is_named() -> None:
    record = cannot_run(TEST, "NUMA", "V-KS-2")
    assert (record.status, record.clauses) == ("skip", ("V-KS-2",))
    assert record.reason.startswith("needs CONFIG_NUMA, which this flavour does not have")


def test_the_summary_counts() -> None:
    tests = [Selftest(name, (name,)) for name in "abc"]
    runs = {
        "a": once(run(x="pass", y="skip"), run(x="pass", y="skip")),
        "b": once(run("skip"), run("skip")),
    }
    records = [judge(test, runs[test.name], "V-KS-2") for test in tests[:2]]
    assert summary(tests, runs, records) == (
        "2 of 3 selftests compared, 2 results in them: 1 pass on the bare base, 0 differ, "
        "0 vary on both without evidence of a difference"
    )
