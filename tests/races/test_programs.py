# SPDX-License-Identifier: GPL-2.0-only
"""The words of race.h are those of programs.py: a real program is compiled and run here."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from harness.cases.ktap import read_case
from harness.image.programs import GUEST_TESTS, compile_program
from harness.races.landmarks import (
    BEGIN,
    CASE,
    END,
    MAGIC,
    OUTCOME,
    ROUNDS,
    SECONDS,
    reported_runs,
    total_line,
)
from harness.races.programs import RacePrograms, libraries_of
from harness.races.trace import RaceRun
from harness.series.contract import SeriesData

LIB = GUEST_TESTS / "lib"
SOURCE = """\
#include "race.h"

static int runs;

static void part(void)
{
}

static bool struck(void)
{
	if (++runs == 1)
		race_say("the first");
	return runs == 1;
}

RACE_MAIN(.struck = struck, .threads = { { "A", part, .process = true } })
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("race") / "source"
    folder.mkdir()
    (folder / "toy.c").write_text(SOURCE)
    compile_program(folder / "toy.c", folder / "toy", folder, [LIB])
    return folder / "toy"


def diagnostics(program: Path, option: str) -> tuple[str, ...]:
    """What the program says, all on CPU 0."""
    argv = [str(program), option, "2" if option == ROUNDS else "1", "A=0"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    output = read_case(done.stdout, CASE, done.returncode)
    assert output.outcome == "pass", done.stdout + done.stderr
    return output.diagnostics


def test_a_programs_runs_are_read_as_it_tells_them(program: Path) -> None:
    lines = diagnostics(program, ROUNDS)
    assert reported_runs(lines) == [
        RaceRun(1, "hit", "the first"),
        RaceRun(2, "miss"),
    ]
    total = total_line(lines)
    assert total is not None and total[:2] == (2, 1)


def test_repetition_tells_all_runs_in_one_line(program: Path) -> None:
    lines = diagnostics(program, SECONDS)
    total = total_line(lines)
    assert reported_runs(lines) == [] and total is not None
    assert total[0] >= 1 and total[1] == 1 and total[2] >= 1.0


def test_the_landmarks_are_functions_of_every_program(program: Path) -> None:
    assert {BEGIN, END, OUTCOME} <= RacePrograms(program, program.parent, False).symbols(
        "toy"
    ).keys()
    magic = re.search(r"#define RACE_MAGIC\s+(0x[0-9a-f]+)", (LIB / "race.h").read_text())
    assert magic is not None and int(magic[1], 16) == MAGIC


def test_a_program_may_use_what_those_of_the_series_below_use() -> None:
    def data(guest_tests: str, below: SeriesData | None = None) -> SeriesData:
        return SeriesData("toy", "Toy", GUEST_TESTS, guest_tests, (), {}, below=below)

    own = GUEST_TESTS / "volatile" / "lib"
    assert libraries_of(data("volatile")) == [LIB, own]
    assert libraries_of(data("nothing_here", data("volatile"))) == [LIB, own]
    assert libraries_of(data("")) == [LIB]
