# SPDX-License-Identifier: GPL-2.0-only
"""A guest is held only when its kernel has gone over to the clock that it keeps."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.errors import MachineError
from harness.races import guests
from harness.races.clocksource import wait_for_final_clocksource
from harness.races.guests import KernelGuests
from harness.vm.protocol import Completed

BOOT = ["clocksource: Switched to clocksource refined-jiffies"]
EARLY = [*BOOT, "clocksource: Switched to clocksource tsc-early"]
LATE = "[    1.443051][    T8] clocksource: Switched to clocksource tsc"


@dataclass
class Console:
    """Says ``coming`` once somebody waits."""

    lines: list[str]
    coming: list[str] = field(default_factory=list)
    log: Path = Path("console.log")
    waited: int = 0

    @property
    def count(self) -> int:
        return len(self.lines)

    def wait_for(self, pattern: str, timeout: float, *, since: int = 0) -> re.Match[str] | None:
        self.waited += 1
        found = [re.search(pattern, line) for line in [*self.lines, *self.coming][since:]]
        return next((match for match in found if match), None)


@dataclass
class Guest:
    console: Console
    current: str
    status: int = 0
    pace: float = 1.0

    def exec(self, command: Any, timeout: float) -> Completed:
        return Completed(self.status, f"{self.current}\n", "cat: no such file")


def settle(guest: Guest) -> int:
    wait_for_final_clocksource(guest)  # type: ignore[arg-type]
    return guest.console.waited


@pytest.mark.parametrize("current", ["tsc", "refined-jiffies", "kvm-clock"])
def test_a_clock_that_stays_is_not_waited_for(current: str) -> None:
    assert settle(Guest(Console(EARLY), current)) == 0


def test_the_switch_is_waited_for() -> None:
    assert settle(Guest(Console(EARLY, [LATE]), "tsc-early")) == 1


def test_the_switches_of_the_boot_are_none() -> None:
    with pytest.raises(MachineError, match="stays with the clocksource tsc-early"):
        settle(Guest(Console(EARLY, EARLY[1:]), "tsc-early"))


def test_a_guest_that_does_not_tell_is_the_machines_fault() -> None:
    with pytest.raises(MachineError, match="does not tell its clocksource: cat"):
        settle(Guest(Console(EARLY), "", status=1))


@dataclass(eq=False)
class Made:
    """A guest of ``Guests``; each is another."""

    trustworthy: bool = True

    def close(self) -> None:
        self.trustworthy = False


def test_a_guest_that_did_not_become_ready_is_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Who tries the next scenario all the same would hold the CPUs of one that is to stop them."""
    made = [Made(), Made(), Made()]
    fresh = iter(made)
    measured: list[Any] = []
    waited: list[Any] = []

    def wait(guest: Any) -> None:
        waited.append(guest)
        if guest in (made[0], made[2]):
            raise MachineError("the guest stays with the clocksource tsc-early")

    monkeypatch.setattr(guests, "measure_pace", lambda guest, events: measured.append(guest))
    monkeypatch.setattr(guests, "wait_for_final_clocksource", wait)
    of: Any = SimpleNamespace(fresh=lambda: next(fresh), events=None)
    given: Any = SimpleNamespace()
    on = KernelGuests(given, given, given, of, tmp_path / "gdb")
    with pytest.raises(MachineError):
        on.guest()
    assert not made[0].trustworthy
    second: Any = on.guest()
    assert second is made[1] and measured == [made[0], made[1]]
    with pytest.raises(MachineError):
        on.renew()
    assert [guest.trustworthy for guest in made] == [False, False, False] and len(waited) == 3
