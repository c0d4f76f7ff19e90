# SPDX-License-Identifier: GPL-2.0-only
"""make mutants from the command line to its last file, with fake guests (fake_guest_run.py).

What finds, compiles and switches mutants is played: which case reaches which, and what it does
on which, is what a guest's behaviour says.
"""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import MachineError
from harness.core.events import Events
from harness.core.store import Store
from harness.mutants import run
from harness.mutants.compiler_verdict import Compiled
from harness.mutants.mutant import Edit, Mutant
from harness.mutants.reach import PARAMETER
from harness.vm.guests import Guests
from tests.run.fake_guest_run import Behaviour, Job, dies, fails, hangs, passes, toy_project, warns
from tests.support.toy import Toy, repository
from tests.vm.fake_guest import FakeQemu

PATH, FUNCTION = "mm/swap.c", "grown"
CASES = ("broad", "narrow", "other")
# Which mutants a case reaches: 5 by none.
REACHED = {"broad": {1, 2, 3, 4, 6}, "narrow": {1, 4}, "other": {2, 3, 4}}


def mutant(number: int, operator: str = "condition-negated") -> Mutant:
    edit = Edit(number, number + 1, "x", "expression")
    text, instead = f"\tif (a{number})", f"\tif (!a{number})"
    return Mutant(number, operator, PATH, number, FUNCTION, 0, (edit,), text, instead)


@dataclass
class Played:
    """The series has mutants 1 to ``count``; ``kills``: mutant -> case -> what it does on it."""

    job: Job
    kills: Mapping[int, Mapping[str, Behaviour]]
    count: int = 6
    compiled: Mapping[int, Compiled] = field(default_factory=dict)
    ran: list[tuple[int, str]] = field(default_factory=list)  # mutant and case, as they began

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def find(*_: object) -> list[Mutant]:
            return [mutant(number) for number in range(1, self.count + 1)]

        def compile_alone(*given: Any) -> dict[int, Compiled]:
            return {
                m.number: self.compiled.get(m.number, Compiled("alive", "", m.key))
                for m in given[2]
            }

        monkeypatch.setattr(run, "scenarios_for", lambda session, line: [])
        monkeypatch.setattr(run, "find_mutants", find)
        monkeypatch.setattr(run, "sample", lambda every, *_, **__: list(every))
        monkeypatch.setattr(run, "compile_alone", compile_alone)
        monkeypatch.setattr(run, "switched_tree", lambda base, applied, alive, store: applied)
        self.job.behaviours = {name: self._behaviour(name) for name in CASES}

    def _behaviour(self, name: str) -> Behaviour:
        def behave(_: str, guest: FakeQemu) -> tuple[str, str]:
            wrote = [line.split()[1] for line in guest.seen if line.startswith("echo ")]
            chosen = int(wrote[-1])
            self.ran.append((chosen, name))
            guest.files[PARAMETER] = f"{sum(1 << number for number in REACHED[name]):x}\n"
            return self.kills.get(chosen, {}).get(name, passes)(name, guest)

        return behave

    def mutants(self, *given: str) -> int:
        return self.job.run("mutants", *given)

    @property
    def told(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.job.out / "latest" / "mutants.json").read_text())
        return found

    def outcomes(self) -> dict[int, tuple[str | None, str | None, str | None]]:
        """number: outcome, what noticed it, the case's name."""
        return {
            m["number"]: (m["outcome"], m["by"], m["case"] and m["case"].split("::")[1])
            for m in self.told["mutants"]
        }


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Toy, Path]:
    root = tmp_path_factory.mktemp("mutants")
    toy = Toy(root, repository(root / "linux"), Store(root / "store", 1 << 30), Events())
    return toy, toy_project(toy, {"first": dict.fromkeys(CASES, 1)})


Play = Callable[..., Played]


