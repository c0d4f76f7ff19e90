# SPDX-License-Identifier: GPL-2.0-only
"""From addresses that ran to lines, functions and diffs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.errors import InvocationError
from harness.core.events import CaseId, ChangeCoverage
from harness.core.settings import PROJECT
from harness.coverage.changed_lines import changed_files
from harness.coverage.line_addresses import Statements
from harness.coverage.marks import RanCode
from harness.coverage.result import EXCUSES, Measured, entered_otherwise
from harness.series.apply import PatchedTree
from tests.coverage.test_changed_lines import tree_of
from tests.support.toy import Toy, grow

CASE = CaseId.parse("a.c::one")
# Of the toy's mm/swap.c with a function more: line 18 is its brace, 19 returns, 6 is another's.
LINES = {6: [100], 18: [200, 300], 19: [204]}


def change(toy: Toy, *more: tuple[str, object]) -> PatchedTree:
    def edit(text: str) -> str:
        return grow(text).replace("page < 0", "page < 1 /* why */")

    return tree_of(toy, ("one", {"mm/swap.c": edit}), *more)  # type: ignore[arg-type]


def measured(tree: PatchedTree, *ran: int, lines: dict[int, list[int]] = LINES) -> Measured:
    statements = Statements({"mm/swap.c": lines} if lines else {}, (), ())
    code = RanCode(statements.addresses)
    code.first.update({address: (n, CASE) for n, address in enumerate(ran)})
    return Measured(changed_files(tree), statements, code)


@pytest.mark.parametrize(
    ("ran", "expected"),
    [
        ((), ChangeCoverage(0, 2, 0, 3, ("mm/swap.c:4 swap_out", "mm/swap.c:17 grown"))),
        ((100,), ChangeCoverage(1, 2, 1, 3, ("mm/swap.c:17 grown",))),
        # One copy of several is enough.
        ((100, 300), ChangeCoverage(2, 2, 2, 3)),
        ((100, 200, 204), ChangeCoverage(2, 2, 3, 3)),
    ],
)
def test_the_figures(toy: Toy, ran: tuple[int, ...], expected: ChangeCoverage) -> None:
    found = measured(change(toy), *ran).coverage(whole=True, least=None)
    assert replace(found, lines_not_run=()) == expected
    assert len(found.lines_not_run) == found.lines - found.lines_run
    if 204 not in ran:
        assert found.lines_not_run[-1] == "mm/swap.c:19: return 7;"


def test_a_change_of_comments_alone_asks_for_nothing(toy: Toy) -> None:
    tree = tree_of(toy, ("x", {"mm/swap.c": lambda t: t.replace("{\n\tif", "{\n\t/* so */\n\tif")}))
    found = measured(tree, lines={5: [96], 7: [100]}).coverage(whole=True, least=None)
    assert found == ChangeCoverage(0, 0, 0, 0)


def test_a_file_that_is_not_compiled_has_not_run(toy: Toy) -> None:
    tree = tree_of(toy, ("x", {"drivers/new.c": grow("/* A driver. */\n"),
                               "arch/arm64/new.c": grow("/* Not here. */\n")}))  # fmt: skip
    found = measured(tree, lines={}).coverage(whole=True, least=None)
    missed = "drivers/new.c:3 grown (not compiled in this configuration)"
    assert found == ChangeCoverage(0, 1, 0, 0, (missed,))


def test_where_the_code_was_not_found_that_is_said(toy: Toy) -> None:
    one = measured(change(toy), lines={})
    found = replace(one, statements=replace(one.statements, missing=("mm/swap.o",)))
    why = "(its code was not found in the kernel)"
    assert found.coverage(whole=True, least=None).not_reached[-1] == f"mm/swap.c:17 grown {why}"


def test_the_patches_that_a_case_ran_lines_of(toy: Toy) -> None:
    tree = change(toy, ("two", {"mm/swap.c": lambda t: t.replace("return 7;", "return 8;")}))
    found, other = measured(tree, 100, 204), CaseId.parse("a.c::other")
    found.ran.cases = {CASE: {100, 204}, other: {204, 7777}}
    assert found.patches_run(CASE) == ("it ran", (0, 1))
    assert found.patches_run(other) == ("it ran", (1,))
    # One that ran nothing of it tells what ran at boot: so far only cases ran anything.
    late = CaseId.parse("kunit::swap")
    assert found.patches_run(late) == ("at boot ran", ())
    found.ran.first[200] = (2, None)
    assert found.patches_run(late) == ("at boot ran", (0,))


def test_who_ran_the_change_is_named(toy: Toy) -> None:
    found, other = measured(change(toy), 100, 200), CaseId.parse("a.c::other")
    found.ran.cases = {CASE: {200}, other: {7777}}
    assert found.coverage(whole=True, least=None).run_by == (str(CASE),)


def test_of_a_change_that_only_takes_lines_away_who_entered_the_function(toy: Toy) -> None:
    tree = tree_of(toy, ("x", {"mm/swap.c": lambda t: t.replace("\tif (page < 0)\n", "")}))
    found = measured(tree, 100, lines={6: [100], 40: [200]})
    found.ran.cases = {CASE: {100}, CaseId.parse("a.c::other"): {200}}
    assert found.coverage(whole=True, least=None).run_by == (str(CASE),)


def test_the_diffs_say_what_became_of_each_line(toy: Toy) -> None:
    second = (
        "two",
        {"mm/swap.c": lambda t: t.replace("return 7;", "return 8;"), "a.rst": "text\n"},
    )
    tree = change(toy, second)
    first, last = measured(tree, 100, 204).diffs(tree, ["one", "two"])
    added = [(r["text"], r["state"], r["case"]) for r in first["rows"] if r["text"][:2] == "+\t"]
    assert added == [
        ("+\tif (page < 1 /* why */)", "run", str(CASE)),
        ("+\treturn 7;", "later", ""),
    ]
    assert (first["subject"], first["lines_run"], first["lines"]) == ("one", 1, 2)
    states = {row["text"]: row["state"] for row in last["rows"] if row["text"][:1] == "+"}
    assert (states["+\treturn 8;"], states["+text"]) == ("run", "")
    assert (last["lines_run"], last["lines"]) == (1, 1)


def test_a_function_that_the_project_excuses_need_not_be_entered(toy: Toy, tmp_path: Path) -> None:
    assert entered_otherwise(tmp_path) == {}
    (tmp_path / EXCUSES).write_text("entered_otherwise: {grown: it grows at night}\n")
    excuses = entered_otherwise(tmp_path)
    found = replace(measured(change(toy), 100), otherwise=excuses).coverage(whole=True, least=None)
    assert (found.functions_entered, found.functions, found.not_reached) == (1, 2, ())
    assert found.excused == ("mm/swap.c:17 grown: it grows at night",)
    # Where it is entered all the same it counts.
    ran = replace(measured(change(toy), 100, 200), otherwise=excuses)
    assert ran.coverage(whole=True, least=None).functions_entered == 2


def test_excuses_that_make_no_sense_are_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / EXCUSES).write_text("entered_otherwise: [grown]\n")
    with pytest.raises(InvocationError, match=r"coverage\.yaml: entered_otherwise"):
        entered_otherwise(tmp_path)


def test_what_the_shipped_series_excuses_is_in_it() -> None:
    folder = PROJECT / "patches" / "volatile"
    patches = "".join(path.read_text() for path in folder.glob("*/*.patch"))
    assert [name for name in entered_otherwise(folder) if f"{name}(" not in patches] == []
