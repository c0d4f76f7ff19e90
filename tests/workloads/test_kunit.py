# SPDX-License-Identifier: GPL-2.0-only
"""KUnit suites as tests: what the kernel kept of each is printed and judged."""

from __future__ import annotations

import subprocess
from pathlib import Path

from harness.change.kunit import KunitFile
from harness.core import events as ev
from harness.workloads import kunit
from harness.workloads.judge import alone, seen
from harness.workloads.selftests import RUNNER, case_of

FILE = KunitFile("lib/cmdline_kunit.c", "lib/cmdline.c", ("cmdline", "two words"))
GOOD = "    # Subtest: cmdline\n    1..2\n    ok 1 one\n    ok 2 two\nok 1 cmdline\n"
BAD = (
    "    # Subtest: cmdline\n    1..2\n    # one: EXPECTATION FAILED at lib/cmdline_kunit.c:7\n"
    "    not ok 1 one\n    ok 2 two\nnot ok 1 cmdline\n"
)


def printed(suite: str, results: Path) -> tuple[int, str]:
    text = kunit.script(suite).replace(kunit.RESULTS, str(results))
    done = subprocess.run(["sh", "-c", text], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def verdict(text: str) -> str:
    test = kunit.tests([FILE])[0]
    lines = tuple(f"| {line}" for line in text.splitlines())
    record = ev.CaseFinished(case_of(test, RUNNER).id, "pass", "", 0.1, (), lines)
    return alone(record, seen(record)).status


def test_a_suite_is_a_test_of_its_own_and_says_why() -> None:
    one, two = kunit.tests([FILE])
    assert (one.group, one.name, two.name) == ("kunit", "kunit_cmdline", "kunit_two_words")
    assert "lib/cmdline_kunit.c, for lib/cmdline.c" in one.why and not one.own
    assert set(kunit.scripts([FILE])) == {one.argv[0], two.argv[0]}
    (brought,) = kunit.tests([KunitFile("lib/new_kunit.c", "lib/new_kunit.c", ("new",))])
    assert brought.own


def test_what_the_kernel_kept_is_printed(tmp_path: Path) -> None:
    (tmp_path / "two words").mkdir()
    (tmp_path / "two words" / "results").write_text(GOOD)
    assert printed("two words", tmp_path) == (0, GOOD)
    status, said = printed("cmdline", tmp_path)
    assert status == 4 and "without the suite" in said


def test_a_suite_that_failed_has_failed() -> None:
    assert verdict(GOOD) == "pass"
    assert verdict(BAD) == "fail"
