# SPDX-License-Identifier: GPL-2.0-only
"""KUnit suites as tests: what the kernel kept of each is printed and judged."""

from __future__ import annotations

import subprocess
from pathlib import Path

from harness.change.kunit import KunitFile
from harness.core import events as ev
from harness.workloads import kunit
from harness.workloads.judge import alone, seen
from harness.workloads.regression_selftests import RUNNER, case_of

FILE = KunitFile("lib/cmdline_kunit.c", "lib/cmdline.c", ("cmdline", "two words"))
# As Linux 6.1 prints it, with the kernel's own messages between.
GOOD = """\
    KTAP version 1
    # Subtest: cmdline
    1..2
    # one: ok, 3 of 3
Freeing unused kernel image memory: 2048K
    ok 1 one
    # Subtest: inner
        ok 1 first
    ok 2 two
# cmdline: pass:2 fail:0 skip:0 total:2
ok 7 cmdline
"""
BAD = GOOD.replace("    ok 1 one", "    not ok 1 one").replace("ok 7", "not ok 7")
OTHER = GOOD.replace("cmdline", "cmdline-more")


def log(said: str) -> str:
    """The kernel's log, as dmesg prints it with CONFIG_PRINTK_CALLER."""
    return "".join(f"[    0.123456][    T1] {line}\n" for line in said.splitlines())


def printed(suite: str, results: Path, said: str = "") -> tuple[int, str]:
    """What the script of a suite prints where the kernel's log says ``said``."""
    text = kunit.script(suite).replace(kunit.RESULTS, str(results))
    (results / "log").write_text(log(said))
    dmesg = results / "dmesg"
    dmesg.write_text(f"#!/bin/sh\nexec cat {results}/log\n")
    dmesg.chmod(0o755)
    env = {"PATH": f"{results}:/usr/bin:/bin"}
    argv = ["sh", "-c", text]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=env)
    return done.returncode, done.stdout


def outcome(exit_code: int, text: str) -> ev.CaseFinished:
    test = kunit.tests([FILE])[0]
    lines = tuple(f"| {line}" for line in text.splitlines())
    status: ev.Status = "skip" if exit_code == 4 else "fail" if exit_code else "pass"
    record = ev.CaseFinished(case_of(test, RUNNER).id, status, "", 0.1, (), lines)
    return alone(record, seen(record))


def test_a_suite_is_a_test_of_its_own_and_says_why() -> None:
    one, two = kunit.tests([FILE])
    assert (one.group, one.name, two.name) == ("kunit", "kunit_cmdline", "kunit_two_words")
    assert "lib/cmdline_kunit.c, for lib/cmdline.c" in one.why and not one.own
    assert (one.script, two.script) == (kunit.script("cmdline"), kunit.script("two words"))
    (brought,) = kunit.tests([KunitFile("lib/new_kunit.c", "lib/new_kunit.c", ("new",))])
    assert brought.own


def test_each_case_of_a_suite_is_a_result(tmp_path: Path) -> None:
    code, text = printed("cmdline", tmp_path, f"Linux version 6.1\n{OTHER}{GOOD}more")
    record = ev.CaseFinished(ev.CaseId("guest", "kunit", "x"), "pass", "", 0.1, (),
                             tuple(f"| {line}" for line in text.splitlines()))  # fmt: skip
    assert code == 0 and outcome(code, text).status == "pass"
    found = {"exit status": "pass", "1 one": "pass", "2 two": "pass"}
    assert seen(record).outcomes == found
    assert "Freeing" not in text and "cmdline-more" not in text


def test_a_suite_that_failed_has_failed(tmp_path: Path) -> None:
    record = outcome(*printed("cmdline", tmp_path, GOOD.replace("cmdline", "other") + BAD))
    assert record.status == "fail" and "1 of 2 results fail, such as 1 one" in record.reason
    alone_bad = GOOD.replace("ok 7", "not ok 7")  # what comes before or behind its cases
    assert outcome(*printed("cmdline", tmp_path, alone_bad)).status == "fail"


def test_a_suite_that_skips_has_skipped(tmp_path: Path) -> None:
    code, _ = printed("cmdline", tmp_path, GOOD.replace("ok 7 cmdline", "ok 7 cmdline # SKIP no"))
    assert code == 4


def test_a_suite_that_did_not_end_has_failed(tmp_path: Path) -> None:
    code, text = printed("cmdline", tmp_path, BAD.replace("not ok 7 cmdline\n", ""))
    assert code == 1 and "did not end" in text


def test_a_log_that_went_round_leaves_what_debugfs_kept(tmp_path: Path) -> None:
    (tmp_path / "two words").mkdir()
    (tmp_path / "two words" / "results").write_text(BAD.replace("cmdline", "two words"))
    code, text = printed("two words", tmp_path, GOOD)
    assert code == 1 and "debugfs has this" in text and "\nnot ok 1 one\n" in text
    code, text = printed("cmdline", tmp_path)
    assert code == 4 and "no suite of this name" in text
