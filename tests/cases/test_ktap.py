# SPDX-License-Identifier: GPL-2.0-only
"""A guest program's output counts only when all of it agrees."""

from __future__ import annotations

import pytest

from harness.cases.ktap import read_case

HEAD = "KTAP version 1\n1..1\n"


def test_a_passing_case() -> None:
    output = read_case(HEAD + "# hello\nok 1 marks\n", "marks", 0)
    assert (output.outcome, output.reason, output.diagnostics) == ("pass", "", ("hello",))


@pytest.mark.parametrize("separator", [" ", " - "])
def test_both_forms_of_a_result_line(separator: str) -> None:
    assert read_case(f"{HEAD}ok 1{separator}marks\n", "marks", 0).outcome == "pass"


def test_a_failing_case_gives_its_first_check_as_the_reason() -> None:
    text = HEAD + "# seed 7\n# shapes.c:12: ret == 0: -1\n# shapes.c:19: later\nnot ok 1 marks\n"
    output = read_case(text, "marks", 1)
    assert (output.outcome, output.reason) == ("fail", "shapes.c:12: ret == 0: -1")


def test_a_failure_without_check_gives_its_last_words() -> None:
    assert read_case(HEAD + "# a\n# b\nnot ok 1 marks\n", "marks", 1).reason == "b"


def test_a_skip_says_why() -> None:
    output = read_case(HEAD + "ok 1 marks # SKIP no KSM\n", "marks", 0)
    assert (output.outcome, output.reason) == ("skip", "no KSM")


@pytest.mark.parametrize(
    ("text", "code", "reason"),
    [
        ("", 0, "printed no KTAP header"),
        ("KTAP version 1\nok 1 marks\n", 0, "printed no plan"),
        (HEAD, 0, "ended before its result line"),
        (HEAD, 1, "ended before its result line"),
        (HEAD + "ok 1 marks\nok 1 marks\n", 0, "printed 2 result lines"),
        (HEAD + "ok 1 other\n", 0, "reported 'other' when asked for 'marks'"),
        (HEAD + "ok 1 marks\n", 1, "said 'ok' and exited 1"),
        (HEAD + "not ok 1 marks\n", 0, "said 'not ok' and exited 0"),
        (HEAD + "ok 1 marks\n", None, "reported a result and never ended"),
        (HEAD + "ok 1 marks # SKIP\n", 0, "skipped without a reason"),
    ],
)
def test_a_program_that_breaks_the_protocol_is_an_error(
    text: str, code: int | None, reason: str
) -> None:
    output = read_case(text, "marks", code)
    assert (output.outcome, output.reason) == ("error", reason)


def test_a_death_by_signal_is_named() -> None:
    reason = read_case(HEAD + "# touching\n", "marks", 139).reason
    assert reason == "died by signal 11: ended before its result line"


def test_ok_inside_a_word_is_no_result() -> None:
    assert read_case(HEAD + "okay 1 marks\n", "marks", 0).outcome == "error"
