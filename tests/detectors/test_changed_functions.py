# SPDX-License-Identifier: GPL-2.0-only
"""Which functions a series touches, and which reports therefore count."""

from __future__ import annotations

from pathlib import Path

from harness.detectors.changed_functions import (
    FOREIGN,
    frames,
    functions,
    sorted_out,
    touched_functions,
)
from harness.series.apply import PatchedTree
from harness.series.diff import changed_lines
from harness.vm.splats import Splat, find_splats
from tests.support.toy import Toy

FILE = """#include <linux/mm.h>

static int helper(int a)
{
\treturn a;
}

/* Not a function. */
struct thing {
\tint x;
};

int caller(struct thing *t,
\t   int b)
\t__releases(lock)
{
\tif (b) {
\t\treturn helper(b);
\t}
\treturn 0;
}

SYSCALL_DEFINE3(madvise, unsigned long, start, size_t, len, int, how)
{
\treturn caller(NULL, how);
}
"""
REPORT = """==================================================================
[    7.1][    T7] BUG: KCSAN: data-race in {0} / writer
[    7.1][    T7]
[    7.1][    T7] write to 0xffff888 of 8 bytes by task 7 on cpu 1:
[    7.1][    T7]  writer+0x1/0x2
[    7.1][    T7]  {0}.constprop.0+0x1/0x2
[    7.1][    T7]
[    7.1][    T7] value changed: 0x1 -> 0x2
[    7.1][    T7] =================================================================="""


def test_functions_have_names_and_lines() -> None:
    found = [(f.names[0], f.first, f.last) for f in functions(FILE)]
    assert found == [("helper", 3, 6), ("caller", 13, 21), ("__do_sys_madvise", 23, 26)]


def test_a_diff_says_which_lines_are_new() -> None:
    diff = (
        "--- a/mm/a.c\n+++ b/mm/a.c\n@@ -3 +3,2 @@ x\n-o\n+n\n+n\n@@ -9,2 +10,0 @@\n-o\n-o\n"
        "--- /dev/null\n+++ b/mm/b.c\n@@ -0,0 +1 @@\n+n\n"
        "--- a/mm/c.c\n+++ /dev/null\n@@ -1 +0,0 @@\n-o\n"
    )
    assert changed_lines(diff) == {"mm/a.c": {3, 4, 10, 11}, "mm/b.c": {1}}


def splat(function: str) -> Splat:
    (found,) = find_splats(REPORT.format(function))
    return found


def test_frames_are_of_both_stacks_and_without_suffixes() -> None:
    assert list(frames(splat("reader").text)) == ["writer", "reader"]


def test_only_a_touched_frame_counts() -> None:
    assert sorted_out(splat("reader"), lambda: frozenset({"reader"})).foreign is None
    assert sorted_out(splat("reader"), lambda: frozenset({"other"})).foreign == FOREIGN


def test_other_detectors_always_count() -> None:
    other = Splat("WARNING in x", "warning", " x+0x1/0x2", None, 0, 0)
    assert sorted_out(other, lambda: frozenset()) is other


def test_what_was_inlined_stands_for_its_callers(toy: Toy, tmp_path: Path) -> None:
    new = FILE.replace("return a;", "return a + 1;")
    folder = toy.series(("one", {"mm/new.c": FILE}), ("two", {"mm/new.c": new}))
    _, applied = toy.apply(folder)
    first = toy.apply(folder, 1)[1]
    tree = PatchedTree(applied.repo, applied.commit, first.commit)
    symbols = "1 T caller\n2 t helper\n3 T __do_sys_madvise\n"
    assert touched_functions(tree, symbols) == {"helper"}
    assert touched_functions(tree, symbols.replace("2 t helper\n", "")) == {"helper", "caller"}
