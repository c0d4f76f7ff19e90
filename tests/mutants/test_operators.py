# SPDX-License-Identifier: GPL-2.0-only
"""Each operator plants what its example says, and nothing where nothing may be planted."""

from __future__ import annotations

from collections import Counter

import pytest

from harness.mutants.mutant import mutated
from harness.mutants.operators import operator_table
from tests.support.c_mutants import function, mutants_in, squeezed

TABLE = operator_table()


@pytest.mark.parametrize("name", TABLE.operators)
def test_each_operator_does_what_its_example_says(name: str) -> None:
    operator = TABLE.operators[name]
    text = function(operator.before)
    made = [mutated(text.encode(), m).decode() for m in mutants_in(text) if m.operator == name]
    assert squeezed(function(operator.after)) in [squeezed(one) for one in made]
    assert all(one.count("\n") == text.count("\n") for one in made)


def test_the_finders_know_no_operator_that_the_table_lacks() -> None:
    text = function("\n".join(operator.before for operator in TABLE.operators.values()))
    assert {mutant.operator for mutant in mutants_in(text)} == set(TABLE.operators)


def planted(statements: str) -> dict[str, list[str]]:
    """Operator: the statements as its mutants have them."""
    found: dict[str, list[str]] = {}
    for mutant in mutants_in(function(statements)):
        found.setdefault(mutant.operator, []).append(mutant.instead)
    return found


@pytest.mark.parametrize(
    "statements",
    [
        "static const int a = B | C;",
        "int a[B | C];",
        "switch (a) { case B | C: break; }",
        "BUILD_BUG_ON(a < b);",
        "x = sizeof(b | c); y = __builtin_constant_p(b | c);",
        "pr_debug(a | b); WARN_ON(a < b && c); VM_BUG_ON_FOLIO(a < b, c);",
        'asm volatile("nop" : : "r" (a | b));',
        "#define X (a | b)",
        "#if A > B && C\n#endif",
        "enum { A = B | C };",
    ],
)
def test_nothing_is_planted_in_what_the_compiler_settles(statements: str) -> None:
    left = set(planted(statements)) - {"assignment-dropped", "neighbours-swapped", "early-return"}
    assert not left


def test_the_two_sides_of_a_condition_and_of_a_mask() -> None:
    found = planted("if (a && b && !c)\n\treturn d | e | f;")
    parts = {one.splitlines()[0].strip() for one in found["part-dropped"]}
    assert parts == {"if (a && b)", "if (a && !c)", "if (b && !c)"}
    flags = {one.strip() for one in found["flag-dropped"]}
    assert flags == {"return d | e;", "return d | f;", "return e | f;"}
    swapped = {one.strip() for one in found["and-or-swapped"]}
    assert swapped == {"if ((a && b) || !c)", "if ((a || b) && !c)"}


def test_a_lock_goes_with_all_that_gives_it_back_and_with_no_other() -> None:
    text = function(
        "\tspin_lock(&x->lock);\n\tif (a) {\n\t\tspin_unlock(&x->lock);\n\t\treturn 1;\n\t}\n"
        "\tspin_unlock(&y->lock);\n\tspin_unlock(&x->lock);\n\treturn 0;"
    )
    (mutant,) = (m for m in mutants_in(text) if m.operator == "lock-dropped")
    made = mutated(text.encode(), mutant).decode()
    assert [line.strip() for line in made.splitlines()[3:]] == [
        *("{ }", "if (a) {", "{ }", "return 1;", "}"),
        *("spin_unlock(&y->lock);", "{ }", "return 0;", "}"),
    ]  # fmt: skip
    assert mutant.line == 4


def test_a_lock_that_can_fail_is_had_and_one_with_a_result_keeps_it() -> None:
    (killable,) = planted("if (mmap_write_lock_killable(mm)) return 1;\nmmap_write_unlock(mm);")[
        "lock-dropped"
    ]
    assert killable == "if (0) return 1;\n{ }"
    (table,) = planted("pte = pte_offset_map_lock(mm, pmd, a, &ptl);\npte_unmap_unlock(pte, ptl);")[
        "lock-dropped"
    ]
    assert table == "pte = ((void)(&ptl), pte_offset_map(pmd, a));\npte_unmap(pte);"


