# SPDX-License-Identifier: GPL-2.0-only
"""Objects with line tables: which, by which command, and where their code is in the kernel."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.core import proc
from harness.coverage.changed_lines import changed_files
from harness.coverage.line_addresses import symbols_of
from harness.coverage.objects import compiler_command, objects_of, place
from harness.debugger.dwarf import DebugInfo
from tests.coverage.test_changed_lines import tree_of
from tests.support.toy import Toy, grow

COMPILED = ["init/main.o", "mm/madvise.o", "mm/swap.o"]
INLINE = """
static inline int half(int page)
{
\treturn page / 2;
}

static inline int quarter(int page)
{
\treturn half(page) / 2;
}
"""


@pytest.mark.parametrize(
    ("steps", "objects"),
    [
        ({"mm/swap.c": grow, "drivers/driver.c": grow}, ["mm/swap.o"]),
        # What includes a changed file, as kernel/sched/ does.
        (
            {"mm/part.c": "int part;\n", "mm/madvise.c": lambda t: f'{t}#include "part.c"\n'},
            ["mm/madvise.o"],
        ),
        # Who uses an inline function of a header by way of another.
        (
            {
                "include/linux/mm.h": lambda t: t.replace("\n#endif", f"{INLINE}\n#endif"),
                "init/main.c": lambda t: t.replace("swap_out(1)", "quarter(1)"),
            },
            ["init/main.o"],
        ),
    ],
)
def test_the_objects_that_have_code_of_a_change(
    toy: Toy, steps: dict[str, object], objects: list[str]
) -> None:
    tree = tree_of(toy, ("x", steps))  # type: ignore[arg-type]
    assert objects_of(tree, changed_files(tree), COMPILED) == objects


@pytest.mark.parametrize("key", ["cmd", "savedcmd"])
def test_the_kept_command_for_another_target(tmp_path: Path, key: str) -> None:
    kept = tmp_path / "mm" / ".a.o.cmd"
    kept.parent.mkdir()
    kept.write_text(
        f"{key}_mm/a.o := gcc -Wp,-MMD,mm/.a.o.d -O2 -DX='\"a b\"' -DY='\\#$$' -c -o mm/a.o"
        " /src/mm/a.c  ; ./tools/objtool/objtool --orc mm/a.o\n\nsource_mm/a.o := /src/mm/a.c\n"
    )
    target = tmp_path / "b.o"
    assert compiler_command(tmp_path, "mm/a.o", target) == [
        *("gcc", "-O2", '-DX="a b"', "-DY=#$", "-c", "-o", str(target), "/src/mm/a.c"),
    ]
    kept.write_text("cmd_mm/a.o := ld -r -o mm/a.o mm/b.o\n")
    assert compiler_command(tmp_path, "mm/a.o", target) is None
    assert compiler_command(tmp_path, "mm/b.o", target) is None


@pytest.fixture
def linked(tmp_path: Path) -> tuple[Path, dict[str, list[int]]]:
    """An object with two sections of code, and where a linker has put them."""
    source = tmp_path / "a.c"
    source.write_text(
        "int one(int a)\n{\n\treturn a + 1;\n}\n"
        '__attribute__((section(".init.text"))) int two(int a)\n{\n\treturn a + 2;\n}\n'
    )
    made, program = tmp_path / "a.o", tmp_path / "a"
    proc.capture(("gcc", "-g1", "-O1", "-fno-pic", "-c", "-o", str(made), str(source)))
    proc.capture(("ld", "-e", "one", "-o", str(program), str(made)))
    return made, symbols_of(proc.capture(("nm", str(program))).decode())


def rows(path: Path) -> set[tuple[int, int]]:
    debug = DebugInfo(path, path.parent, path.parent / "kept")
    found = {(row.address, row.line) for row in debug.rows() if not row.end}
    debug.close()
    return found


def test_a_placed_object_has_the_kernels_addresses(
    linked: tuple[Path, dict[str, list[int]]],
) -> None:
    made, symbols = linked
    # A name of two functions says nothing by itself, and spoils nothing.
    placed = place("a.o", made, symbols | {"two": [4096, *symbols["two"]]})
    assert len(placed.code) == 1 and placed.code[0][0] == symbols["one"][0]
    placed = place("a.o", shutil.copyfile(made, made.with_name("b.o")), symbols)
    assert (symbols["one"][0], 2) in rows(placed.path)


def test_both_sections_are_found(linked: tuple[Path, dict[str, list[int]]]) -> None:
    made, symbols = linked
    placed = place("a.o", made, symbols)
    assert [low for low, _ in placed.code] == sorted(symbols["one"] + symbols["two"])
    found = rows(made)
    assert {(symbols["one"][0], 2), (symbols["two"][0], 6)} <= found
    assert all(any(low <= at < high for low, high in placed.code) for at, _ in found)


def test_other_code_is_placed_nowhere(linked: tuple[Path, dict[str, list[int]]]) -> None:
    made, _ = linked
    assert place("a.o", made, {"elsewhere": [4096]}).code == ()
