# SPDX-License-Identifier: GPL-2.0-only
"""Several guests share the cases; what is seen of them is as if there were one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from harness.cases.pool import MIN_CASES_PER_GUEST, run_shared
from harness.cases.runner import CaseRunner
from harness.core import events as ev
from harness.core.errors import SeriesError
from harness.image.programs import Case, Program
from harness.series.contract import SeriesData
from harness.vm.guest import CaseRun, Guest
from tests.support.limits import HUNG_S
from tests.support.recorder import Recorder

PROGRAM = Program(Path("/x/volatile/p.c"), "volatile/p.c", ("/tests/volatile/p",))
CASES = [
    Case(ev.CaseId.parse(f"volatile/p.c::c{n:02}"), PROGRAM, ("V-IF-2",), 5.0, "a claim")
    for n in range(4 * MIN_CASES_PER_GUEST)
]


class MeetingGuest:
    """A guest whose cases of the names in ``meet`` end only when all of them run at once."""

    swap_image = Path("/none")
    trustworthy = True

    def __init__(
        self, barrier: threading.Barrier, meet: Sequence[str] = (), pace: float = 1.0
    ) -> None:
        self.barrier = barrier
        self.pace = pace
        self.meet = meet
        self.ran: list[str] = []
        self.limits: list[float] = []

    def run_case(self, case_id: str, argv: tuple[str, ...], timeout: float, **_: object) -> CaseRun:
        name = argv[-1]
        self.ran.append(name)
        self.limits.append(timeout)
        if name in self.meet:
            self.barrier.wait(HUNG_S)
        return CaseRun(0, f"KTAP version 1\n1..1\nok 1 {name}\n", "", 0.1, False, "", None, ())

    def close(self) -> None: ...


def runner_with(data: SeriesData, guest: MeetingGuest) -> CaseRunner:
    return CaseRunner(data, 4, "6.1.192", cast(Callable[[], Guest], lambda: guest))


def run_all(
    events: ev.Events,
    data: SeriesData,
    guests: Sequence[MeetingGuest],
    cases: Sequence[Case],
) -> None:
    run_shared(cases, [runner_with(data, guest) for guest in guests], events.emit)


def test_two_guests_run_cases_at_the_same_time(
    events: ev.Events, recorder: Recorder, data: SeriesData
) -> None:
    barrier = threading.Barrier(2)
    meet = [CASES[0].name, CASES[1].name]  # they would wait for ever, one after the other
    guests = [MeetingGuest(barrier, meet) for _ in range(2)]
    run_all(events, data, guests, CASES)
    assert [e.status for e in recorder.of(ev.CaseFinished)] == ["pass"] * len(CASES)
    assert sorted(guests[0].ran + guests[1].ran) == [case.name for case in CASES]


def test_events_come_in_the_order_of_the_cases(
    events: ev.Events, recorder: Recorder, data: SeriesData
) -> None:
    guests = [MeetingGuest(threading.Barrier(1)) for _ in range(3)]
    run_all(events, data, guests, CASES)
    for kind in (ev.CaseStarted, ev.CaseFinished):
        seen = [cast(ev.CaseFinished, event).id for event in recorder.of(kind)]
        assert seen == [case.id for case in CASES]
    kinds = [type(event) for event in recorder.seen]
    assert kinds == [ev.CaseStarted, ev.CaseFinished] * len(CASES)


def test_few_cases_get_one_guest_and_all_of_its_time(events: ev.Events, data: SeriesData) -> None:
    guests = [MeetingGuest(threading.Barrier(1)) for _ in range(2)]
    run_all(events, data, guests, CASES[: 2 * MIN_CASES_PER_GUEST - 1])
    assert (len(guests[0].ran), guests[1].ran) == (2 * MIN_CASES_PER_GUEST - 1, [])
    assert set(guests[0].limits) == {5.0}


def test_guests_that_share_the_machine_get_more_time(events: ev.Events, data: SeriesData) -> None:
    guests = [MeetingGuest(threading.Barrier(1), pace=1.5) for _ in range(2)]
    run_all(events, data, guests, CASES)
    assert set(guests[0].limits + guests[1].limits) <= {15.0}


def test_a_guest_that_cannot_be_had_ends_the_run_at_its_case(
    events: ev.Events, data: SeriesData
) -> None:
    def none_left() -> Guest:
        raise SeriesError("does not boot again")

    runners = [CaseRunner(data, 4, "6.1.192", none_left) for _ in range(2)]
    with pytest.raises(SeriesError, match="does not boot again"):
        run_shared(CASES, runners, events.emit)


def test_a_guest_that_cannot_be_had_ends_the_run_at_an_earlier_case_too(
    events: ev.Events, data: SeriesData
) -> None:
    """The long case is begun first; nobody runs the short ones that come before it."""

    class NoneLeft(MeetingGuest):
        def run_case(self, *_: object, **more: object) -> CaseRun:
            self.barrier.wait(HUNG_S)
            raise SeriesError("does not boot again")

    cases = [*CASES[:-2], *(replace(case, timeout=60.0) for case in CASES[-2:])]
    guests = [NoneLeft(threading.Barrier(2))] * 2
    ended: Future[object] = Future()

    def ask() -> None:
        try:
            run_all(events, data, guests, cases)
            ended.set_result(None)
        except SeriesError as error:
            ended.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    with pytest.raises(SeriesError, match="does not boot again"):
        ended.result(HUNG_S)


def test_a_runner_that_shared_the_cases_speaks_to_whoever_asks_it_next(
    events: ev.Events, recorder: Recorder, data: SeriesData
) -> None:
    guests = [MeetingGuest(threading.Barrier(1)) for _ in range(2)]
    runners = [runner_with(data, guest) for guest in guests]
    run_shared(CASES, runners, events.emit)
    said: list[ev.Event] = []
    more = replace(CASES[0], id=ev.CaseId.parse("volatile/p.c::more"))
    assert runners[0].run(more, said.append) == said[-1]
    assert [type(event) for event in said] == [ev.CaseStarted, ev.CaseFinished]
    assert len(recorder.of(ev.CaseFinished)) == len(CASES)
    assert guests[0].limits[-1] == 5.0  # alone again, it has the time of one that is alone


def test_after_an_interrupt_no_case_begins(events: ev.Events, data: SeriesData) -> None:
    began, go_on = threading.Barrier(3), threading.Event()

    class Waiting(MeetingGuest):
        def run_case(
            self, case_id: str, argv: tuple[str, ...], timeout: float, **more: object
        ) -> CaseRun:
            began.wait(HUNG_S)
            assert go_on.wait(HUNG_S)
            return super().run_case(case_id, argv, timeout, **more)

    def interrupt(_: ev.Event) -> None:
        began.wait(HUNG_S)  # both are at their first case
        raise KeyboardInterrupt

    guests = [Waiting(threading.Barrier(1)) for _ in range(2)]
    before = set(threading.enumerate())
    events.consumers.append(interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_all(events, data, guests, CASES)
    workers = set(threading.enumerate()) - before
    go_on.set()
    for worker in workers:
        worker.join(HUNG_S)
    assert sorted(guests[0].ran + guests[1].ran) == [case.name for case in CASES[:2]]


def test_a_failure_counts_when_it_happens_and_not_when_its_turn_on_the_screen_comes(
    events: ev.Events, recorder: Recorder, data: SeriesData
) -> None:
    before = set(threading.enumerate())

    class Second(MeetingGuest):
        """Its second case fails; the first ends when the other guest has nothing left to do."""

        def run_case(self, *args: Any, **words: Any) -> CaseRun:
            done = super().run_case(*args, **words)
            if self.ran[-1] == CASES[1].name:
                return replace(done, stdout=f"KTAP version 1\n1..1\nnot ok 1 {self.ran[-1]}\n")
            if self.ran[-1] == CASES[0].name:
                for other in set(threading.enumerate()) - before - {threading.current_thread()}:
                    other.join(HUNG_S)
            return done

    barrier = threading.Barrier(2)
    meet = [CASES[0].name, CASES[1].name]
    runners = [runner_with(data, Second(barrier, meet)) for _ in range(2)]
    run_shared(CASES, runners, events.emit, 1)
    for kind in (ev.CaseStarted, ev.CaseFinished):
        seen = [cast(ev.CaseFinished, event).id for event in recorder.of(kind)]
        assert seen == [case.id for case in CASES[:2]]


@pytest.mark.parametrize("in_order", [False, True])
def test_long_cases_are_begun_first_or_as_they_stand(data: SeriesData, in_order: bool) -> None:
    cases = [replace(case, timeout=number + 1.0) for number, case in enumerate(CASES)]
    guests = [MeetingGuest(threading.Barrier(1)) for _ in range(2)]
    runners = [runner_with(data, guest) for guest in guests]
    run_shared(cases, runners, Recorder(), in_order=in_order)
    for guest in guests:
        assert guest.ran == sorted(guest.ran, reverse=not in_order)
    assert sorted(guests[0].ran + guests[1].ran) == [case.name for case in cases]
