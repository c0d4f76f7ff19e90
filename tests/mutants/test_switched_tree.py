# SPDX-License-Identifier: GPL-2.0-only
"""A switched source does with each number what that mutant's own source does."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core import git, proc
from harness.core.errors import InternalError
from harness.mutants.mutant import Edit, Mutant, mutated
from harness.mutants.switched_tree import HEADER, HOST, switched, switched_tree
from tests.support.c_mutants import mutants_in
from tests.support.toy import Toy

FOLDER = Path(__file__).parent / "data"
# -Wno-: as the kernel has it.
WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-Wno-sign-compare",
            "-Wno-maybe-uninitialized", "-Wno-implicit-fallthrough")  # fmt: skip


def build(folder: Path, name: str, text: str, *, warn: bool) -> Path | None:
    """A program with a function under test; None: it does not compile."""
    source, program = folder / f"{name}.c", folder / name
    source.write_text(text)
    flags = WARNINGS if warn else ("-w",)
    made = (str(source), str(folder / "main.o"), f"-I{folder}/include", *flags)
    argv = ("gcc", "-O0", "-g0", "-o", str(program), *made)
    return program if proc.run(argv).returncode == 0 else None


def said(program: Path, number: int) -> bytes:
    return proc.capture((str(program), str(number)), expect=(0, 1))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where programs are built, with the header of the switch."""
    header = tmp_path / HEADER
    header.parent.mkdir(parents=True)
    (tmp_path / "include" / "mutants.h").write_text((FOLDER / "mutants.h").read_text())
    text = (Path(git.__file__).parents[1] / "mutants" / "kernel" / "switch.h").read_text()
    header.write_text(text)
    main = ("-o", str(tmp_path / "main.o"), str(FOLDER / "main.c"))
    proc.capture(("gcc", f"-I{tmp_path}/include", "-c", *main))
    return tmp_path


def test_each_switch_does_what_its_mutant_does(folder: Path) -> None:
    text = (FOLDER / "work.c").read_text()
    sound = build(folder, "sound", text, warn=True)
    assert sound is not None
    alone: dict[Mutant, Path] = {}
    for mutant in mutants_in(text):
        made = mutated(text.encode(), mutant).decode()
        assert made.count("\n") == text.count("\n")
        program = build(folder, f"alone{mutant.number}", made, warn=False)
        if program is not None:
            alone[mutant] = program
    source = switched(text.encode(), alone).decode()
    assert source.count("\n") == text.count("\n")
    program = build(folder, "switched", source, warn=True)
    assert program is not None
    assert said(program, 0) == said(sound, 0)
    for mutant, other in alone.items():
        assert said(program, mutant.number) == said(other, 0), mutant
    assert len(alone) > 100 and len({said(other, 0) for other in alone.values()}) > 50


def test_a_condition_is_reached_where_the_mutant_takes_it_for_the_other_value(
    folder: Path,
) -> None:
    text = "int work(int a)\n{\n\tif (a)\n\t\treturn 3;\n\treturn 0;\n}\n"
    mutants = {
        m.operator: m.number for m in mutants_in(text) if m.operator.startswith("condition-")
    }
    source = switched(text.encode(), mutants_in(text)).decode()
    (folder / "main.c").write_text(
        f"{source}\n#include <stdio.h>\n#include <stdlib.h>\nunsigned int harness_mutant;\n"
        "unsigned char harness_mutant_reached[99];\n"
        "int main(int argc, char **argv)\n{\n\twork(atoi(argv[1]));\n"
        "\tfor (int n = 0; n < 99; n++)\n\t\tif (harness_mutant_reached[n])\n"
        '\t\t\tprintf("%d ", n);\n'
        "}\n"
    )
    program = folder / "reached"
    argv = ("gcc", f"-I{folder}/include", "-o", str(program), str(folder / "main.c"))
    proc.capture(argv)

    def reached(a: str) -> set[str]:
        numbers = set(map(int, proc.capture((str(program), a)).split()))
        return {operator for operator, number in mutants.items() if number in numbers}

    assert reached("0") == {"condition-negated", "condition-true"}
    assert reached("7") == {"condition-negated", "condition-false"}


def test_a_file_that_begins_with_code_keeps_its_line_numbers(folder: Path) -> None:
    text = "int line(int a)\n{\n\tif (a)\n\t\treturn __LINE__;\n\treturn 0;\n}\n"
    source = switched(text.encode(), mutants_in(text)).decode()
    (folder / "main.c").write_text(
        f"{source}\n#include <stdio.h>\nunsigned int harness_mutant;\n"
        "unsigned char harness_mutant_reached[99];\n"
        'int main(void) { printf("%d", line(1)); return 0; }\n'
    )
    program = folder / "line"
    argv = ("gcc", f"-I{folder}/include", "-o", str(program), str(folder / "main.c"))
    proc.capture(argv)
    assert proc.capture((str(program),)) == b"4"


def test_edits_that_overlap_by_half_are_a_defect_of_ours() -> None:
    edits = [Edit(0, 5, "x", "expression"), Edit(3, 8, "y", "expression")]
    mutants = [
        Mutant(n, "flag-dropped", "a.c", 1, "f", 0, (edit,), "", "")
        for n, edit in enumerate(edits, 1)
    ]
    with pytest.raises(InternalError, match="overlaps"):
        switched(b"a | b | c", mutants)


def branch(text: str) -> str:
    return text.replace("\treturn", "\tif (swap_in(1))\n\t\treturn 0;\n\treturn")


def test_the_switched_tree_is_one_commit_on_top(toy: Toy) -> None:
    base, applied = toy.apply(toy.series(("more", {HOST: branch})))
    for path in ("mm/swap.c", HOST):
        text = git.raw(applied.repo, "cat-file", "blob", f"{applied.commit}:{path}").decode()
        mutants = [replace(mutant, path=path) for mutant in mutants_in(text)]
        made = switched_tree(base, applied, mutants, toy.store)
        changed = git.text(made.repo, "diff", "--name-only", applied.commit, made.commit)
        assert set(changed.split()) == {path, HEADER, HOST}
        assert git.text(made.repo, "rev-parse", f"{made.commit}^") == applied.commit
        here = git.raw(made.repo, "cat-file", "blob", f"{made.commit}:{path}")
        switches = set(map(int, re.findall(rb"HARNESS_(?:MUTANT|CONDITION)\((\d+)", here)))
        assert mutants and switches == {m.number for m in mutants}
        host = git.raw(made.repo, "cat-file", "blob", f"{made.commit}:{HOST}")
        assert b"#define HARNESS_MUTANTS %d\n" % len(mutants) in host
        assert b"__module_param_call" in host and b"start_kernel" in host
        assert len(made.patches) == 2 and not made.cached
        assert switched_tree(base, applied, mutants, toy.store).cached
