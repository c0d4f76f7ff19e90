# SPDX-License-Identifier: GPL-2.0-only
"""Which patch a report leads to."""

from __future__ import annotations

from harness.detectors.blamed_patch import blamed, places
from tests.support.toy import Toy

WARN = """WARNING: CPU: 1 PID: 70 at mm/swap.c:{line} grown+0x2b/0x90
RIP: 0010:grown (include/linux/x.h:12 mm/swap.c:{line} (discriminator 3))
Call Trace:
 do_syscall_64 (arch/x86/entry/common.c:52)
"""


def test_places_are_named_once_and_in_order() -> None:
    assert list(places(WARN.format(line=9))) == [
        ("mm/swap.c", 9),
        ("include/linux/x.h", 12),
        ("arch/x86/entry/common.c", 52),
    ]


def test_the_patch_whose_line_it_is(toy: Toy) -> None:
    before = len((toy.tree / "mm" / "swap.c").read_text().splitlines())
    folder = toy.series(
        ("mm: first", {"mm/swap.c": lambda text: text + "int first;\n"}),
        ("mm: second", {"mm/swap.c": lambda text: text + "int second;\n"}),
    )
    _, tree = toy.apply(folder)
    for number, subject in enumerate(("mm: first", "mm: second"), 1):
        found = blamed(tree, 5, WARN.format(line=before + number))
        assert found is not None
        assert (found.splat, found.number, found.subject) == (5, number, subject)
        assert found.place == f"mm/swap.c:{before + number}"
    # A line of the base, a line that the file does not have, and none at all.
    for line in (1, before + 9):
        assert blamed(tree, 5, WARN.format(line=line)) is None
    assert blamed(tree, 5, "BUG: unable to handle page fault") is None
