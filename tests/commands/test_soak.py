# SPDX-License-Identifier: GPL-2.0-only
"""A soak goes on where the last one ended, and ends at the first thing that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import cast

import pytest

from harness.cases.runner import CaseRunner
from harness.cases.soakers import (
    CaseSoaker,
    DivergenceError,
    Figures,
    SoakContext,
    Soaker,
    load_soakers,
)
from harness.commands.soak import Identity, Rounds, TotalsFile, soak
from harness.core import events as ev
from harness.core.errors import InternalError, InvocationError, SeriesError
from harness.core.settings import PROJECT, Settings, from_environment
from harness.image.programs import Suite
from harness.report.results import Results
from harness.series.contract import SeriesData
from harness.vm.guest import CaseRun, Guest
from tests.cases.test_runner import FakeGuest, case, run, said
from tests.support.recorder import Recorder

CASES = tuple(case(name, timeout=10.0) for name in ("even", "odd"))


@dataclass
class Scripted:
    """A soaker whose rounds are what the test says; remembers the seeds."""

    answers: list[Figures | BaseException]
    seeds: list[int] = field(default_factory=list)

    def round(self, context: SoakContext, seed: int) -> Figures:
        self.seeds.append(seed)
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    given = {"KIND": "stress", "KERNEL": "6.12", "CONFIG": "kasan", "OUT": str(tmp_path / "out")}
    return from_environment({**given, "HARNESS_CACHE": str(tmp_path / "c")})


def context_of(events: ev.Events, data: SeriesData, out: Path, *script: CaseRun) -> SoakContext:
    guest = FakeGuest(list(script), pace=3.0)
    runner = CaseRunner(data, 4, "6.12.1", lambda: cast(Guest, guest), cast(Guest, guest))
    return SoakContext(runner, Suite(CASES, out / "tests.img", True), out / "run-1", events)


@dataclass
class Bench:
    """All that rounds need, with a clock of which each round takes ``seconds``."""

    settings: Settings
    events: ev.Events
    data: SeriesData
    out: Path
    results: Results = field(default_factory=Results)
    now: float = 0.0

    def tick(self) -> float:
        self.now += 10.0
        return self.now

    @property
    def totals(self) -> TotalsFile:
        return TotalsFile(
            self.out / "soak", Identity("stress", "6.12", "kasan", "k" * 32), "6.12.1"
        )

    def rounds(self, soaker: Soaker, strays: Callable[[], None] = lambda: None) -> Rounds:
        context = context_of(self.events, self.data, self.out)
        return Rounds(
            self.totals.identity, soaker, context, self.settings, self.results, strays, self.tick
        )


@pytest.fixture
def bench(settings: Settings, events: ev.Events, data: SeriesData, tmp_path: Path) -> Bench:
    made = Bench(settings, events, data, tmp_path)
    events.consumers.append(made.results)
    return made


def test_it_goes_on_until_the_time_is_reached_and_not_further(
    bench: Bench, recorder: Recorder
) -> None:
    soaker = Scripted([{"purges": 2}, {"purges": 3}, {"purges": 4}])
    record = bench.rounds(soaker).until(25.0, iter([1, 2, 3]), bench.totals)
    assert (record.rounds, record.figures) == (3, {"purges": 9})
    assert bench.rounds(Scripted([])).until(25.0, iter([]), bench.totals) == record
    said = [e for e in recorder.seen if isinstance(e, ev.StageProgress)]
    assert [e.done for e in said] == [10, 20, 30] and "5 purges" in said[1].note


def test_what_is_interrupted_loses_its_round_and_no_other(bench: Bench) -> None:
    soaker = Scripted([{"purges": 2}, KeyboardInterrupt()])
    with pytest.raises(KeyboardInterrupt):
        bench.rounds(soaker).until(60.0, iter([1, 2]), bench.totals)
    assert bench.totals.read().rounds == 1 and not bench.totals.read().failures
    record = bench.rounds(Scripted([{"purges": 1}])).until(20.0, iter([3]), bench.totals)
    assert record.figures == {"purges": 3} and record.seeds == (1, 3)


def test_a_divergence_ends_it_with_the_seed_and_what_to_type(bench: Bench) -> None:
    soaker = Scripted([{"purges": 2}, DivergenceError("page 7 was lost\nmore")])
    with pytest.raises(SeriesError, match="seed 99: page 7 was lost") as caught:
        bench.rounds(soaker).until(60.0, iter([5, 99]), bench.totals)
    assert caught.value.exit_code == 1
    wanted = "make soak KERNEL=6.12 CONFIG=kasan KIND=stress SEED=99"
    assert str(caught.value.next_step).split("   #")[0] == wanted
    record = bench.totals.read()
    assert (record.rounds, record.failures[0].seed) == (1, 99)
    assert record.failures[0].what == "seed 99: page 7 was lost"


def test_a_complaint_of_the_kernel_ends_it_although_the_round_was_fine(bench: Bench) -> None:
    def strays() -> None:
        bench.events.emit(ev.SplatSeen("KASAN: use-after-free in f", "kasan", None, "trace"))

    with pytest.raises(SeriesError, match="seed 5: the kernel complained: KASAN"):
        bench.rounds(Scripted([{}]), strays).until(60.0, iter([5]), bench.totals)
    assert bench.totals.read().rounds == 0 and len(bench.totals.read().failures) == 1


def test_a_fault_that_is_not_the_series_is_no_failure_of_the_kernel(bench: Bench) -> None:
    with pytest.raises(InvocationError):
        bench.rounds(Scripted([InvocationError("no swap")])).until(60.0, iter([5]), bench.totals)
    assert not bench.totals.read().failures


def test_one_seed_again_and_again_adds_to_no_book(bench: Bench) -> None:
    soaker = Scripted([{"purges": 1}] * 3)
    record = bench.rounds(soaker).until(25.0, repeat(77), None)
    assert soaker.seeds == [77, 77, 77] and record.figures == {"purges": 3}
    assert bench.rounds(Scripted([{}])).until(0.0, repeat(77), None).rounds == 1
    assert not (bench.out / "soak").exists()


def test_guests_are_counted_with_the_round_that_needed_them(bench: Bench) -> None:
    def boot() -> None:
        bench.events.emit(ev.GuestBooted("b", 1.0, "q35, tcg", True))

    boot()
    rounds = bench.rounds(Scripted([{}, {}]), boot)
    assert [rounds.one(1).guests, rounds.one(2).guests] == [2, 1]


def test_a_guest_case_gets_its_seed_and_gives_its_figures(
    events: ev.Events, data: SeriesData, tmp_path: Path
) -> None:
    notes = ("seed 6", "@count purges 17", "@count cycles 100", "a @count b 3")
    context = context_of(events, data, tmp_path, run(said("ok 1 even", *notes)))
    soaker = CaseSoaker(tuple(str(case.id) for case in CASES), {"STEPS": "5"}, patience=4)
    assert soaker.round(context, 6) == {"purges": 17, "cycles": 100}
    guest = cast(FakeGuest, context.guest())
    # 10 s, four times as much to do, on a guest that is three times as slow.
    assert guest.limits == [120.0]
    assert guest.asked[0][-2] == "even" and guest.envs == [{"STEPS": "5", "VTEST_SEED": "6"}]


def test_a_failed_guest_case_diverged(events: ev.Events, data: SeriesData, tmp_path: Path) -> None:
    torn = run(said("not ok 1 odd", "page 3 is torn"), exit_code=1)
    context = context_of(events, data, tmp_path, torn)
    with pytest.raises(DivergenceError, match="page 3 is torn"):
        CaseSoaker(tuple(str(case.id) for case in CASES), {}).round(context, 7)


def test_a_case_that_cannot_run_is_nobodys_divergence(
    events: ev.Events, data: SeriesData, tmp_path: Path
) -> None:
    context = context_of(events, data, tmp_path, run(said("ok 1 odd # SKIP no swap")))
    with pytest.raises(InvocationError, match="no swap"):
        CaseSoaker(tuple(str(case.id) for case in CASES), {}).round(context, 7)
    with pytest.raises(InternalError):
        CaseSoaker(("volatile/none.c::x",), {}).round(context, 7)


def test_a_series_need_not_have_soakers(tmp_path: Path) -> None:
    assert "stress" in load_soakers(PROJECT / "patches" / "volatile")
    assert load_soakers(tmp_path) == {}


def test_a_file_without_the_dictionary_is_a_defect(tmp_path: Path) -> None:
    (tmp_path / "soakers.py").write_text("x = 1\n")
    with pytest.raises(InternalError, match="SOAKERS"):
        load_soakers(tmp_path)


def test_without_a_kind_it_shows_what_there_is(
    bench: Bench, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = from_environment({"OUT": str(bench.out)})
    with pytest.raises(InvocationError, match="nothing"):
        soak(plain)
    bench.rounds(Scripted([{"purges": 2}])).until(5.0, iter([1]), bench.totals)
    assert soak(plain) == 0
    assert "stress" in capsys.readouterr().out
