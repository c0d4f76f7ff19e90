# SPDX-License-Identifier: GPL-2.0-only
"""A guest program's output counts only when all of it agrees."""

from __future__ import annotations

import pytest

from harness.cases import ktap
from harness.cases.ktap import read_case, read_tap

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
        (HEAD + "ok\n", 0, "reported '' when asked for 'marks'"),
        (HEAD + "ok 1 marks\nok\n", 0, "printed 2 result lines"),
        (HEAD + "ok 1 marks\nBail out! no memory\n", 0, "bailed out: no memory"),
        (HEAD + "ok 1 marks\nBail out!\n", 0, "bailed out: without a reason"),
        (HEAD + "    Bail out! in it\nok 1 marks\n", 0, "bailed out: in it"),
        (HEAD + "    not ok 2 in\nok 1 marks\n", 0, "says ok, and its subtest says 'not ok 2 in'"),
        ("KTAP version 1\n1..0\n", 0, "skipped without a reason"),
        ("KTAP version 1\n1..0 # SKIP x\n", 1, "ended before its result line"),
        ("KTAP version 1\n1..3\nok 2 marks\n", 0, "1 of 3 planned points came; missing: 1, 3"),
        ("KTAP version 1\n1..0\nok 1 marks\n", 0, "planned 0 points when asked for one case"),
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


@pytest.mark.parametrize(
    "text",
    [
        "KTAP version 1\nok 1 marks\n1..1\n",  # the plan at the end
        (HEAD + "# a note\nok 1 marks\n").replace("\n", "\r\n"),
        HEAD + "\x1b[1;32mok 1 marks\x1b[0m\n",
        HEAD + "ok marks\n",
        HEAD + "    ok 1 inner\n    not ok 2 later # TODO write\nok 1 marks\n",
    ],
)
def test_forms_of_a_pass(text: str) -> None:
    assert read_case(text, "marks", 0).outcome == "pass"


@pytest.mark.parametrize("word", ["TODO later", "XFAIL known", "SKIP no reason"])
def test_no_directive_makes_a_failing_case_of_ours_pass(word: str) -> None:
    output = read_case(f"{HEAD}# p.c:3: no\nnot ok 1 marks # {word}\n", "marks", 1)
    assert (output.outcome, output.reason) == ("fail", "p.c:3: no")


@pytest.mark.parametrize(
    ("text", "code"),
    [("KTAP version 1\n1..0 # SKIP no KSM\n", 0), (HEAD + "ok 1 marks # Skipped: no KSM\n", 0)],
)
def test_more_forms_of_a_skip(text: str, code: int) -> None:
    output = read_case(text, "marks", code)
    assert (output.outcome, output.reason) == ("skip", "no KSM")


@pytest.mark.parametrize(
    ("line", "number", "name", "outcome", "reason"),
    [
        ("ok", 1, "", "pass", ""),
        ("not ok", 1, "", "fail", ""),
        ("ok - dashed", 1, "dashed", "pass", ""),
        ("ok 7# SKIP", 7, "", "skip", ""),
        ("ok 2 a b   # Skipped: no numa", 2, "a b", "skip", "no numa"),
        ("ok 2 a #skip no room", 2, "a", "skip", "no room"),
        ("ok 2 a \\# SKIP b", 2, "a # SKIP b", "pass", ""),
        ("not ok 2 issue \\#7 # TODO fix", 2, "issue #7", "todo", "fix"),
        ("not ok 2 counts # of things", 2, "counts", "fail", ""),
        ("ok 2 took 3 # time=3 # SKIP late", 2, "took 3", "skip", "late"),
        ("ok 2 # TODOS are none", 2, "", "pass", ""),
        ("not ok 5 known # XFAIL not yet", 5, "known", "xfail", "not yet"),
        ("ok 4 4 two numbers", 4, "4 two numbers", "pass", ""),
        ("\x1b[31mnot ok 9 in red\x1b[0m", 9, "in red", "fail", ""),
    ],
)
def test_a_result_line(line: str, number: int, name: str, outcome: str, reason: str) -> None:
    (point,) = read_tap([line]).points
    assert (point.number, point.name, point.outcome) == (number, name, outcome)
    assert point.reason == reason


@pytest.mark.parametrize("line", ["okay 1", "ok: done", "nok 1", "# ok 1", "  ok 1", "not  ok 1"])
def test_what_is_no_result_line(line: str) -> None:
    assert read_tap([line]).points == []


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("1..3\nok 1\nok 3\n", "2 of 3 planned points came; missing: 2"),
        ("ok 2 b\nok 1 a\n1..4\n", "2 of 4 planned points came; missing: 3, 4"),
        ("1..9\n", "0 of 9 planned points came; missing: 1, 2, 3, 4, 5, ..."),
        ("1..999999999\nok\n", "1 of 999999999 planned points came; missing: 2, 3, 4, 5, 6, ..."),
        ("1..3\nok 3\nok 1\nok 2\n", None),
        ("1..3\nok 1\nok 2\nok 2\n", None),  # numbers stand twice in the kernel's selftests
        ("ok 1\nok 9\n", None),
    ],
)
def test_the_plan_says_what_is_missing(text: str, missing: str | None) -> None:
    assert read_tap(text.splitlines()).missing() == missing


def test_an_inner_failure_is_that_of_its_own_parent() -> None:
    text = "    not ok 1 in\nok 1 a\n  ok 1 in\nok 2 b\n\tnot ok 3 in\nnot ok 3 c # TODO\nok 4 d\n"
    outcomes = [point.outcome for point in read_tap(text.splitlines()).points]
    assert outcomes == ["fail", "pass", "todo", "pass"]


def test_of_a_million_points_some_are_kept_and_all_are_counted() -> None:
    tap = read_tap(f"ok {n}" for n in range(1, 1_000_001))
    assert tap.count == 1_000_000 and len(tap.points) == ktap.MAX_POINTS
    assert read_case(HEAD + "ok 1 marks\n" * 200_000, "marks", 0).reason == (
        "printed 200000 result lines"
    )


def test_of_many_diagnostics_the_first_and_the_last_are_kept() -> None:
    count = 2 * ktap.MAX_NOTES + 5
    notes = read_tap(f"# {n}" for n in range(count)).notes
    assert len(notes) == 2 * ktap.MAX_NOTES + 1
    assert (notes[0], notes[-1]) == ("0", str(count - 1))
    assert notes[ktap.MAX_NOTES] == "... 5 lines are left out ..."
    assert len(read_tap(["# " + "x" * 100_000]).notes[0]) < ktap.MAX_LINE_CHARS


@pytest.mark.parametrize("filling", [" ", "#", "# ", "# SKIP", "\\#", "\x1b[", "1", "ok 1 ", "\r"])
def test_a_long_line_takes_no_longer_than_its_length(filling: str) -> None:
    """A pattern that goes back and forth would take hours, and the test would be ended."""
    text = HEAD + "ok 1 marks" + filling * 500_000
    output = read_case(text, "marks", 0)
    assert (
        output.outcome in ("pass", "error", "skip") and len(output.reason) < 4 * ktap.MAX_LINE_CHARS
    )
