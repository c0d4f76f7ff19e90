# SPDX-License-Identifier: GPL-2.0-only
"""kmemleak's findings count when two scans agree on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.core import events as ev
from harness.core.errors import SeriesError
from harness.detectors.leaks import in_both, objects, scan
from harness.vm.channel import SshError
from harness.vm.protocol import Completed
from harness.vm.splats import find_splats
from tests.support.recorder import Recorder

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


class ScannedGuest:
    """A guest whose kmemleak lists ``said``; None: it does not answer."""

    name, pace = "guest7", 1.0

    def __init__(self, said: str | None, trustworthy: bool = True) -> None:
        self.said, self.trustworthy = said, trustworthy

    def exec(self, *_: object) -> Completed:
        if self.said is None:
            raise SshError("lost")
        return Completed(0, self.said, "")

    def dump_state(self) -> Path:
        return Path("/state")


def test_a_guest_that_was_lost_is_counted_and_not_asked(
    events: ev.Events, recorder: Recorder
) -> None:
    leak = ENTRY.format("ffff888001", "one")
    guests: Any = [ScannedGuest(leak), ScannedGuest(""), ScannedGuest(None, trustworthy=False)]
    assert scan(guests, events, lambda splat: splat) == (2, "1 leak in 2 of 3 guests")
    assert [splat.title for splat in recorder.of(ev.SplatSeen)] == [
        "kmemleak: memory leaked by one"
    ]


def test_a_guest_that_dies_of_the_scan_is_the_series_fault(events: ev.Events) -> None:
    guests: Any = [ScannedGuest(None)]
    with pytest.raises(SeriesError, match="guest7 does not answer while kmemleak"):
        scan(guests, events, lambda splat: splat)
