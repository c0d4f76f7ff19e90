# SPDX-License-Identifier: GPL-2.0-only
"""A soak goes on where the last one ended, and ends at the first thing that is wrong."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import repeat
from pathlib import Path
from typing import cast

import pytest
from rich.console import Console

from harness.cases.runner import CaseRunner
from harness.commands.soak import (
    Identity,
    Soak,
    SoakKind,
    SoakRun,
    figures_in_words,
    load_kinds,
    read_runs,
    soak,
    table,
)
from harness.core import events as ev
from harness.core.errors import InternalError, InvocationError, SeriesError
from harness.core.settings import PROJECT, Settings, from_environment
from harness.core.store import Store
from harness.report.results import Results
from harness.run.session import KnownSeries, Session
from harness.series.contract import SeriesData
from harness.vm.guest import CaseRun, Guest
from tests.cases.test_runner import FakeGuest, case, run, said
from tests.support.recorder import Recorder

CASES = tuple(case(name, timeout=10.0) for name in ("even", "odd"))
KIND = SoakKind(tuple(str(case.id) for case in CASES), {"STEPS": "5"}, patience=4)
IDENTITY = Identity("stress", "6.12", "kasan", "k" * 32)


def counted(name: str, purges: int) -> CaseRun:
    return run(said(f"ok 1 {name}", f"@count purges {purges}", "a @count b 3"))


@dataclass
class Bench:
    """All that soaks need, with a clock of which each round takes 10 seconds."""

    settings: Settings
    events: ev.Events
    data: SeriesData
    results: Results = field(default_factory=Results)
    now: float = 0.0
    guest: FakeGuest = field(default_factory=lambda: FakeGuest([]))

    def tick(self) -> float:
        self.now += 10.0
        return self.now

    def soak(
        self,
        name: str,
        *script: CaseRun,
        kept: bool = True,
        strays: Callable[[], None] = lambda: None,
        kind: SoakKind = KIND,
        identity: Identity = IDENTITY,
    ) -> Soak:
        out = self.settings.out / name
        out.mkdir(parents=True, exist_ok=True)
        self.guest = FakeGuest(list(script), pace=3.0)
        guest = cast(Guest, self.guest)
        runner = CaseRunner(self.data, 4, "6.12.1", lambda: guest, guest)
        store, console = Store(self.settings.cache, 1 << 30), Console(quiet=True)
        known = KnownSeries(self.data)
        session = Session(self.settings, self.events, self.results, store, known, out, console)
        made = SoakRun(identity, "6.12.1", 2)
        return Soak(session, kind, runner, CASES, strays, made, kept, self.tick)

    def kept(self) -> list[SoakRun]:
        return read_runs(self.settings.out)


@pytest.fixture
def bench(events: ev.Events, data: SeriesData, tmp_path: Path) -> Bench:
    given = {"KIND": "stress", "KERNEL": "6.12", "CONFIG": "kasan", "OUT": str(tmp_path / "out")}
    settings = from_environment({**given, "HARNESS_CACHE": str(tmp_path / "c")})
    made = Bench(settings, events, data)
    events.consumers.append(made.results)
    return made


def test_it_goes_on_until_the_time_is_reached_and_not_further(
    bench: Bench, recorder: Recorder
) -> None:
    bench.soak("1", counted("even", 2), counted("odd", 3)).until(15.0, iter([2, 1]))
    later = bench.soak("2", counted("even", 4))
    later.until(25.0, iter([4]))
    assert [(run.rounds, run.figures, run.seeds) for run in bench.kept()] == [
        (2, {"purges": 5}, [2, 1]),
        (1, {"purges": 4}, [4]),
    ]
    bench.soak("3").until(25.0, iter([]))
    assert len(bench.kept()) == 2
    seen = [e for e in recorder.seen if isinstance(e, ev.StageProgress)]
    assert [e.done for e in seen] == [10, 20, 30] and "9 purges" in seen[2].note


def test_what_is_interrupted_loses_its_round_and_no_other(bench: Bench) -> None:
    def seeds() -> Iterator[int]:
        yield 2
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.soak("1", counted("even", 2)).until(60.0, seeds())
    (run,) = bench.kept()
    assert run.rounds == 1 and run.failure is None


def test_a_kill_while_it_writes_leaves_what_was_there(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = bench.soak("1", counted("even", 2))
    made.until(5.0, iter([2]))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.core.atomic.os.replace", killed)
    made.run.rounds = 7
    with pytest.raises(KeyboardInterrupt):
        made.keep()
    assert [run.rounds for run in bench.kept()] == [1]


def test_a_failed_case_ends_it_with_the_seed_and_what_to_type(bench: Bench) -> None:
    torn = run(said("not ok 1 odd", "p.c:7: page 7 was lost", "more"), exit_code=1)
    with pytest.raises(SeriesError, match=r"seed 99: .*page 7 was lost") as caught:
        bench.soak("1", counted("even", 2), torn).until(60.0, iter([6, 99]))
    assert caught.value.exit_code == 1
    wanted = "make soak KERNEL=6.12 CONFIG=kasan KIND=stress SEED=99"
    assert str(caught.value.next_step).split("   #")[0] == wanted
    (record,) = bench.kept()
    assert record.rounds == 1 and record.failure is not None
    assert record.failure.startswith("seed 99: ") and "\n" not in record.failure


def test_a_complaint_of_the_kernel_ends_it_although_the_round_was_fine(bench: Bench) -> None:
    def strays() -> None:
        bench.events.emit(ev.SplatSeen("KASAN: use-after-free in f", "kasan", None, "trace"))

    with pytest.raises(SeriesError, match="seed 5: the kernel complained: KASAN"):
        bench.soak("1", counted("odd", 1), strays=strays).until(60.0, iter([5]))
    (record,) = bench.kept()
    assert record.rounds == 0 and record.failure is not None


def test_a_case_that_cannot_run_is_nobodys_failure(bench: Bench) -> None:
    with pytest.raises(InvocationError, match="no swap"):
        bench.soak("1", run(said("ok 1 odd # SKIP no swap"))).until(60.0, iter([7]))
    none = SoakKind(("volatile/none.c::x",))
    with pytest.raises(InternalError, match=r"none\.c::x"):
        bench.soak("1", kind=none).until(60.0, iter([7]))
    assert not bench.kept()


def test_one_seed_again_and_again_counts_nowhere(bench: Bench) -> None:
    again = bench.soak("1", *[counted("odd", 1)] * 3, kept=False)
    again.until(25.0, repeat(77))
    assert again.run.seeds == [77, 77, 77] and again.run.figures == {"purges": 3}
    once = bench.soak("2", counted("odd", 1), kept=False)
    once.until(0.0, repeat(77))
    assert once.run.rounds == 1 and not bench.kept()


def test_guests_are_counted(bench: Bench) -> None:
    def boot() -> None:
        bench.events.emit(ev.GuestBooted("b", 1.0, "q35, tcg", True))

    boot()
    bench.soak("1", counted("even", 1), strays=boot).until(5.0, iter([2]))
    assert bench.kept()[0].guests == 2


def test_a_case_gets_its_seed_and_more_time(bench: Bench) -> None:
    bench.soak("1", counted("even", 17)).until(5.0, iter([6]))
    # 10 s, four times as much to do, on a guest that is three times as slow.
    assert bench.guest.limits == [120.0]
    assert bench.guest.asked[0][-2] == "even"
    assert bench.guest.envs == [{"STEPS": "5", "VTEST_SEED": "6"}]


def test_another_kernel_starts_anew(bench: Bench) -> None:
    bench.soak("1", counted("even", 1)).until(5.0, iter([2]))
    other = replace(IDENTITY, kernel="l" * 32)
    bench.soak("2", counted("even", 4), identity=other).until(5.0, iter([2]))
    text = io.StringIO()
    Console(file=text, width=200).print(table(bench.kept()))
    shown = text.getvalue()
    assert "4 purges" in shown and "1 purges" not in shown and len(shown.splitlines()) == 4


def test_the_table_adds_runs_up_and_shows_failures() -> None:
    one = SoakRun(IDENTITY, "6.12.1", 2, 30.0, 1, 1, 0, {"nonvolatile_0": 1000})
    two = SoakRun(IDENTITY, "6.12.1", 4, 30.0, 2, 1, 1, {"nonvolatile_0": 234, "steps": 5})
    two.failure = "seed 7: a page was lost"
    assert figures_in_words([one, two]) == "1,234 nonvolatile 0, 5 steps"
    text = io.StringIO()
    Console(file=text, width=100).print(table([one, two]))
    *_, row, empty, figures, failure = text.getvalue().splitlines()
    assert row.split()[2:10] == ["kasan", "1.0", "2:", "0.5,", "4:", "0.5", "3", "2"]
    assert not empty and "1,234 nonvolatile 0" in figures and "seed 7: a page was lost" in failure
    assert "\N{HORIZONTAL ELLIPSIS}" not in text.getvalue()


def test_a_series_need_not_have_kinds(tmp_path: Path) -> None:
    assert "stress" in load_kinds(PROJECT / "patches" / "volatile")
    assert load_kinds(tmp_path) == {}
    (tmp_path / "soak.yaml").write_text("stress: {case: [a]}\n")
    with pytest.raises(InvocationError, match="stress: cases is missing"):
        load_kinds(tmp_path)


def test_without_a_kind_it_shows_what_there_is(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = from_environment({"OUT": str(bench.settings.out)})
    with pytest.raises(InvocationError, match="no soak"):
        soak(plain)
    bench.soak("1", counted("even", 2)).until(5.0, iter([2]))
    assert soak(plain) == 0
    assert "stress" in capsys.readouterr().out
