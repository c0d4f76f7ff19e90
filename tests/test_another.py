# SPDX-License-Identifier: GPL-2.0-only
"""A guest that boots beside another: handed out once, and ended with the run, come what may."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeAlias, cast

import pytest

from harness.another import Another
from harness.errors import InternalError, MachineError, SeriesError
from harness.guest import Guest
from harness.snapshot import Snapshot
from harness.splat import Splat
from tests.limits import HUNG_S

SNAPSHOT = cast(Snapshot, object())
SPLAT = Splat("BUG in x", "bug", "text", None, 0, 1)
Report: TypeAlias = Callable[[Splat], None]
Started: TypeAlias = Callable[[Guest], None]


class Closing:
    """As much of a guest as is needed to end it."""

    name = "guest2"

    def __init__(self) -> None:
        self.closed = threading.Event()

    def close(self) -> None:
        self.closed.set()


class Booting:
    """Boots when ``may`` is set; remembers its thread."""

    def __init__(self) -> None:
        self.guest = Closing()
        self.may = threading.Event()
        self.at_work = threading.Event()
        self.thread = threading.current_thread()

    def __call__(self, *, report: Report, started: Started) -> Guest:
        self.thread = threading.current_thread()
        started(cast(Guest, self.guest))
        self.at_work.set()
        assert self.may.wait(HUNG_S)
        if self.guest.closed.is_set():
            raise SeriesError("the guest ended")
        return cast(Guest, self.guest)


def test_the_first_who_asks_gets_it_and_all_others_its_state() -> None:
    boot = Booting()
    another = Another(boot, lambda guest: SNAPSHOT)
    boot.may.set()
    assert another.take() is cast(Guest, boot.guest)
    assert another.take() is None
    assert another.snapshot is SNAPSHOT
    # QEMU ends with the thread that started it.
    assert boot.thread.is_alive() and not boot.guest.closed.is_set()
    another.end()
    assert boot.guest.closed.is_set() and not boot.thread.is_alive()


def test_of_two_who_ask_while_it_boots_one_gets_it_and_both_its_state() -> None:
    boot = Booting()
    another = Another(boot, lambda guest: SNAPSHOT)
    found: list[tuple[Guest | None, Snapshot | None]] = []
    told_to_go = threading.Event()

    def ask() -> None:
        guest = another.take()
        if guest is None:
            told_to_go.set()
        found.append((guest, another.snapshot))

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    # Who does not get it hears so at once; there is no state to be had yet.
    assert told_to_go.wait(HUNG_S)
    assert found == []
    boot.may.set()
    for thread in asking:
        thread.join(HUNG_S)
    guest = cast(Guest, boot.guest)
    assert sorted(found, key=lambda got: got[0] is None) == [(guest, SNAPSHOT), (None, SNAPSHOT)]
    another.end()


def test_one_that_does_not_boot_is_told_once_with_what_it_said() -> None:
    def dies(*, report: Report, started: Started) -> Guest:
        report(SPLAT)
        raise SeriesError("the kernel does not boot")

    another = Another(dies, lambda guest: SNAPSHOT)
    with pytest.raises(SeriesError, match="does not boot"):
        another.take()
    assert another.said == [SPLAT]
    assert another.take() is None
    assert another.snapshot is None
    another.end()


def test_one_that_cannot_be_saved_is_ended_at_once() -> None:
    boot = Booting()
    boot.may.set()

    def full(guest: Guest) -> Snapshot:
        raise MachineError("no room")

    another = Another(boot, full)
    with pytest.raises(MachineError, match="no room"):
        another.take()
    assert boot.guest.closed.is_set()
    another.end()


def test_the_end_of_the_run_ends_one_that_still_boots() -> None:
    boot = Booting()
    another = Another(boot, lambda guest: SNAPSHOT)
    assert boot.at_work.wait(HUNG_S)

    def go_on_when_closed() -> None:
        assert boot.guest.closed.wait(HUNG_S)
        boot.may.set()

    waiting = threading.Thread(target=go_on_when_closed)
    waiting.start()
    another.end()
    assert boot.guest.closed.is_set() and not boot.thread.is_alive()
    waiting.join(HUNG_S)


def test_one_that_comes_after_the_end_is_not_let_go_on() -> None:
    may = threading.Event()
    said: list[str] = []

    def late(*, report: Report, started: Started) -> Guest:
        assert may.wait(HUNG_S)
        try:
            started(cast(Guest, Closing()))
        except InternalError as error:
            said.append(error.what)
            raise
        raise AssertionError("it was let go on")

    another = Another(late, lambda guest: SNAPSHOT)
    ending = threading.Thread(target=another.end)
    ending.start()
    assert another._over.wait(HUNG_S)
    may.set()
    ending.join(HUNG_S)
    assert said == ["guest2 came up after the run had ended"]
