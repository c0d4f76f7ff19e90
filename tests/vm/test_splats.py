# SPDX-License-Identifier: GPL-2.0-only
"""The recogniser of splats, on consoles recorded from real guests and on the kernel's own forms.

The recordings (data/console/*.log) were made by tools/record_console.py; expected.yaml
beside them says what must be found. Other forms are in kernel_forms.py.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from harness.vm.blamed_function import plain_name
from harness.vm.splat_table import load_table
from harness.vm.splats import Recogniser, Splat, bare, find_splats
from tests.vm.kernel_forms import END, REGISTERS
from tests.vm.kernel_forms import SAMPLES as COMMON_SAMPLES
from tests.vm.more_kernel_forms import MORE_SAMPLES

SAMPLES = COMMON_SAMPLES | MORE_SAMPLES
DATA = Path(__file__).resolve().parent / "data" / "console"
EXPECTED: dict[str, list[list[str]]] = yaml.safe_load((DATA / "expected.yaml").read_text())
LOGS = sorted(path.stem for path in DATA.glob("*.log"))
WITH_SPLATS = [name for name in LOGS if EXPECTED[name]]


def read(name: str) -> str:
    return (DATA / f"{name}.log").read_text(errors="replace")


def short(splats: list[Splat]) -> list[list[str]]:
    return [[splat.category, splat.title] for splat in splats]


def test_every_recording_has_an_expectation() -> None:
    assert sorted(EXPECTED) == LOGS
    assert len(LOGS) > 30 and len(WITH_SPLATS) > 20


@pytest.mark.parametrize("name", LOGS)
def test_a_recording_holds_exactly_what_is_expected(name: str) -> None:
    assert short(find_splats(read(name))) == EXPECTED[name]


@pytest.mark.parametrize("name", WITH_SPLATS)
def test_reports_are_whole(name: str) -> None:
    for splat in find_splats(read(name)):
        lines = [bare(line)[0] for line in splat.text.splitlines()]
        opened = sum(line.strip() == "<TASK>" for line in lines)
        assert opened == sum(line.strip() == "</TASK>" for line in lines)
        if "cut here" in lines[0] and splat.category in ("warning", "bug"):
            assert any("end trace" in line for line in lines)
        if splat.category in ("warning", "bug", "oops", "soft_lockup", "rcu_stall", "hung_task"):
            assert any(line.startswith("Call Trace") for line in lines)


@pytest.mark.parametrize("name", WITH_SPLATS)
def test_nothing_foreign_gets_into_a_report(name: str) -> None:
    for splat in find_splats(read(name)):
        assert "harness: " not in splat.text
        assert "lkdtm: Performing" not in splat.text


@pytest.mark.parametrize("name", WITH_SPLATS)
def test_titles_are_the_same_each_time(name: str) -> None:
    for splat in find_splats(read(name)):
        assert not re.search(r"0x|[0-9a-f]{8}|CPU#|\bpid\b|\S\+", splat.title)
        assert "unknown function" not in splat.title


@pytest.mark.parametrize("name", WITH_SPLATS)
def test_prefixes_do_not_matter(name: str) -> None:
    """Without caller ids, reports are found all the same."""
    plain = "\n".join(bare(line)[0] for line in read(name).splitlines())
    assert short(find_splats(plain)) == EXPECTED[name]


@pytest.mark.parametrize("name", WITH_SPLATS)
def test_a_log_that_breaks_off_anywhere_does_no_harm(name: str) -> None:
    lines = read(name).splitlines()
    for end in range(0, len(lines), 7):
        assert len(find_splats("\n".join(lines[:end]))) <= len(EXPECTED[name]) + 1


@pytest.mark.parametrize("name", WITH_SPLATS)
def test_line_numbers_point_at_the_report(name: str) -> None:
    lines = read(name).splitlines()
    for splat in find_splats(read(name)):
        first, last = splat.text.splitlines()[0], splat.text.splitlines()[-1]
        assert lines[splat.first] == first and splat.first <= splat.last
        assert last in lines[splat.first : splat.last + 1]


@pytest.mark.parametrize("name", [n for n in WITH_SPLATS if not n.startswith("boot")])
def test_recordings_of_cases_attribute_to_the_case(name: str) -> None:
    assert {splat.case for splat in find_splats(read(name))} == {1}


@pytest.mark.parametrize("what", SAMPLES)
def test_forms_of_the_kernel(what: str) -> None:
    text, category, title = SAMPLES[what]
    (splat,) = find_splats(f"before\n{text}\nafter it is over\n")
    assert (splat.category, splat.title) == (category, title)
    assert "before" not in splat.text and "after it is over" not in splat.text


@pytest.mark.parametrize("what", SAMPLES)
def test_forms_between_the_lines_of_another_cpu(what: str) -> None:
    text, category, title = SAMPLES[what]
    other = SAMPLES["hard lockup"][0].replace("do_thing", "elsewhere")
    mine = [f"[    1.000000][    T7] {line}" for line in text.splitlines()]
    theirs = [f"[    1.000000][    C1] {line}" for line in other.splitlines()]
    mixed = []
    for number in range(max(len(mine), len(theirs))):
        mixed += mine[number : number + 1] + theirs[number : number + 1]
    found = short(find_splats("\n".join(mixed)))
    assert [category, title] in found
    assert ["hard_lockup", "BUG: hard lockup in elsewhere"] in found
    assert len(found) == 2


def test_every_report_of_the_table_is_shown_by_something() -> None:
    """No pattern is there that nothing was ever found with."""
    texts = [text for text, _, _ in SAMPLES.values()] + [read(name) for name in WITH_SPLATS]
    lines = [bare(line)[0] for text in texts for line in text.splitlines()]
    unseen = [
        report.start.pattern
        for report in load_table().reports
        if not any(report.start.search(line) for line in lines)
    ]
    assert unseen == []


@pytest.mark.parametrize("what", SAMPLES)
def test_a_line_that_starts_a_report_has_one_of_its_words(what: str) -> None:
    """Without one it would never be looked at."""
    for line in SAMPLES[what][0].splitlines():
        for report in load_table().reports:
            if report.start.search(line):
                assert any(word in line for word in report.words), (line, report.start.pattern)


def test_a_report_begins_with_cut_here() -> None:
    (splat,) = find_splats(read("lkdtm_warning"))
    assert "[ cut here ]" in splat.text.splitlines()[0]
    assert "end trace" in splat.text.splitlines()[-1]


def test_a_report_is_known_as_soon_as_it_has_ended() -> None:
    recogniser = Recogniser()
    text = (
        f"------------[ cut here ]------------\nWARNING: CPU: 0 PID: 7 at x do_thing+0x1/0x2{END}"
    )
    for line in text.splitlines():
        assert recogniser.feed(line) == []
    assert recogniser.busy
    assert [s.title for s in recogniser.feed("harness: end 1 exit=0 tainted=512")] == [
        "WARNING in do_thing"
    ]
    assert not recogniser.busy


def test_silence_ends_a_report_without_an_end() -> None:
    recogniser = Recogniser()
    for line in SAMPLES["hard lockup"][0].splitlines():
        assert recogniser.feed(line) == []
    assert [splat.category for splat in recogniser.flush()] == ["hard_lockup"]
    assert recogniser.flush() == []


def test_markers_attribute_in_exact_order() -> None:
    warning = f"WARNING: CPU: 0 PID: 7 at x do_thing+0x1/0x2{END}"
    text = (
        f"{warning}\nharness: begin 4 a::b\n{warning}\nharness: end 4 exit=0 tainted=512\n"
        f"{warning}\nharness: begin 5 a::c\nharness: end 5 exit=0 tainted=512\n"
    )
    assert [splat.case for splat in find_splats(text)] == [None, 4, None]


def test_a_report_that_outlives_its_case_is_the_cases() -> None:
    lines = SAMPLES["hard lockup"][0].splitlines()
    text = ["harness: begin 3 a", *lines[:4], "harness: end 3 exit=0 tainted=0", *lines[4:]]
    (splat,) = find_splats("\n".join(text))
    assert splat.case == 3 and "harness" not in splat.text


def test_a_panic_after_an_oops_is_one_report() -> None:
    text = (
        "BUG: kernel NULL pointer dereference, address: 0\nOops: 0002 [#1] SMP\n"
        + REGISTERS.format("do_thing")
        + END.strip()
        + "\nRIP: 0010:do_thing+0x1/0x2\nKernel panic - not syncing: Fatal exception\n"
        "Kernel Offset: disabled\n"
    )
    (splat,) = find_splats(text)
    assert splat.category == "oops" and "Fatal exception" in splat.text


def test_a_panic_after_a_warning_is_another() -> None:
    text = f"WARNING: CPU: 0 PID: 7 at x do_thing+0x1/0x2{END}\nKernel panic - not syncing: boom\n"
    assert [splat.category for splat in find_splats(text)] == ["warning", "panic"]


@pytest.mark.parametrize(
    ("message", "title"),
    [
        ("Attempted to kill init! exitcode=0x0000000b", "kernel panic: Attempted to kill init!"),
        (
            "stack-protector: Kernel stack is corrupted in: do_thing+0x1/0x2",
            "kernel panic: stack is corrupted in do_thing",
        ),
        (
            "VFS: Unable to mount root fs on unknown-block(254,0)",
            "kernel panic: VFS: Unable to mount root fs",
        ),
        (
            "Out of memory: compulsory panic_on_oom is enabled",
            "kernel panic: Out of memory: compulsory panic_on_oom is enabled",
        ),
        (
            "No working init found.  Try passing init= option to kernel.",
            "kernel panic: No working init found.  Try passing init= option to kernel.",
        ),
    ],
)
def test_titles_of_panics(message: str, title: str) -> None:
    (splat,) = find_splats(f"Kernel panic - not syncing: {message}\n")
    assert splat.title == title


@pytest.mark.parametrize(
    "line",
    [
        "lkdtm: Performing direct entry WARNING",
        "python3[12]: segfault at 0 ip 00007f error 6 in libc.so",
        "traps: prog[9] general protection fault ip:401000 sp:7ffd error:0 in prog[401000+1000]",
        "Memory failure: 0x12345: recovery action for dirty LRU page: Recovered",
        "clocksource: timekeeping watchdog on CPU0: Marking clocksource 'tsc-early' as unstable",
        "sysrq: Show backtrace of all active CPUs",
        "mce: [Hardware Error]: Machine check events logged",
        "process 'sh' launched '/dev/fd/3' with NULL argv: empty string added",
        "random: crng init done",
        "PCI: Fatal: No config space access function found",
    ],
)
def test_what_is_no_complaint(line: str) -> None:
    assert find_splats(f"{line}\n") == []


def test_a_flood_cannot_grow_a_report_without_end() -> None:
    text = "BUG: KASAN: use-after-free in do_thing+0x1/0x2\n" + " filler\n" * 5000
    (splat,) = find_splats(text)
    assert len(splat.text.splitlines()) <= 500


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("do_thing", "do_thing"),
        ("do_thing.cold", "do_thing"),
        ("do_thing.isra.0", "do_thing"),
        ("do_thing.constprop.12", "do_thing"),
        ("do_thing.part.0.cold", "do_thing"),
    ],
)
def test_copies_of_a_function_are_the_function(name: str, plain: str) -> None:
    assert plain_name(name) == plain


@pytest.mark.parametrize(
    ("line", "text", "caller"),
    [
        ("[    1.234567] x", "x", ""),
        ("[    1.234567][   T12] x", "x", "T12"),
        ("[   C1] x", "x", "C1"),
        ("x", "x", ""),
        (" x", " x", ""),
        ("<4>[ 1.0]  x", " x", ""),
        ("[12345.234567]  do+0x1/0x2", " do+0x1/0x2", ""),
    ],
)
def test_prefixes(line: str, text: str, caller: str) -> None:
    assert bare(line) == (text, caller)
