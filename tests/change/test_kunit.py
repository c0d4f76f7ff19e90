# SPDX-License-Identifier: GPL-2.0-only
"""Which KUnit tests a series has: its own, and those beside the files that it touches."""

from __future__ import annotations

from dataclasses import replace

from harness.change.autoconfig import WholeChange
from harness.change.kunit import NEEDED, KunitFile, kunit_files
from harness.change.touched import touched_files
from tests.support.toy import Edit, Toy

SWAP_TEST = """
static struct kunit_suite swap_suite = {
\t.init = swap_init,
\t.name = "swap-slots",
\t.test_cases = swap_cases,
};
static struct kunit_suite other_suite = {
\t.name = "swap",
};
kunit_test_suites(&swap_suite, &other_suite);
"""


def found(toy: Toy, **there: Edit) -> tuple[list[KunitFile], WholeChange]:
    """The tests of a series that touches mm/swap.c, where the files ``there`` were before."""
    touch = {"mm/swap.c": lambda text: text + "\nint more;\n"}
    base, applied = toy.apply(toy.series(("tests", there), ("touch", touch)))
    change = WholeChange(base, replace(applied, base=f"{applied.commit}^"), kunit=True)
    return kunit_files(change.whole, touched_files(change.whole)), change


def test_a_test_beside_a_touched_file_is_found_by_its_name(toy: Toy) -> None:
    tests, change = found(toy, **{"mm/swap_kunit.c": SWAP_TEST})
    assert tests == [KunitFile("mm/swap_kunit.c", "mm/swap.c", ("swap-slots", "swap"))]
    assert change.needs("x86")["mm/swap_kunit.c"] == ("KUNIT_DEBUGFS", "KUNIT_DEFAULT_ENABLED")
    assert "mm/swap_kunit.c" not in replace(change, kunit=False).needs("x86")


def test_a_folder_of_tests_and_lib_are_looked_in(toy: Toy) -> None:
    one = SWAP_TEST.replace("kunit_test_suites(&swap_suite, &other", "kunit_test_suite(other")
    tests, _ = found(toy, **{"mm/tests/swap_test.c": one, "lib/test_swap.c": SWAP_TEST})
    assert [test.path for test in tests] == ["mm/tests/swap_test.c", "lib/test_swap.c"]


def test_a_test_that_the_series_brings_is_its_own(toy: Toy) -> None:
    _, tree = toy.apply(toy.series(("one", {"drivers/odd_kunit.c": SWAP_TEST})))
    tests = kunit_files(tree, touched_files(tree))
    assert [(test.path, test.touched) for test in tests] == [("drivers/odd_kunit.c",) * 2]


def test_a_file_that_is_only_called_a_test_is_none(toy: Toy) -> None:
    tests, change = found(toy, **{"mm/test_swap.c": "int main(void) { return 0; }\n"})
    assert tests == []
    assert all(not {*NEEDED} & {*needed} for needed in change.needs("x86").values())
