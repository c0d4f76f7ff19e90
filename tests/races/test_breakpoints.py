# SPDX-License-Identifier: GPL-2.0-only
"""Places in optimised code, on a program that is compiled here: inlined, copied, gone."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from harness.core.errors import InvocationError
from harness.debugger.dwarf import DebugInfo
from harness.debugger.symbols import KernelSource, Symbols
from harness.races.breakpoints import Breakpoint, find_breakpoint
from harness.races.scenario import Point, parse, parse_place
from harness.races.verdict import explanation
from tests.races.test_scenario import BODY, written

SOURCE = """\
extern void sink(int value);
int data[4];

static inline __attribute__((always_inline)) int inner(int x)
{
	data[0] += x;
	return data[1] * x;
}

static inline __attribute__((always_inline)) int folded(void)
{
	return 3;
}

__attribute__((noinline)) int outer(int x)
{
	/* nothing is done here */
	int unused = folded();
	int r = inner(x) + 1;

	(void)unused;
	if (x > 3)
		r += inner(x + 2);
	sink(r);
	return r;
}

__attribute__((noinline)) void sink(int value)
{
	data[2] = value;
}

int main(int argc, char **argv)
{
	(void)argv;
	return outer(argc);
}
"""


def run(*command: str, folder: Path) -> str:
    return subprocess.run(
        command, cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Symbols]:
    """A 'kernel' of one file, its source in git, built as kernels are."""
    folder = tmp_path_factory.mktemp("toy")
    (folder / "mm").mkdir()
    (folder / "mm" / "toy.c").write_text(SOURCE)
    flags = ("-O2", "-g", "-fno-omit-frame-pointer", "-no-pie", "-fno-pie")
    run("gcc", *flags, "-o", "toy", "mm/toy.c", folder=folder)
    run("git", "init", "-q", folder=folder)
    run("git", "add", "mm/toy.c", folder=folder)
    author = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    run("git", *author, "commit", "-qm", "toy", folder=folder)
    commit = run("git", "rev-parse", "HEAD", folder=folder)
    rows = run("nm", "toy", folder=folder).splitlines()
    system_map = "\n".join(row for row in rows if len(row.split()) == 3)
    debug = DebugInfo(folder / "toy", folder, folder / "cache")
    yield Symbols(system_map, debug, KernelSource(folder, commit))
    debug.close()
    shutil.rmtree(folder)


def find(toy: Symbols, place: str, *within: str) -> Breakpoint:
    point = Point("A", parse_place(place), within=within)
    return find_breakpoint(point, toy, {"race_end": 0x1000})


def line_of(text: str) -> int:
    return next(n for n, line in enumerate(SOURCE.splitlines(), 1) if text in line)


def test_a_function_is_where_its_symbol_is(toy: Symbols) -> None:
    found = find(toy, "outer()")
    assert found.addresses == toy.addresses("outer")
    assert (found.file, found.line) == ("mm/toy.c", line_of("int outer("))
    assert "outer(int x)" in found.text and found.inlined_into == ()


def test_an_inlined_function_is_wherever_it_is(toy: Symbols) -> None:
    found = find(toy, "inner()")
    assert len(found.addresses) == 2 and found.inlined_into == ("outer",)
    for address in found.addresses:
        assert [f.function for f in toy.frames(address)] == ["inner", "outer"]


def test_a_line_is_found_by_its_text(toy: Symbols) -> None:
    found = find(toy, "outer: sink( r )".replace("( r )", "(r)"))
    assert (found.line, found.text) == (line_of("sink(r);"), "sink(r);")
    assert all(toy.frames(a)[0].function == "outer" for a in found.addresses)


def test_white_space_in_a_line_does_not_matter(toy: Symbols) -> None:
    assert find(toy, "outer: int r   =  inner(x)").line == line_of("int r = inner")


def test_a_line_of_an_inlined_function(toy: Symbols) -> None:
    found = find(toy, "inner: data[0] += x;")
    assert len(found.addresses) >= 2 and found.inlined_into == ("outer",)


def test_a_return_is_looked_for_from_the_entry(toy: Symbols) -> None:
    found = find(toy, "outer() returns")
    assert found.on_return and found.addresses == toy.addresses("outer")


def test_the_end_is_a_landmark_of_the_program(toy: Symbols) -> None:
    assert find(toy, "ends").addresses == (0x1000,)


@pytest.mark.parametrize(
    ("place", "within", "what", "advice"),
    [
        ("ouster()", (), "it has no function ouster()", "there is: outer()"),
        ("outer()", ("innner",), "it has no function innner()", "there is: inner()"),
        ("folded()", (), "no code of it is left", ""),
        ("outer: r -= 1;", (), "no line of outer() (mm/toy.c:", "the code has moved"),
        ("outer: nothing is done here", (), "no instruction is left of mm/toy.c:", "have code"),
        ("inner() returns", (), "inlined into outer(), and returns to nobody", "'outer: text'"),
        ("program go()", (), "the guest program has no function go()", ""),
    ],
)
def test_what_is_not_there_says_what_is(
    toy: Symbols, place: str, within: tuple[str, ...], what: str, advice: str
) -> None:
    with pytest.raises(InvocationError) as caught:
        find(toy, place, *within)
    assert what in caught.value.what and advice in str(caught.value.next_step)
    assert caught.value.exit_code == 2


def test_frames_have_lines_and_callers_of_what_is_inlined(toy: Symbols) -> None:
    address = find(toy, "inner()").addresses[-1]
    inner, outer = toy.frames(address)
    assert inner.inlined and not outer.inlined
    assert (outer.file, outer.line) == ("mm/toy.c", line_of("r += inner(x + 2)"))


def test_a_return_address_belongs_to_the_call_before_it(toy: Symbols) -> None:
    start = toy.addresses("sink")[0]
    assert start is not None
    assert toy.frames(start)[0].function == "sink"
    assert toy.frames(start - 1)[0].function != "sink"


def test_an_address_of_nothing_has_no_name(toy: Symbols) -> None:
    assert toy.symbol_at(0x10) == ("", 0)


def test_a_scenario_is_drawn_with_the_source_around_its_points(toy: Symbols) -> None:
    body = BODY[: BODY.index("points:")] + (
        "points:\n  - A: inner()\n    says: is about to add\n    within: outer\n  - B: ends\n"
        "outcome: {hit: a, miss: b, excluded: {B: take, lock: the lock}}\n"
    )
    scenario = parse(written(body), Path("toy.c"), "6.1")
    assert scenario is not None
    breakpoints = [find_breakpoint(p, toy, {"race_end": 0x1000}) for p in scenario.points]
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(explanation(scenario, breakpoints, toy.source))
    text = console.export_text()
    number = line_of("int inner(int x)")
    assert f"mm/toy.c:{number}, inlined into outer()" in text and "within outer()" in text
    assert f"  > {number:5}  static inline" in text and f"    {number + 1:5}  {{" in text
    assert "is about to add" in text and "excluded: B waits in take() for the lock" in text
    assert "sequential" not in text
