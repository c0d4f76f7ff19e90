# SPDX-License-Identifier: GPL-2.0-only
"""What the static checkers say is read, compared with the tree before, and justified."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.build.make import new_warnings
from harness.commands.static_checks import (
    PatchRemarks,
    Remark,
    load_waivers,
    read_remarks,
)
from harness.core.errors import InvocationError
from harness.core.settings import PROJECT
from harness.series.contract import load

OURS = PROJECT / "patches" / "volatile"
CHECKPATCH = """\
include/linux/swap.h:67: CHECK:BIT_MACRO: Prefer using the BIT macro
/tmp/mail:12: WARNING:COMMIT_LOG_LONG_LINE: Prefer a maximum 75 chars per line
ERROR:MISSING_SIGN_OFF: Missing Signed-off-by: line(s)
No codespell typos will be found
"""
SPARSE = """\
  CHECK   /src/mm/rmap.c
/src/mm/rmap.c: note: in included file:
/src/include/linux/rmap.h:411:28: warning: context imbalance in 'vote' - unexpected unlock
/src/include/linux/rmap.h:411:28: warning: context imbalance in 'vote' - unexpected unlock
/src/mm/rmap.c:7:3: warning: unused variable 'x' [-Wunused-variable]
/out/./include/generated/bounds.h:1:1: error: bad constant
  CC      mm/rmap.o
"""


def test_checkpatch_in_terse_form() -> None:
    assert read_remarks(CHECKPATCH.splitlines(), mail="/tmp/mail") == [
        Remark("include/linux/swap.h", 67, "CHECK:BIT_MACRO: Prefer using the BIT macro"),
        Remark("", 0, "WARNING:COMMIT_LOG_LONG_LINE: Prefer a maximum 75 chars per line"),
        Remark("", 0, "ERROR:MISSING_SIGN_OFF: Missing Signed-off-by: line(s)"),
    ]


def test_sparse_says_each_thing_once_and_the_compiler_is_not_sparse() -> None:
    lines = SPARSE.splitlines()
    assert read_remarks(lines, ("/src", "/out")) == [
        Remark("include/linux/rmap.h", 411,
               "warning: context imbalance in 'vote' - unexpected unlock"),
        Remark("include/generated/bounds.h", 1, "error: bad constant"),
    ]  # fmt: skip


def test_only_what_the_tree_before_did_not_have_is_new() -> None:
    old = [Remark("a.c", 3, "warning: x in 'f'"), Remark("a.c", 9, "warning: y")]
    moved = [Remark("a.c", 13, "warning: x in 'f'"), Remark("a.c", 20, "warning: x in 'f'")]
    assert new_warnings(moved, old) == [Remark("a.c", 20, "warning: x in 'f'")]


def waivers(folder: Path, text: str, line: str = "6.1") -> list[str]:
    (folder / "justified.yaml").write_text(text)
    return [e.pattern for e in load_waivers(folder, line)]


def test_an_entry_may_be_for_one_kernel_line(tmp_path: Path) -> None:
    text = "- {tool: sparse, patch: 1, pattern: %s, why: w%s}\n"
    both = text % ("a", "") + text % ("b", ", kernels: ['6.12']")
    assert waivers(tmp_path, both) == ["a"]
    assert waivers(tmp_path, both, "6.12") == ["a", "b"]
    assert load_waivers(tmp_path / "elsewhere", "6.1") == ()


@pytest.mark.parametrize("row", ["{tool: lint, patch: 1, pattern: a, why: w}", "{tool: sparse}"])
def test_an_entry_that_makes_no_sense_is_told(tmp_path: Path, row: str) -> None:
    with pytest.raises(InvocationError, match=r"justified\.yaml"):
        waivers(tmp_path, f"- {row}\n")


def test_a_reason_serves_its_own_patch_and_tool_only(tmp_path: Path) -> None:
    remark = Remark("mm/a.c", 4, "warning: imbalance in 'f'")
    waivers(tmp_path, "- {tool: sparse, patch: 1, pattern: 'mm/a.c:\\d+: .*imbalance', why: so}\n")
    known = load_waivers(tmp_path, "6.1")
    one = PatchRemarks(1, "one", {"sparse": (remark,), "checkpatch": (remark,)}, known)
    two = PatchRemarks(2, "two", {"sparse": (remark,)}, known)
    assert (one.open("sparse"), two.open("sparse")) == ([], [remark])
    assert (one.why("sparse", remark), two.why("sparse", remark)) == ("so", "")
    assert one.open("checkpatch") == [remark]
    assert one.stale("sparse") == one.stale("checkpatch") == two.stale("sparse") == []


def test_an_entry_is_stale_for_its_own_patch_and_tool_only(tmp_path: Path) -> None:
    waivers(tmp_path, "- {tool: sparse, patch: 1, pattern: never, why: so}\n")
    known = load_waivers(tmp_path, "6.1")
    tools: dict[str, tuple[Remark, ...]] = {"sparse": (), "checkpatch": ()}
    one = PatchRemarks(1, "one", tools, known)
    assert (one.stale("sparse"), one.stale("checkpatch")) == (list(known), [])
    assert PatchRemarks(2, "two", tools, known).stale("sparse") == []


def test_our_reasons_are_sound() -> None:
    count = len(load(OURS).subjects)
    for line in ("6.1", "6.12"):
        for waiver in load_waivers(OURS, line):
            assert 1 <= waiver.patch <= count
            assert re.compile(waiver.pattern)
            assert len(waiver.why.split()) > 2
