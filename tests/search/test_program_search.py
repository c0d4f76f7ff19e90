# SPDX-License-Identifier: GPL-2.0-only
"""The search loop, on a guest that is played: two threads, a lock, and a window between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.errors import InvocationError
from harness.debugger.gdb_remote import StubError
from harness.debugger.stopped_guest import RawFrame, Stack
from harness.debugger.symbols import Frame
from harness.races.breakpoints import Breakpoint
from harness.races.scenario import Point, Scenario, parse_place
from harness.races.trace import CpuSnapshot, Ending, RaceError, RaceRun, RaceStep
from harness.search import prober
from harness.search.points import SearchPoint
from harness.search.program_search import ProgramSearch
from harness.vm.splats import Splat
from tests.races.fake_machine import scenario

# What the two threads do, in order. Between its look and its write A believes what it saw.
DOES = {"A": ["a_first", "a_look", "a_write"], "B": ["b_first", "b_change", "b_flush"]}
LINES = {name: n for n, name in enumerate([*DOES["A"], *DOES["B"]], 1)}


@dataclass
class PlayedProgram:
    """In the place of a DrivenProgram: a run is what ``Play`` says of its order."""

    play: Play
    driver: Any = None
    runs: int = 0
    ended: str = ""

    def start(self) -> None:
        self.driver = self

    def explore(self, number: int, points: Sequence[Point], _: object) -> RaceRun:
        self.runs += 1
        assert self.ended == "" and number == self.runs
        return self.play.run(number, points)

    @property
    def guest(self) -> Any:
        return SimpleNamespace(splats=lambda: tuple(self.play.said))

    def finish(self) -> None:
        self.ended = "finished"

    def give_up(self) -> None:
        self.ended = "given up"


@dataclass
class Play:
    """``locked``: A holds a lock from its look to its write that B's change needs. ``flushes``:
    B's flush waits for A's CPU. ``fails``: a run whose program's own check fails. ``lucky``: one
    that strikes by chance.
    """

    locked: bool = False
    flushes: bool = False
    fails: int = 0
    lucky: int = 0
    said: list[Splat] = field(default_factory=list)
    tried: list[list[str]] = field(default_factory=list)
    made: list[PlayedProgram] = field(default_factory=list)

    def program(self, *_: object) -> PlayedProgram:
        self.made.append(PlayedProgram(self))
        return self.made[-1]

    def run(self, number: int, points: Sequence[Point]) -> RaceRun:
        self.tried.append([f"{p.thread}: {p.place}" for p in points])
        if len(self.tried) == self.fails:
            raise RaceError("the guest program has ended in the middle of a run: x failed")
        if len(self.tried) == self.fails + 1 and self.fails:
            raise StubError("the stub is gone")
        did: list[str] = []
        at = {"A": 0, "B": 0}

        def go(thread: str, until: str | None) -> tuple[Ending, str] | None:
            while at[thread] < len(DOES[thread]):
                step = DOES[thread][at[thread]]
                if step == until:
                    return None
                in_a = at["A"] == DOES["A"].index("a_write")
                if thread == "B" and step == "b_change" and self.locked and in_a:
                    return "excluded", step
                if thread == "B" and step == "b_flush" and self.flushes and 0 < at["A"] < 3:
                    return "waits", step
                did.append(step)
                at[thread] += 1
            return None if until is None else ("unreached", "")

        for point in points:
            stopped = go(point.thread, point.place.function or None)
            if stopped is not None:
                return self._stopped(number, point.thread, *stopped)
        go("A", None)
        go("B", None)
        struck = did.index("a_look") < did.index("b_change") < did.index("a_write")
        struck = struck or len(self.tried) == self.lucky
        return RaceRun(number, "hit" if struck else "miss")

    @staticmethod
    def _stopped(number: int, thread: str, ending: Ending, step: str) -> RaceRun:
        stack = Stack((RawFrame(LINES.get(step, 0), call=False),))
        steps = (RaceStep(0.0, "", (CpuSnapshot(2, thread, None, stack),)),)
        return RaceRun(number, ending, f"{thread} waits for it, in {step}()", steps)


def frames(address: int) -> tuple[Frame, ...]:
    """The function whose 'address' is the number of its line."""
    names = [name for name, line in LINES.items() if line == address]
    return tuple(Frame(name, "mm/x.c", address) for name in names)


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Iterator[Play]:
    play = Play()
    monkeypatch.setattr(prober, "DrivenProgram", play.program)
    yield play


def search(play: Play, seed: int = 1, budget_s: float = 60.0) -> ProgramSearch:
    of: Scenario = scenario(["A: ends"])
    on: Any = SimpleNamespace(
        symbols=SimpleNamespace(frames=frames), breakpoints=lambda chosen: chosen.points
    )
    code: Any = None
    made = ProgramSearch(on, of, code, 5, seed)
    for thread, names in DOES.items():
        made.reached[thread] = [
            # A function begins in another line than that in which it waits.
            SearchPoint(
                parse_place(f"{n}()"), Breakpoint((LINES[n],), "mm/x.c", 99), "lock", "asked"
            )
            for n in names
        ]
    made.search(budget_s, lambda tries: None)
    return made


def places(made: ProgramSearch) -> list[str]:
    assert made.found is not None
    return [f"{p.thread}: {p.place}" for p in made.found.points]


@pytest.mark.parametrize("seed", range(5))
def test_the_window_is_found(played: Play, seed: int) -> None:
    made = search(played, seed)
    assert made.found is not None and (made.found.hits, made.found.runs) == (5, 5)
    assert places(made) == ["A: a_write()", "B: ends"]
    assert made.found.tries <= 7 and played.tried[0] == [], "the program alone comes first"


def test_behind_a_lock_nothing_is_found_and_all_is_tried(played: Play) -> None:
    played.locked = True
    made = search(played)
    assert made.found is None and made.endings["hit"] == 0 and made.endings["excluded"] > 0
    assert made.skipped > 0 and made.answer == f"nothing in {made.tries} tries"


def test_who_waits_for_the_held_cpu_is_held_earlier(played: Play) -> None:
    """B flushes, and the CPU of A, which is held, does not answer: B is held before that."""
    played.flushes = True
    made = search(played)
    assert places(made) == ["A: a_write()", "B: b_flush()", "A: ends"]


def test_what_strikes_once_and_not_again_is_no_find(played: Play) -> None:
    played.locked, played.lucky = True, 1
    made = search(played)
    assert made.found is None and made.endings["hit"] == 1
    assert made.once == [()], "the program alone, which nobody held"


def test_a_check_that_fails_costs_a_guest_and_is_no_find(played: Play) -> None:
    played.locked, played.fails = True, 3
    made = search(played)
    assert made.found is None and made.endings["error"] == 2
    assert sorted(made.errors) == [
        "the guest program has ended in the middle of a run: x failed", "the stub is gone",
    ]  # fmt: skip
    assert [one.ended for one in played.made[:2]] == ["given up", "given up"]


def test_a_complaint_of_the_kernel_is_a_find_and_a_stall_is_none(played: Play) -> None:
    played.locked = True
    played.said.append(Splat("rcu: stall", "rcu_stall", "", None, 0, 0, spoils=True))
    assert search(played).found is None
    played.said.append(Splat("KASAN: use-after-free", "kasan", "", None, 0, 0, spoils=True))
    made = search(played)
    assert made.found is not None and made.found.seen == "KASAN: use-after-free"


def test_when_the_time_is_up_it_ends(played: Play) -> None:
    made = search(played, budget_s=0.0)
    assert made.tries == 0 and made.answer == "not tried: no thread comes there"


def test_a_program_is_started_anew_after_so_many_runs(
    played: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    played.locked = True
    monkeypatch.setattr(prober, "PROGRAM_RUNS", 4)
    search(played)
    assert [one.ended for one in played.made[:-1]] == ["finished"] * (len(played.made) - 1)
    assert all(one.runs == 4 for one in played.made[:-1]) and len(played.made) > 2


def test_a_point_that_is_nowhere_is_an_error_of_the_invocation(played: Play) -> None:
    def nowhere(chosen: Scenario) -> None:
        raise InvocationError(f"{chosen.name}: nowhere")

    on: Any = SimpleNamespace(breakpoints=nowhere)
    with pytest.raises(InvocationError, match="nowhere"):
        prober.Prober(on, scenario(["A: ends"])).attempt(())
