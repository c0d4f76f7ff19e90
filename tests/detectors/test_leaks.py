# SPDX-License-Identifier: GPL-2.0-only
"""kmemleak's findings count when two scans agree on them."""

from __future__ import annotations

from harness.detectors.leaks import in_both, objects
from harness.vm.splats import find_splats

ENTRY = """unreferenced object 0x{0} (size 64):
  comm "python3", pid 61, jiffies 4294894636 (age 6.500s)
  hex dump (first 32 bytes):
    cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc  ................
  backtrace:
    [<00000000a7c1ad2e>] kmalloc_trace+0x26/0x90
    [<0000000028c0bb7a>] {1}+0x1a/0x40
    [<00000000dd0f0f6e>] full_proxy_write+0x5f/0x90
"""


def test_entries_are_told_apart() -> None:
    text = ENTRY.format("ffff888001", "one") + ENTRY.format("ffff888002", "two")
    assert list(objects(text)) == ["0xffff888001", "0xffff888002"]


def test_a_leak_is_seen_twice() -> None:
    first = ENTRY.format("ffff888001", "once") + ENTRY.format("ffff888002", "twice")
    second = ENTRY.format("ffff888002", "twice") + ENTRY.format("ffff888003", "late")
    (splat,) = find_splats(in_both(first, second))
    assert (splat.category, splat.title) == ("kmemleak", "kmemleak: memory leaked by twice")
    assert in_both(first, "") == in_both("", second) == ""


def test_two_leaks_are_two_reports() -> None:
    text = ENTRY.format("ffff888001", "one") + ENTRY.format("ffff888002", "two")
    assert [s.title.split()[-1] for s in find_splats(in_both(text, text))] == ["one", "two"]


def test_the_console_line_of_one_scan_is_no_complaint() -> None:
    line = "kmemleak: 1 new suspected memory leaks (see /sys/kernel/debug/kmemleak)"
    assert find_splats(line) == []