@pytest.fixture
def play(
    built: tuple[Toy, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Play]:
    jobs: list[Job] = []

    def make(kills: Mapping[int, Mapping[str, Behaviour]], **given: Any) -> Played:
        job = Job(*built, tmp_path / "out", monkeypatch)
        jobs.append(job)
        played = Played(job, kills, **given)
        played.install(monkeypatch)
        return played

    # What one test has found is no news to the next: each has mutants of its own.
    names = iter(range(1000))
    monkeypatch.setattr(run, "FORM", (tmp_path.name, next(names)))
    yield make
    for job in jobs:
        job.end()


KILLS: Mapping[int, Mapping[str, Behaviour]] = {
    1: {"narrow": fails},
    2: {"other": warns},
    3: {"broad": dies},
    6: {"broad": hangs},
}


def test_each_outcome_is_told_by_what_noticed_it(
    play: Play, capsys: pytest.CaptureFixture[str]
) -> None:
    played = play(KILLS)
    assert played.mutants("JOBS=2") == 1
    assert played.outcomes() == {
        1: ("killed", "check", "narrow"),
        2: ("killed", "complaint", "other"),
        3: ("killed", "lost guest", "broad"),
        4: ("survived", None, None),
        5: ("not reached", None, None),
        6: ("killed", "time limit", "broad"),
    }
    told = played.told
    assert (told["killed"], told["judged"]) == (4, 6)
    survivor = told["mutants"][3]
    assert sorted(name.split("::")[1] for name in survivor["reached_by"]) == sorted(CASES)
    assert sorted(name.split("::")[1] for name in survivor["ran"]) == sorted(CASES)
    assert "WARNING in do_thing" in told["mutants"][1]["reason"]
    # The control and five mutants in guests, the first alone booted.
    assert (played.job.booted, played.job.restored) == (1, 5)
    # A mutant is the series' matter only as far as nothing notices it.
    document = played.job.document
    assert document["splats"] == document["guests_lost"] == document["tests"] == []
    said = capsys.readouterr().out
    assert "score: 4 of 6 noticed, 66.7%" in said
    assert "SURVIVED mm/swap.c:4 grown" in said
    assert "if (a4)" in said and "if (!a4)" in said
    assert "3 cases that reach it and pass:" in said
    assert "next: make mutants" in said and "FUNCTION=grown" in said
    assert "series error: 2 mutants noticed by nothing" in said
    page = (played.job.out / "latest" / "report.html").read_text()
    assert "4 of 6 were noticed" in page and "mm/swap.c:4 grown" in page
    assert "if (!a4)" in page and "if (!a1)" not in page


def test_scenarios_are_tried_on_what_no_case_reaches_as_well(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []

    class Search:
        def __init__(self, *given: object) -> None:
            pass

        def run(self, mutants: Sequence[Mutant]) -> Iterator[Any]:
            tried.extend(mutant.number for mutant in mutants)
            return iter(())

    played = play(KILLS)
    monkeypatch.setattr(run, "scenarios_for", lambda session, line: ["one"])
    monkeypatch.setattr(run, "ScheduleSearch", Search)
    assert played.mutants() == 1
    assert tried == [4, 5]  # one survived, one was reached by none


def test_only_cases_that_reach_a_mutant_run_and_the_first_that_notices_ends_it(play: Play) -> None:
    played = play({1: {"narrow": fails, "broad": fails}}, count=1)
    assert played.mutants("JOBS=1") == 0
    on_mutant = [name for chosen, name in played.ran if chosen == 1]
    assert len(on_mutant) == 1 and on_mutant[0] in ("narrow", "broad")
    assert sorted(name for chosen, name in played.ran if chosen == 0) == sorted(CASES)


def test_a_case_that_noticed_a_neighbour_goes_first(play: Play) -> None:
    played = play({n: {"other": fails} for n in (2, 3)}, count=3)
    played.mutants("JOBS=1")
    assert played.ran[-1] == (3, "other") and (3, "broad") not in played.ran


def test_a_second_run_takes_no_guest_and_says_the_same(play: Play) -> None:
    played = play(KILLS)
    assert played.mutants("JOBS=2") == 1
    first = played.outcomes()
    again = play(KILLS)
    assert again.mutants("JOBS=2") == 1
    assert again.outcomes() == first and again.ran == []
    assert (again.job.booted, again.job.restored) == (0, 0)
    kept = [m["number"] for m in again.told["mutants"] if m["kept"]]
    assert kept == [1, 2, 3, 4, 6]


def test_a_case_that_was_changed_judges_again_what_it_killed_and_what_survived(
    play: Play, built: tuple[Toy, Path]
) -> None:
    assert play(KILLS).mutants("JOBS=1") == 1
    program = built[1] / "guest-tests" / "toy" / "first.py"
    text = program.read_text()
    program.write_text(text + "# changed\n")
    try:
        again = play({}, count=6)
        assert again.mutants("JOBS=1") == 1
        outcomes = {number: outcome for number, (outcome, _, _) in again.outcomes().items()}
        assert outcomes == dict.fromkeys((1, 2, 3, 4, 6), "survived") | {5: "not reached"}
    finally:
        program.write_text(text)


def test_with_the_check_of_one_case_gone_what_it_alone_noticed_survives(
    play: Play, built: tuple[Toy, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    kills: Mapping[int, Mapping[str, Behaviour]] = {
        1: {"narrow": fails},
        2: {"other": fails},
        4: {"narrow": fails, "other": fails},
    }
    before = play(kills, count=4)
    assert before.mutants("JOBS=1") == 1
    assert {n for n, (outcome, _, _) in before.outcomes().items() if outcome != "killed"} == {3}
    capsys.readouterr()
    program = built[1] / "guest-tests" / "toy" / "first.py"
    text = program.read_text()
    program.write_text(text + "# the check of narrow is gone\n")
    try:
        holed = {
            number: {k: v for k, v in by.items() if k != "narrow"} for number, by in kills.items()
        }
        after = play(holed, count=4)
        assert after.mutants("JOBS=1") == 1
        outcomes = {number: outcome for number, (outcome, _, _) in after.outcomes().items()}
        assert outcomes == {1: "survived", 2: "killed", 3: "survived", 4: "killed"}
        assert "SURVIVED mm/swap.c:1 grown" in capsys.readouterr().out
    finally:
        program.write_text(text)


def test_what_the_build_has_noticed_needs_no_guest(play: Play) -> None:
    played = play(
        {},
        count=3,
        compiled={
            1: Compiled("killed by the build", "unused variable", ""),
            2: Compiled("equivalent", "", ""),
            3: Compiled("invalid", "expected ;", ""),
        },
    )
    assert played.mutants() == 0
    assert played.outcomes() == {
        1: ("killed by the build", "build", None),
        2: ("equivalent", None, None),
        3: ("invalid", None, None),
    }
    assert played.job.booted == 0
    assert (played.told["killed"], played.told["judged"]) == (1, 1)


def test_a_mutant_that_strikes_the_shell_itself_is_killed_and_one_that_is_none_a_defect(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on 6.1: with a page never mapped, the shell that wrote the number died of SIGSEGV."""
    real, said = FakeQemu._command, ""

    def strikes(self: FakeQemu, command: str, channel: Any) -> int | None:
        if not command.startswith("echo 1 "):
            return real(self, command, channel)
        channel.sendall_stderr(said.encode())
        return 139

    monkeypatch.setattr(FakeQemu, "_command", strikes)
    played = play({2: {"other": fails}}, count=2)
    assert played.mutants("JOBS=1") == 0
    assert played.outcomes()[1] == ("killed", "lost guest", None)
    assert "a shell ended with 139" in played.told["mutants"][0]["reason"]
    again = play({}, count=2)
    assert again.mutants("JOBS=1") == 0 and again.ran == []
    monkeypatch.setattr(run, "FORM", "another")
    said = "write error: Numerical result out of range"
    assert play({2: {"other": fails}}, count=2).mutants("JOBS=1") == 70


def test_an_argument_takes_a_mutant_away_and_one_that_is_outlived_is_told(
    play: Play, built: tuple[Toy, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    table = built[1] / "mutants.yaml"
    entry = (
        "  - {{operator: condition-negated, file: mm/swap.c, function: grown,"
        " line: 'if (a{})', why: it is so}}\n"
    )
    table.write_text("argued:\n" + entry.format(4) + entry.format(99))
    try:
        played = play({}, count=4)
        assert played.mutants("JOBS=1") == 1
        assert played.outcomes()[4] == ("argued", None, None)
        assert played.told["mutants"][3]["reason"] == "it is so"
        assert not any(chosen == 4 for chosen, _ in played.ran)
        assert "no mutant is like this any more: mm/swap.c grown" in capsys.readouterr().out
    finally:
        table.unlink()


def test_a_case_that_fails_without_a_mutant_judges_none(
    play: Play, capsys: pytest.CaptureFixture[str]
) -> None:
    played = play({0: {"broad": fails}, 1: {"broad": fails}}, count=1)
    assert played.mutants("JOBS=1") == 1
    assert played.outcomes()[1] == ("survived", None, None)
    assert "not used toy/first.py::broad: without a mutant: fail: wanted" in capsys.readouterr().out


def test_what_befalls_the_machine_costs_one_mutant(
    play: Play, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real, calls = Guests.fresh, iter(range(100))

    def fresh(self: Guests) -> Any:
        if next(calls) == 0:
            raise MachineError("QEMU did not start: no memory")
        return real(self)

    monkeypatch.setattr(Guests, "fresh", fresh)
    played = play({1: {"narrow": fails}, 2: {"other": fails}}, count=2)
    assert played.mutants("JOBS=1") == MachineError.exit_code
    outcomes = played.outcomes()
    assert outcomes[1][0] == "lost" and outcomes[2][0] == "killed"
    said = capsys.readouterr().out
    assert "LOST mm/swap.c:1 grown: QEMU did not start: no memory" in said
    assert "next: make mutants" in said
    # It was no verdict: the next run judges that one alone.
    again = play({1: {"narrow": fails}, 2: {"other": fails}}, count=2)
    assert again.mutants("JOBS=1") == 0
    assert {chosen for chosen, _ in again.ran} == {1}


def test_an_interrupted_run_tells_and_keeps_what_it_knew(
    play: Play, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(name: str, guest: FakeQemu) -> tuple[str, str]:
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, signal.SIGINT)
        guest.hang()

    both = {"broad": fails, "narrow": fails}
    played = play({1: both, 2: dict.fromkeys(("broad", "other"), interrupted)}, count=3)
    # A shell's background job has Ctrl-C switched off, and so has a CI's.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert played.mutants("JOBS=1") == 130
    finally:
        signal.signal(signal.SIGINT, before)
    for guest in played.job._guests:
        guest.over.set()
    outcomes = played.outcomes()
    assert outcomes[1][0] == "killed" and outcomes[2][0] is outcomes[3][0] is None
    assert "1 of 3 chosen mutants" in capsys.readouterr().out
    again = play(
        {2: {"broad": fails, "other": fails}, 3: {"broad": fails, "other": fails}}, count=3
    )
    assert again.mutants("JOBS=1") == 0
    assert {chosen for chosen, _ in again.ran} == {2, 3}


@pytest.mark.parametrize("given", ["FUNCTION=none", "PATCH=7"])
def test_nothing_to_mutate_is_the_invocations_fault(play: Play, given: str) -> None:
    assert play({}, count=1).mutants(given) == 2


def test_only_what_was_asked_for(play: Play) -> None:
    played = play({1: {"narrow": fails, "broad": fails}}, count=1)
    assert played.mutants("FUNCTION=grown", "PATCH=1", "JOBS=1") == 0
    assert played.mutants("PATCHES=0") == 2
