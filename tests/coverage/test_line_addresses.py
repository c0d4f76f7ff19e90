# SPDX-License-Identifier: GPL-2.0-only
"""Where the code of changed lines is, on the toy kernel, by the tested kernel's own folder."""

from __future__ import annotations

from harness.build.kernel import build
from harness.coverage.changed_lines import changed_files
from harness.coverage.line_addresses import Statements, find_statements
from tests.support.toy import Toy, grow


def find(toy: Toy) -> tuple[Statements, str]:
    """The statements of a series of one function, and the System.map."""
    folder = toy.series(("more", {"mm/swap.c": grow}))
    base, applied = toy.apply(folder)
    config = toy.configure(base, applied)
    kernel = build(toy.under_test(base, applied), config)
    files = changed_files(applied)
    found = find_statements(toy.under_test(base, applied), kernel, files)
    return found, kernel.system_map.read_text()


def test_each_line_with_code_has_its_address(toy: Toy) -> None:
    found, symbol_map = find(toy)
    (grown,) = (int(r.split()[0], 16) for r in symbol_map.splitlines() if r.endswith(" grown"))
    lines = found.lines["mm/swap.c"]
    # int grown(void) { return 7; }: the brace and what is behind it.
    assert lines[18] == [grown]
    assert found.objects == ("mm/swap.o",) and not found.missing
    assert not found.cached
    again, _ = find(toy)
    assert again.cached and again.lines == found.lines


def test_the_folder_is_brought_back_to_the_series_first(toy: Toy) -> None:
    folder = toy.series(("more", {"mm/swap.c": grow}))
    base, applied = toy.apply(folder)
    kernel = build(toy.under_test(base, applied), toy.configure(base, applied))
    toy.build(toy.series(("other", {"mm/swap.c": lambda t: grow("\n\n\n\n" + t)}), name="other"))
    files = changed_files(applied)
    found = find_statements(toy.under_test(base, applied), kernel, files)
    assert 18 in found.lines["mm/swap.c"]


def test_an_object_that_is_elsewhere_in_the_kernel_is_missing(toy: Toy) -> None:
    folder = toy.series(("more", {"mm/swap.c": grow}))
    base, applied = toy.apply(folder)
    kernel = build(toy.under_test(base, applied), toy.configure(base, applied))
    files = changed_files(applied)
    kernel.system_map.write_text("ffffffff81000000 T start_kernel\n")
    found = find_statements(toy.under_test(base, applied), kernel, files)
    assert (found.lines, found.missing) == ({}, ("mm/swap.o",))
