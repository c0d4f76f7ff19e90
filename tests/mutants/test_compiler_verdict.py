# SPDX-License-Identifier: GPL-2.0-only
"""What the compiler says of a mutant that is compiled alone, on the toy kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.coverage.changed_lines import changed_files
from harness.mutants import compiler_verdict
from harness.mutants.bench import Bench, MadeObject, link_tree
from harness.mutants.compiler_verdict import Compiled, compile_alone
from harness.mutants.find import find_mutants
from harness.mutants.mutant import Edit, Mutant
from tests.support.toy import Toy

INLINE = """
static inline int half(int page)
{
\tif (page > 1)
\t\treturn page / 2;
\treturn page;
}
"""
GROWN = """
static int odd(int page)
{
\treturn page & 1;
}

int grown(int page)
{
\tint twice = half(page);

\ttwice += odd(page);
\tif (twice > 1 && page != 4)
\t\ttwice = swap_out(page);
\tif (page < 0)
\t\treturn page < 0;
\treturn twice;
}
"""
HEADER = "include/linux/mm.h"


def with_half(text: str) -> str:
    return text.replace("\n#endif", f"{INLINE}\n#endif")


class Compiling:
    """A series of two files on the toy, built; and its mutants."""

    def __init__(self, toy: Toy, more: str = GROWN) -> None:
        self.toy = toy
        steps = {HEADER: with_half, "mm/swap.c": lambda text: text + more}
        self.base, self.applied = toy.apply(toy.series(("more", steps)))
        self.kernel = toy.build(toy.root / "series")
        self.tree = self.applied
        self.every = find_mutants(self.tree, changed_files(self.tree), self.kernel.compiled)

    def compile(self, mutants: Sequence[Mutant]) -> dict[int, Compiled]:
        config = self.toy.configure(self.base, self.applied)
        return compile_alone(self.toy.under_test(self.base, self.applied), config, mutants)

    def one(self, operator: str, instead: str, text: str = "") -> Mutant:
        """The mutant with these texts in its lines."""
        (found,) = (
            mutant
            for mutant in self.every
            if mutant.operator == operator and instead in mutant.instead and text in mutant.text
        )
        return found


@pytest.fixture
def compiling(toy: Toy) -> Compiling:
    return Compiling(toy)


def test_what_the_compiler_says(compiling: Compiling) -> None:
    wanted = {
        compiling.one("part-dropped", "if (twice > 1)"): "alive",
        compiling.one("comparison-bound", "return page <= 0;"): "equivalent",
        # odd() has no user then: a warning that the sound source has not.
        compiling.one("assignment-dropped", "{ }", "twice += odd"): "killed by the build",
        # In a header: what uses it is compiled.
        compiling.one("condition-false", "if (0)", "page > 1"): "alive",
    }
    found = compiling.compile(list(wanted))
    assert {m: found[m.number].outcome for m in wanted} == wanted
    said = [one.said for one in found.values() if one.said]
    assert len(said) == 1 and "odd" in said[0] and "defined but not used" in said[0]
    codes = [one.code for one in found.values() if one.outcome == "alive"]
    assert len(codes) == len(set(codes)) == 2 and all(codes)


def test_mutants_of_a_header_that_are_alike_in_one_object_have_codes_of_their_own(
    tmp_path: Path,
) -> None:
    (tmp_path / "mm.h").write_text("if (READ_ONCE(flags))")

    def code(mutant: Mutant, *objects: str) -> str:
        bench: Any = SimpleNamespace(
            source=tmp_path,
            objects=lambda path, function: objects,
            sound_object=lambda name: MadeObject(b"sound", (), ()),
            made_of=lambda name, texts: MadeObject(b"without the access", (), ()),
            lacking=lambda data, sound: [],
        )
        return compiler_verdict.judge_alone(bench, mutant).code

    old = "READ_ONCE(flags)"
    one, other = (planted("mm.h", old, new, f"if ({old})") for new in ("1", "(flags)"))
    assert code(one, "a.o", "b.o") != code(other, "a.o", "b.o")
    assert code(one, "a.o") == code(other, "a.o")  # where nothing else has it: one verdict


def planted(path: str, old: str, new: str, text: str) -> Mutant:
    """A mutant made by hand."""
    start = text.index(old)
    edit = Edit(start, start + len(old), new, "expression")
    return Mutant(1, "flag-dropped", path, 1, "grown", 0, (edit,), old, new)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("half(page)", "half(no_such)", "error: "),
        ("half(page)", "page; extern int nowhere(int); twice = nowhere(page)", "has no nowhere"),
    ],
)
def test_what_does_not_compile_or_link_is_invalid(
    compiling: Compiling, old: str, new: str, said: str
) -> None:
    mutant = planted("mm/swap.c", old, new, compiling.tree.read("mm/swap.c"))
    (found,) = compiling.compile([mutant]).values()
    assert found.outcome == "invalid" and said in found.said


def test_what_is_known_is_not_compiled_again(
    compiling: Compiling, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (m for m in compiling.every if m.operator == "part-dropped")
    before = compiling.compile([first])
    asked = []
    judge = compiler_verdict.judge_alone

    def counted(bench: Bench, mutant: Mutant) -> Compiled:
        asked.append(mutant)
        return judge(bench, mutant)

    monkeypatch.setattr(compiler_verdict, "judge_alone", counted)
    # Another number in another sample.
    first = replace(first, number=7)
    after = compiling.compile([first, second])
    assert asked == [second] and after[7] == before[next(iter(before))]


def test_a_function_that_no_object_has_is_invalid(compiling: Compiling) -> None:
    mutant = replace(compiling.every[0], path="drivers/driver.c")
    (found,) = compiling.compile([mutant]).values()
    assert found == Compiled("invalid", "no object of this kernel has it")


def test_what_cannot_be_switched_is_invalid_and_the_others_are_not(toy: Toy) -> None:
    text = (
        "\n#define fixed(x) __builtin_choose_expr((x) > 2, 1, 2)\n"
        "int constant(int page)\n{\n"
        "\tpage += fixed(1 | 2);\n"
        "\treturn page > 7 ? page | 5 : 0;\n}\n"
    )
    compiling = Compiling(toy, text)
    alive = [m for m in compiling.every if m.operator in ("flag-dropped", "condition-negated")]
    found = compiling.compile(alive)
    refused = [m for m in alive if "cannot be switched" in found[m.number].said]
    assert len(refused) == 2 and all("fixed" in m.text for m in refused)
    assert all(found[m.number].outcome == "invalid" for m in refused)
    assert {found[m.number].outcome for m in alive if m not in refused} == {"alive"}
    assert compiling.compile(alive) == found


def test_a_tree_of_links_differs_in_one_file(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for path in ("a.c", "mm/b.c", "mm/c.h", "mm/deep/d.c"):
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_text(path)
    link_tree(source, tmp_path / "links", {"mm/c.h": b"other", "new/e.h": b"fresh"})
    links = tmp_path / "links"
    assert (links / "mm/c.h").read_text() == "other" and (source / "mm/c.h").read_text() == "mm/c.h"
    assert (links / "new/e.h").read_text() == "fresh" and (links / "mm/deep").is_symlink()
    assert [(links / path).read_text() for path in ("a.c", "mm/b.c", "mm/deep/d.c")] == [
        "a.c", "mm/b.c", "mm/deep/d.c",
    ]  # fmt: skip
