# SPDX-License-Identifier: GPL-2.0-only
"""Survivors in race scenarios: which strike counts, and what is found out once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.events import Event, Events
from harness.mutants import schedule
from harness.mutants.mutant import Mutant
from harness.mutants.schedule import RUNS, ScheduleSearch, scenarios_for, struck_by
from harness.races.batch import Batch
from harness.races.scenario import Scenario
from harness.races.trace import Ending, RaceError, RaceRun
from harness.vm.splats import Splat
from tests.mutants.test_report import ONE
from tests.races.test_batch_run import splatting

SPLAT = Splat("WARNING in f", "warning", "text", 1, 0, 0)


def batch(ending: Ending, error: str | None = None) -> Batch:
    runs = [RaceRun(number, ending) for number in range(1, RUNS + 1)]
    return Batch(runs, error=RaceError(error) if error else None)


@dataclass
class Guest:
    """Its kernel has a mutant on; ``spoiled``: by one that was on before."""

    number: int = 0
    spoiled: bool = False


@dataclass
class Played:
    """``strikes``: scenario -> the mutants that it strikes on; ``passes``: those that it passes."""

    strikes: Mapping[str, set[int]]
    passes: Mapping[str, set[int]]
    spoils: set[int] = field(default_factory=set)  # what runs behind them in a guest strikes, too
    ran: list[tuple[str, int]] = field(default_factory=list)
    traced: int = 0
    _guest: Guest = field(default_factory=Guest)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(schedule, "race_context", lambda *given: None)
        monkeypatch.setattr(schedule, "kernel_guests", self._guests)
        monkeypatch.setattr(schedule, "run_batch", self._run)
        monkeypatch.setattr(schedule, "choose", lambda guest, n: setattr(guest, "number", n))
        monkeypatch.setattr(schedule, "reached", self._reached)

    @contextlib.contextmanager
    def _guests(self, *_: object) -> Iterator[Any]:
        def renew() -> None:
            self._guest = Guest()
            on.ready(self._guest)

        on = SimpleNamespace(guest=lambda: self._guest, ready=lambda guest: None, renew=renew)
        on.breakpoints = lambda scenario: ()
        yield on

    def _run(self, on: Any, scenario: Scenario, breakpoints: object, runs: int) -> Batch:
        number = self._guest.number
        self.ran.append((scenario.name, number))
        struck = number in self.strikes[scenario.name] or self._guest.spoiled
        self._guest.spoiled |= number in self.spoils
        return batch("hit" if struck else "miss")

    def _reached(self, guest: Guest) -> frozenset[int]:
        return frozenset(self.passes[self.ran[-1][0]])


def found(
    played: Played, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, numbers: set[int]
) -> dict[int, str]:
    """The mutants that need a schedule, and by which scenario."""
    played.install(monkeypatch)
    scenarios = [
        replace(splatting(), name=name, splat=None, source=Path(__file__), hit=f"{name} hits")
        for name in played.strikes
    ]
    events: list[Event] = []
    session: Any = SimpleNamespace(events=Events([events.append]), data=SimpleNamespace(chain=()))
    prepared: Any = SimpleNamespace(kernel=SimpleNamespace(entry=Path("kernel")))

    def traced() -> Any:
        played.traced += 1

    codes = {number: f"code{number}" for number in numbers}
    search = ScheduleSearch(session, scenarios, prepared, traced, codes, tmp_path)
    mutants: list[Mutant] = [replace(ONE, number=number) for number in sorted(numbers)]
    return {m.number: f"{s.name}: {said}" for m, s, said in search.run(mutants)}


def test_a_scenario_that_passes_the_place_and_strikes_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played = Played({"one": {2}, "two": {2, 3}}, {"one": {1, 2}, "two": {2}})
    assert found(played, tmp_path, monkeypatch, {1, 2, 3}) == {2: "one: one hits (3 of 3 runs)"}
    # The control of both; 1 in the one that passes it; 2 twice, the second time in a new guest;
    # 3 is passed by none, whatever it would do.
    assert played.ran == [("one", 0), ("two", 0), ("one", 1), ("one", 2), ("one", 2)]


def test_what_is_known_takes_no_kernel_and_no_guest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = found(Played({"one": {2}}, {"one": {1, 2}}), tmp_path, monkeypatch, {1, 2})
    again = Played({"one": set()}, {"one": set()})
    assert found(again, tmp_path, monkeypatch, {1, 2}) == said
    assert again.ran == [] and again.traced == 0
    # One more survivor is tried alone, and needs no control.
    more = Played({"one": {3}}, {"one": set()})
    assert found(more, tmp_path, monkeypatch, {1, 2, 3}) == said
    assert more.traced == 0


def test_a_scenario_that_strikes_without_a_mistake_judges_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played = Played({"one": {0, 1}}, {"one": {1}})
    assert found(played, tmp_path, monkeypatch, {1}) == {}
    assert played.ran == [("one", 0)]


def test_what_another_mutant_has_spoiled_is_not_this_ones_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played = Played({"one": set()}, {"one": {1, 2}}, spoils={1})
    assert found(played, tmp_path, monkeypatch, {1, 2}) == {}
    assert played.ran == [("one", 0), ("one", 1), ("one", 2), ("one", 2)]


def test_an_order_that_cannot_be_held_is_no_strike_and_a_complaint_is_one() -> None:
    scenario = replace(splatting(), splat=None)
    assert struck_by(scenario, batch("miss", "point 2 is not reached")) is None
    assert struck_by(scenario, Batch(error=RaceError("no guest"))) is None
    assert struck_by(scenario, batch("excluded")) is None
    assert struck_by(scenario, replace(batch("miss"), splats=[SPLAT])) == "WARNING in f"
    assert struck_by(scenario, replace(batch("miss", "held"), splats=[SPLAT])) is None


@pytest.mark.parametrize(
    ("config", "more"), [("default", set()), ("kasan", {"merge-use-after-free"})]
)
def test_only_scenarios_of_this_flavour_are_tried(config: str, more: set[str]) -> None:
    session: Any = SimpleNamespace(
        data=SimpleNamespace(name="volatile"), settings=SimpleNamespace(config=config)
    )
    names = {scenario.name for scenario in scenarios_for(session, "6.1")}
    assert {"stale-tlb", "mlock-vs-purge"} <= names
    assert more <= names and ("merge-use-after-free" in names) == bool(more)
