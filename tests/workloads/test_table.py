# SPDX-License-Identifier: GPL-2.0-only
"""The list of selftests says what it means, and leaves nothing out in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import InvocationError
from harness.core.settings import PROJECT
from harness.series.contract import load as load_series
from harness.workloads.regression_selftests import FILE, SelftestList, load

OURS = PROJECT / "patches" / "volatile"

TEXT = """
clause: V-KS-2
floor: 2
kernels:
  "6.1":
    folder: vm
    memory_mb: 512
    tests:
      - {run: "one -a x:y 0x10", timeout: 30, user: nobody}
      - {run: one, set: {/proc/sys/vm/a: 1, /proc/sys/vm/b: always}, huge_pages: 8, swap: true}
      - {run: two, name: second, flaps: it races}
    left_out:
      three: needs a tape drive
"""


def parse(folder: Path, text: str = TEXT) -> SelftestList:
    (folder / FILE).write_text(text)
    return load(folder, "6.1")


def test_a_list_is_read(tmp_path: Path) -> None:
    listed = parse(tmp_path)
    one, bare, second = listed.tests
    assert (one.name, one.argv, one.timeout) == ("one_a_x_y_0x10", ("one", "-a", "x:y", "0x10"), 30)
    assert one.user == "nobody" and not one.settings
    assert bare.settings == (("/proc/sys/vm/a", "1"), ("/proc/sys/vm/b", "always"))
    assert bare.lacks({}) is None
    assert (bare.huge_pages, bare.swap, bare.timeout) == (8, True, 10.0)
    assert (second.name, second.argv, second.flaps) == ("second", ("two",), "it races")
    assert listed.programs == ("one", "two")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("run: two, name: second", "run: one", "has one twice"),
        ("three:", "two:", "runs two, and leaves it out"),
        ("flaps: it races", "flaky: it races", r"tests\[2\]: flaky is none of run, name"),
        ("memory_mb: 512", "memory_mb: 512\n    memory: 2", "kernels.6.1: memory is none of"),
        ("floor: 2", "floor: many", "floor: .*many"),
        ("floor: 2", "floor: [2", "while parsing a flow sequence"),
    ],
)
def test_a_list_that_makes_no_sense_is_the_users_mistake(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    with pytest.raises(InvocationError, match=f"{FILE}: .*{message}"):
        parse(tmp_path, TEXT.replace(old, new))


def test_a_test_may_need_symbols_of_the_configuration(tmp_path: Path) -> None:
    tests = parse(tmp_path, TEXT.replace("swap: true", "config: [SWAP, NUMA]")).tests
    assert tests[1].lacks({"SWAP": "y", "NUMA": "y"}) is None
    assert tests[1].lacks({"SWAP": "y"}) == tests[1].lacks({"SWAP": "y", "NUMA": "n"}) == "NUMA"
    assert tests[0].lacks({}) is None


def test_a_series_without_a_list_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(InvocationError, match=r"lists no selftests for Linux 6\.1"):
        load(tmp_path, "6.1")
    (tmp_path / FILE).write_text(TEXT)
    with pytest.raises(InvocationError, match=r"for Linux 5\.10"):
        load(tmp_path, "5.10")


@pytest.mark.parametrize("line", ["6.1", "6.12", "7.3"])
def test_ours_is_whole(line: str) -> None:
    listed = load(OURS, line)
    assert listed.clause in load_series(OURS).clauses
    assert 25 <= listed.floor <= len(listed.tests)
    for program, why in listed.row.left_out.items():
        assert len(why) > 15, f"{program} is left out without a reason"