@pytest.mark.parametrize(
    "head", ["for_each_vma_range(vmi, vma, end)", "list_for_each_entry(a, b, c)"]
)
def test_a_macro_that_is_a_loops_head_hides_nothing(head: str) -> None:
    found = planted(
        f"\t{head} {{\n\t\tif (a)\n\t\t\tcontinue;\n\t\tf();\n\t}}\n\t{head}\n\t\tg();\n\th();"
    )
    assert found["call-dropped"] == ["\t\t{ }", "\t\t{ }", "\t{ }"]
    assert [one.strip() for one in found["loop-run-once"]] == [
        f"{head} {{\n\tbreak; }}", f"{head}\n\t\t{{ g(); break; }}",
    ]  # fmt: skip
    assert "condition-true" in found and "loop-once-less" not in found


@pytest.mark.parametrize(
    "statement",
    [
        "n = min_t(unsigned long, a | b, c);",
        "n = to(a | b, struct x *, unsigned int);",
        "n = to(a | b,\n\t\tstruct x, member);",
        "int __maybe_unused n = a | b;",
        "struct x *n __free(kfree) = to(a | b);",
        "n = (unsigned long)(a | b) + (struct x *)c;",
    ],
)
def test_what_is_c_only_after_the_preprocessor_is_read(statement: str) -> None:
    unread: list[int] = []
    found = mutants_in(function(f"\t{statement}\n\tf();"), unread=unread)
    assert not unread
    flags = {
        " ".join(mutant.instead.split()) for mutant in found if mutant.operator == "flag-dropped"
    }
    shown = statement.splitlines()[0]
    assert flags == {shown.replace("a | b", part) for part in "ab"}


def test_only_lines_of_the_series_count() -> None:
    text = function("\tif (a &&\n\t    b)\n\t\tf();\n\tg();")
    found = mutants_in(text, old=(4, 7))
    assert {mutant.line for mutant in found} == {5, 6}
    parts = [m.instead.splitlines()[0].strip() for m in found if m.operator == "part-dropped"]
    assert parts == ["if (a)"]


def test_a_statement_that_cannot_be_read_is_told_and_the_others_are_planted() -> None:
    unread: list[int] = []
    text = function("\tf();\n\tA_MACRO(x) ! 3 y;\n\tg();")
    dropped = [m.text for m in mutants_in(text, unread=unread) if m.operator == "call-dropped"]
    assert 5 in unread and "\tA_MACRO(x) ! 3 y;" not in dropped
    assert {"\tf();", "\tg();"} <= set(dropped)


def test_a_macro_that_declares_is_no_statement() -> None:
    found = planted("int n;\nLIST_HEAD(a);\nLIST_HEAD(b);\nf(&a, &b);\nONE(n);;\nWRITE_ONCE(n, 1);")
    assert [text.strip(" ;") for text in found["call-dropped"]] == ["{ }", "{ }"]
    assert len(found["neighbours-swapped"]) == 1 and len(found["assignment-dropped"]) == 1
    assert "assignment-dropped" in planted("WRITE_ONCE(n, 1);")


def test_code_that_may_run_nothing_else_is_left_alone() -> None:
    assert not mutants_in(function("\tf();", "static noinstr int work(void)"))
    assert mutants_in(function("\tf();", "static int work(void)"))


def test_equal_lines_have_keys_of_their_own_and_other_lines_do_not_change_them() -> None:
    text = function("\tf();\n\tg();\n\tf();")
    keys = [m.key for m in mutants_in(text)]
    assert len(set(keys)) == len(keys)
    moved = {m.key for m in mutants_in(f"\n{text}")}
    assert moved == set(keys)
    assert max(Counter(m.which for m in mutants_in(text))) == 1
