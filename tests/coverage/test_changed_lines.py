# SPDX-License-Identifier: GPL-2.0-only
"""What a series changes, line by line, and whose line it is."""

from __future__ import annotations

from harness.coverage.changed_lines import changed_files, is_code
from harness.series.apply import PatchedTree
from tests.support.toy import Step, Toy, grow


def tree_of(toy: Toy, *steps: Step) -> PatchedTree:
    return toy.apply(toy.series(*steps))[1]


def negative(text: str) -> str:
    return text.replace("return -1;", "page = 0;\n\n\treturn page - 2;")


def test_each_line_belongs_to_the_patch_that_wrote_it_last(toy: Toy) -> None:
    tree = tree_of(
        toy,
        ("first", {"mm/swap.c": lambda t: negative(t).replace("page < 0", "page < 1")}),
        ("second", {"mm/swap.c": lambda t: "/* A line\n * more. */\n" + t.replace("- 2;", "- 3;")}),
    )
    (file,) = changed_files(tree)
    assert len(tree.commits()) == 2
    assert [(line.number, line.patch, line.first, line.text.strip()) for line in file.lines] == [
        (1, 1, 1, "/* A line"),
        (2, 1, 2, "* more. */"),
        (8, 0, 6, "if (page < 1)"),
        (9, 0, 7, "page = 0;"),
        (10, 0, 8, ""),
        (11, 1, 11, "return page - 3;"),
    ]
    assert [function.names for function in file.functions] == [("swap_out",)]
    assert not file.cut


def test_a_function_that_only_lost_code_counts_and_one_beside_it_does_not(toy: Toy) -> None:
    def cut(text: str) -> str:
        whole = "int swap_in(int page)\n{\n\treturn page - 1;\n}\n"
        assert whole in text
        return text.replace("\tif (page < 0)\n\t\treturn -1;\n\n", "").replace(whole, "")

    (file,) = changed_files(tree_of(toy, ("cut", {"mm/swap.c": cut})))
    assert not file.lines and file.cut == {"swap_out"}
    assert [function.names for function in file.functions] == [("swap_out",)]


def test_files_that_are_no_part_of_a_kernel_or_are_gone_are_none(toy: Toy) -> None:
    tests = "tools/testing/selftests/mm/a.c"
    step: Step = ("x", {"a.rst": "text\n", "drivers/driver.c": None, tests: grow("/* A */\n")})
    assert changed_files(tree_of(toy, step)) == []


def test_comments_and_white_space_are_no_code() -> None:
    assert [is_code(line) for line in ("\tx();\n", " \n", "/* a */\n", " * b\n", "// c\n")] == [
        True, False, False, False, False,
    ]  # fmt: skip
