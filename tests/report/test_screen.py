# SPDX-License-Identifier: GPL-2.0-only
"""What the user sees: a line a stage, every failure with what to type next, a last line."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from harness.core import events as ev
from harness.report.records import RunDocument
from harness.report.results import Results, document
from harness.report.screen import Screen, again, print_summary, ranges
from harness.series.contract import SeriesData


def console() -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(file=text, width=100, force_terminal=False), text


@pytest.mark.parametrize(
    ("numbers", "text"),
    [([], ""), ([4], "4"), ([1, 2, 3], "1-3"), ([5, 1, 2, 7], "1-2 5 7")],
)
def test_numbers_become_ranges(numbers: list[int], text: str) -> None:
    assert ranges(numbers) == text


def test_a_stage_is_one_line_in_a_pipe() -> None:
    out, text = console()
    screen = Screen(out)
    screen(ev.StageStarted("build"))
    for done in range(50):
        screen(ev.StageProgress("build", done, 893, "objects"))
    screen(ev.StageFinished("build", 61.25, False, "893 objects"))
    screen(ev.StageFinished("rootfs", 0.0, True, ""))
    assert text.getvalue().splitlines() == [
        "build        61.2 s  893 objects",
        "rootfs       cached",
    ]


def test_what_the_kernel_says_is_shown_unless_a_test_asked_for_it() -> None:
    out, text = console()
    screen = Screen(out)
    screen(ev.SplatSeen("WARNING in f", "warning", ev.CaseId.parse("p.c::x"), "..."))
    screen(ev.SplatSeen("Out of memory: hog", "oom", ev.CaseId.parse("p.c::y"), "...", True))
    assert "WARNING in f" in text.getvalue()
    assert "hog" not in text.getvalue()


def test_files_of_which_the_same_is_said_are_one_line() -> None:
    out, text = console()
    other = "for another architecture: this kernel is for x86"
    files = [ev.TouchedFile(f"arch/{a}/a.h", "header", False, other) for a in ("alpha", "mips")]
    files.insert(1, ev.TouchedFile("mm/a.c", "code", True, "mm/a.o"))
    files.append(ev.TouchedFile("mm/b.c", "code", False, "needs CONFIG_B"))
    Screen(out)(ev.ChangeKnown(tuple(files)))
    assert text.getvalue().splitlines() == [
        f"  arch/alpha/a.h and 1 more: {other}",
        "  mm/b.c: needs CONFIG_B",
        "  mm/a.c: mm/a.o",
    ]


def test_files_that_are_in_the_kernel_are_left_out_where_many_are_not() -> None:
    out, text = console()
    missing = [ev.TouchedFile(f"mm/{n}.c", "code", False, f"needs {n}") for n in range(12)]
    Screen(out)(ev.ChangeKnown((ev.TouchedFile("mm/a.c", "code", True, "mm/a.o"), *missing)))
    lines = text.getvalue().splitlines()
    assert len(lines) == 11 and "... and 2 files more" in lines[-1]
    assert "mm/a.c" not in text.getvalue()


def test_markup_in_a_reason_is_printed_as_it_is() -> None:
    out, text = console()
    Screen(out)(
        ev.CaseFinished(ev.CaseId.parse("p.c::x"), "fail", "a[0] == [red]", 0.1, ("V-IF-2",))
    )
    assert "a[0] == [red]" in text.getvalue()


def finished(
    results: Results, verdict: ev.Verdict, code: int, data: SeriesData, *error: str
) -> RunDocument:
    results(ev.SeriesKnown("s", tuple(ev.PatchInfo(f"s{i}", "0") for i in range(4)), 4))
    results(ev.RunFinished(verdict, code, 12.0, error))
    return document(results, data)


def test_the_last_line_names_the_verdict_and_its_kind(data: SeriesData) -> None:
    for verdict, code, kind in (
        ("pass", 0, "nothing broke"),
        ("fail", 1, "the series is at fault"),
        ("usage", 2, "the invocation is at fault"),
        ("infra", 3, "the machine is at fault"),
    ):
        out, text = console()
        print_summary(out, finished(Results(), verdict, code, data), data, Path("out/r"))  # type: ignore[arg-type]
        last = text.getvalue().splitlines()[-1]
        assert last.startswith(f"verdict: {verdict} (exit {code}: {kind}")


def test_a_failure_shows_claim_reason_words_and_what_to_type(data: SeriesData) -> None:
    results = Results()
    results(
        ev.CaseFinished(
            ev.CaseId.parse("volatile/sigbus.c::read_traps"),
            "fail",
            "sigbus.c:9: got SIGSEGV",
            0.2,
            ("V-SB-1",),
            diagnostics=("page 3", "| ok 4"),
            about="a read of a purged page is SIGBUS",
        )
    )
    out, text = console()
    print_summary(out, finished(results, "fail", 1, data), data, Path("out/r"))
    shown = text.getvalue()
    for part in (
        "a read of a purged page is SIGBUS",
        "sigbus.c:9: got SIGSEGV",
        "  | page 3\n  | ok 4\n",
        "make test-kernel TESTS='sigbus and read_traps'",
        "1 case broken, 0 kernel complaints",
    ):
        assert part in shown


@pytest.mark.parametrize(("patches", "apart"), [(1, False), (2, True)])
def test_which_of_several_patches_breaks_a_workload_a_run_after_each_tells(
    patches: int, apart: bool
) -> None:
    info = tuple(ev.PatchInfo(f"s{n}", f"id{n}") for n in range(patches))
    case = ev.CaseId.parse("kselftest/proc::read")
    asked = {"SERIES": "/x.mbox"}
    events: list[ev.Event] = [ev.RunStarted("r", "/out/r", "test-kernel", asked)]
    events += [
        ev.SeriesKnown("/x.mbox", info, patches),
        ev.CaseFinished(case, "fail", "so", 0.1, ()),
    ]
    out, text = console()
    run = document(Results(events), None)
    print_summary(out, run, data=None, out=Path("/out/r"))  # type: ignore[arg-type]
    line = "          make test-series SERIES=/x.mbox TESTS='proc and read'\n"
    assert (line in text.getvalue()) is apart
    assert "  next:   make test-kernel SERIES=/x.mbox TESTS='proc and read'\n" in text.getvalue()


def test_a_complaint_says_whether_its_trace_is_decoded(data: SeriesData) -> None:
    results = Results()
    results(ev.SplatSeen("WARNING in f", "warning", None, "raw trace"))
    out, text = console()
    print_summary(out, finished(results, "fail", 1, data), data, Path("out/r"))
    assert "raw trace" in text.getvalue() and "not decoded" in text.getvalue()
    (splat,) = results.all(ev.SplatSeen)
    results(ev.SplatDecoded(splat.id, "f (mm/f.c:3)", "decoded with debug information"))
    out, text = console()
    print_summary(out, document(results, data), data, Path("out/r"))
    assert "f (mm/f.c:3)" in text.getvalue()
    assert "decoded with debug information" in text.getvalue()


def test_the_summary_fits_one_screen_when_all_is_well(data: SeriesData) -> None:
    results = Results()
    for clause in data.clauses:
        results(ev.CaseFinished(ev.CaseId.parse(f"p.c::{clause}"), "pass", "", 0.1, (clause,)))
    out, text = console()
    print_summary(out, finished(results, "pass", 0, data), data, Path("out/r"))
    lines = text.getvalue().splitlines()
    assert len(lines) <= 24
    assert any("1-15" in line for line in lines)


def test_a_flood_of_failures_still_fits_a_screen(data: SeriesData) -> None:
    results = Results()
    for number in range(30):
        name = f"volatile/p.c::case{number}"
        results(ev.CaseFinished(ev.CaseId.parse(name), "fail", "complained", 0.1, ("V-SB-1",)))
        results(ev.SplatSeen("WARNING in f", "warning", ev.CaseId.parse(name), "trace\n" * 40))
    out, text = console()
    print_summary(out, finished(results, "fail", 1, data), data, Path("out/r"))
    shown = text.getvalue()
    assert "... 24 more broken cases" in shown
    assert shown.count("KERNEL WARNING in f") == 1 and "and 29 times more" in shown
    assert len(shown.splitlines()) < 70


@pytest.mark.parametrize(
    ("asked", "typed"),
    [({}, "repro RACE=told"), ({"FROM": "told.txt"}, "repro FROM=told.txt")],
)
def test_a_race_is_seen_again_by_its_name_and_a_claim_by_its_file(
    asked: dict[str, str], typed: str
) -> None:
    assert again(ev.CaseId("races", None, "told"), asked).endswith(typed)


@pytest.mark.parametrize(
    ("run_by", "said"),
    [
        (("kselftest/m::t", "stress-ng::s"), ", by kselftest/m::t, stress-ng::s"),
        (tuple(f"a.c::{n}" for n in range(5)), ", by 5 cases"),
        ((), ", at boot"),
    ],
)
def test_who_ran_the_change_stands_behind_how_much_ran(run_by: tuple[str, ...], said: str) -> None:
    out, text = console()
    Screen(out)(ev.ChangeCoverage(1, 1, 2, 2, run_by=run_by))
    assert text.getvalue() == f"change: 2 of 2 lines run, 1 of 1 functions{said}\n"


def test_nobody_ran_what_did_not_run() -> None:
    out, text = console()
    Screen(out)(ev.ChangeCoverage(0, 1, 0, 2))
    assert text.getvalue() == "change: 0 of 2 lines run, 0 of 1 functions\n"


@pytest.mark.parametrize(
    ("path", "compiled", "more", "typed"),
    [
        ("mm/a.c", True, {}, " RUN=./what-calls-it GUEST_FILES=its-folder"),
        ("mm/a.c", False, {}, " CONFIG=default+what-it-needs.config"),
        ("mm/a.c", False, {"AUTOCONFIG": "0"}, ""),
        ("arch/arm64/a.c", False, {}, None),
        ("tools/a.c", None, {}, " RUN=./what-calls-it GUEST_FILES=its-folder"),
    ],
)
def test_an_untested_run_says_what_to_type_next(
    path: str, compiled: bool | None, more: dict[str, str], typed: str | None
) -> None:
    kind: ev.FileKind = "code" if compiled is not None else "tool"
    files = (ev.TouchedFile(path, kind, compiled, "so"),)
    run = document(
        Results(
            [
                ev.RunStarted("r", "/out/r", "test-kernel", {"SERIES": "/x.mbox", **more}),
                ev.ChangeKnown(files),
                ev.RunFinished("untested", 4, 1.0),
            ]
        ),
        None,
    )
    out, text = console()
    print_summary(out, run, data=None, out=Path("/out/r"))  # type: ignore[arg-type]
    found = [line for line in text.getvalue().splitlines() if line.startswith("next: ")]
    expected = [] if typed is None else [f"next: make test-kernel SERIES=/x.mbox{typed}"]
    assert found == expected
