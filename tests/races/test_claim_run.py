# SPDX-License-Identifier: GPL-2.0-only
"""A claim's program, its answer and its files: nothing is refuted that was not reached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core import events as ev
from harness.core.errors import InvocationError
from harness.core.settings import from_environment
from harness.debugger.stopped_guest import RawFrame, Stack
from harness.debugger.symbols import Symbols
from harness.races import claim_run
from harness.races.batch import Batch
from harness.races.claim_run import candidates, choose_program, try_orders, user_program, wanting
from harness.races.claim_verdict import (
    ChosenProgram,
    ClaimResult,
    TriedOrder,
    document,
    stacks,
)
from harness.races.claimed_points import REVERSE, Order, Resolved, orders, resolve
from harness.races.claims import Claim, Row, parse_claim, read_claim
from harness.races.scenario import RACES, parse
from harness.races.scenario_file import write_scenario
from harness.races.trace import CpuSnapshot, Ending, RaceError, RaceRun, RaceStep
from harness.vm.splats import Splat

CLAIMS = Path(__file__).with_name("data") / "claims"
SIGBUS = RACES / "sigbus-fault.c"
CLAIM = parse_claim("CPU0              CPU1\nouter()\n                  sink()\n")
NO_ROWS = Resolved((), (), ())
PROGRAM = parse(SIGBUS.read_text(), SIGBUS, "6.1")
assert PROGRAM is not None
CHOSEN = ChosenProgram(PROGRAM, {"CPU0": "A", "CPU1": "B"}, (), "why")
WAITS = "B waits for a mutex, in f(), mm/f.c:3: mutex_lock(&m)"


def batch(*endings: Ending, error: str | None = None, splats: Sequence[str] = ()) -> Batch:
    step = RaceStep(0.0, WAITS, ())
    runs = [RaceRun(n, e, "said", (step,)) for n, e in enumerate(endings, 1)]
    told = [Splat(title, "kasan", "text", 1, 0, 0) for title in splats]
    return Batch(runs, 1.0, RaceError(error) if error else None, told)


def result(tried: dict[str, Batch], resolved: Resolved = NO_ROWS) -> ClaimResult:
    names = {"first": "as claimed", "early": "as claimed, held early", "reverse": REVERSE}
    made = [TriedOrder(Order(names[key], ()), done) for key, done in tried.items()]
    return ClaimResult("toy", CLAIM, 3, resolved, CHOSEN, made)


HIT, MISS = batch("hit", "hit", "hit"), batch("miss", "miss", "miss")
LOCK = batch("excluded", "excluded", "excluded")
NEVER = batch(error="thread A never reached 'outer()'")
LOST = Resolved((), ((Row("CPU0", "ouster()", "ouster"), "no function ouster()"),), ())


@pytest.mark.parametrize(
    ("tried", "answer", "said", "status"),
    [
        ({"first": HIT}, "strikes", "3 of 3 (44% to 100%) runs, as claimed: SIGBUS", "fail"),
        ({"first": MISS, "reverse": HIT}, "strikes", f"runs, {REVERSE}: ", "fail"),
        ({"first": LOCK, "early": HIT}, "strikes", "held early", "fail"),
        ({"first": batch("miss", splats=["KASAN: x"])}, "strikes", "KASAN: x", "fail"),
        ({"first": LOCK, "reverse": MISS}, "cannot be", WAITS, "pass"),
        ({"first": LOCK, "early": MISS}, "cannot be", "3 of 3", "pass"),
        ({"first": MISS, "reverse": NEVER}, "harmless as tried", "reached 3 times of 3", "pass"),
        ({"first": batch("miss", "excluded")}, "harmless as tried", "1 times a lock", "pass"),
        (
            {"first": NEVER, "early": MISS},
            "harmless as tried",
            "bad outcomes: 0 of 3 (0% to",
            "pass",
        ),
        ({"first": NEVER, "reverse": MISS}, "not reached", "never reached 'outer()'", "skip"),
        ({"first": batch("miss", error="it deadlocks")}, "not reached", "it deadlocks", "skip"),
    ],
)
def test_the_answer(tried: dict[str, Batch], answer: str, said: str, status: str) -> None:
    made = result(tried)
    assert made.answer[0] == answer and said in made.answer[1]
    record = made.record(2.0)
    assert (str(record.id), record.status, record.clauses) == ("races::toy", status, ())
    assert (status == "pass") == (record.reason == "")


@pytest.mark.parametrize(("done", "answer"), [(MISS, "not reached"), (HIT, "strikes")])
def test_with_a_row_left_out_a_claim_can_strike_and_not_be_refuted(
    done: Batch, answer: str
) -> None:
    made = result({"first": done}, LOST)
    assert made.answer[0] == answer
    assert answer == "strikes" or "'CPU0: ouster()': no function ouster()" in made.answer[1]


def test_a_splat_of_a_run_that_went_wrong_is_no_strike() -> None:
    held = batch("miss", error="it waits", splats=["INFO: rcu stall"])
    assert result({"first": held}).answer[0] == "not reached"


def test_the_record_has_all_that_was_tried() -> None:
    found = document(result({"first": MISS, "reverse": HIT}, LOST))
    assert found["answer"] == "strikes" and found["program"]["name"] == "sigbus-fault"
    assert [(o["order"], o["hit"], o["miss"]) for o in found["orders"]] == [
        ("as claimed", 0, 3), (REVERSE, 3, 0),
    ]  # fmt: skip
    assert found["orders"][0]["interval"][0] == 0.0 and 0.5 < found["orders"][0]["interval"][1] < 1
    assert found["lost"] == [{"row": "CPU0: ouster()", "why": "no function ouster()"}]


def test_both_stacks_are_shown_where_a_lock_is_in_the_way(toy: Symbols) -> None:
    held = Stack((RawFrame(toy.addresses("sink")[0], False),))
    cpus = (CpuSnapshot(1, "A", "outer()", held), CpuSnapshot(2, "B", None, Stack(user=True)))
    run = RaceRun(1, "excluded", steps=(RaceStep(0.0, WAITS, cpus),))
    assert stacks(Batch([run]), toy) == [
        "A is held at outer(): sink", "B waits: in user space",
    ]  # fmt: skip
    assert stacks(MISS, toy) == []


def test_the_scenario_is_one_that_can_be_read(toy: Symbols, tmp_path: Path) -> None:
    assert PROGRAM is not None
    claim = parse_claim("CPU0              CPU1\nouter()\n  inner()\n                  sink()\n")
    order = orders(resolve(claim, toy).found)[0]
    points = [replace(p, thread=CHOSEN.threads[p.thread]) for p in order.points]
    path = write_scenario(tmp_path, "told", claim.title, PROGRAM, points, PROGRAM.variant)
    text = path.read_text()
    found = parse(text, Path("told.c"), "6.1")
    assert found is not None and found.variant == PROGRAM.variant
    assert [f"{p.thread}: {p.place}" for p in found.points] == [
        "A: outer()", "A: inner()", "B: sink()", "B: ends",
    ]  # fmt: skip
    assert found.threads == PROGRAM.threads
    # The program below the comment is the same.
    assert text.endswith(SIGBUS.read_text().split(" */\n", 1)[1])


# ---- whose threads play it -----------------------------------------------------------------


def session(**given: str) -> Any:
    return SimpleNamespace(
        settings=from_environment(given), data=SimpleNamespace(name="volatile"),
        events=ev.Events([]),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("claim", "program"),
    [("fault-and-dontneed", "sigbus-fault"), ("excluded-by-position", "readdir-shared-position")],
)
def test_the_programs_whose_scenarios_name_the_functions_come_first(
    claim: str, program: str
) -> None:
    found = candidates(session(), read_claim(CLAIMS / f"{claim}.txt"), "6.1")
    assert found[0].name == program and len(found) > 5
    assert all(scenario.controlled for scenario in found)


def test_race_and_program_narrow_the_choice(tmp_path: Path) -> None:
    found = candidates(session(RACE="fork-vote"), CLAIM, "6.1")
    assert [scenario.name for scenario in found] == ["fork-vote"]
    own = tmp_path / "mine.c"
    own.write_text(
        '#include "race.h"\nRACE_MAIN(.struck = struck, .threads = {\n'
        '\t{ "A", go }, { .name = "B", .run = stay, .process = true } })\n'
    )
    (mine,) = candidates(session(PROGRAM=str(own)), CLAIM, "6.1")
    assert (mine.name, mine.cpus, mine.variant) == ("mine", 3, "")
    assert [(thread.name, thread.cpu) for thread in mine.threads] == [("A", 1), ("B", 2)]
    assert user_program(SIGBUS, "6.1") == PROGRAM
    (ours,) = candidates(session(PROGRAM=SIGBUS.stem), CLAIM, "6.1")
    assert ours == PROGRAM


def test_a_program_without_threads_is_refused(tmp_path: Path) -> None:
    own = tmp_path / "mine.c"
    own.write_text("int main(void) { return 0; }\n")
    with pytest.raises(InvocationError, match="names 0 threads"):
        user_program(own, "6.1")
    with pytest.raises(InvocationError, match="there is no such file"):
        user_program(tmp_path / "none.c", "6.1")
    own.write_text("/* Mine\n * threads: two\n */\n")
    with pytest.raises(InvocationError, match=r"mine\.c: the file does not begin with a comment"):
        user_program(own, "6.1")


def kernel(events: list[ev.Event] | None = None) -> Any:
    context = SimpleNamespace(session=session())
    if events is not None:
        context.session.events = ev.Events([events.append])
    return SimpleNamespace(context=context, breakpoints=lambda scenario: ())


def reach(monkeypatch: pytest.MonkeyPatch, by: dict[str, dict[str, set[int]]]) -> list[str]:
    """Each program's threads come to these addresses; gives the programs that were looked at."""
    looked: list[str] = []

    def alone(on: Any, scenario: Any, at: Any, runs: int, *, watched: frozenset[int]) -> Batch:
        looked.append(scenario.name)
        assert runs == len(scenario.threads)
        seen = by.get(scenario.name, {})
        return Batch(seen={name: sorted(where & watched) for name, where in seen.items()})

    monkeypatch.setattr(claim_run, "controlled", alone)
    return looked


def found(toy: Symbols) -> tuple[Claim, Resolved]:
    return CLAIM, resolve(CLAIM, toy)


def test_a_program_is_taken_by_what_its_threads_reach(
    toy: Symbols, monkeypatch: pytest.MonkeyPatch
) -> None:
    outer, sink = toy.addresses("outer")[0], toy.addresses("sink")[0]
    looked = reach(monkeypatch, {"fork-vote": {"A": {sink}, "B": {outer}}})
    programs = candidates(session(RACE="sigbus-fault,fork-vote,pin-vs-purge"), CLAIM, "6.1")
    chosen = choose_program(kernel(), *found(toy), programs)
    assert chosen.scenario.name == "fork-vote" and chosen.unreached == ()
    assert chosen.threads == {"CPU0": "B", "CPU1": "A"}
    assert "reach 2 of 2 points" in chosen.why and "2 of 3 programs" in chosen.why
    assert "pin-vs-purge" not in looked


def test_no_order_is_tried_where_a_thread_comes_to_none_of_its_points(
    toy: Symbols, monkeypatch: pytest.MonkeyPatch
) -> None:
    reach(monkeypatch, {"fork-vote": {"A": set(toy.addresses("outer")), "B": set()}})
    programs = candidates(session(RACE="sigbus-fault,fork-vote"), CLAIM, "6.1")
    claim, where = found(toy)
    chosen = choose_program(kernel(), claim, where, programs)
    assert (chosen.scenario.name, chosen.unreached) == ("fork-vote", ("CPU1: sink()",))
    made = ClaimResult("toy", claim, 3, where, chosen)
    reason = wanting(made)
    assert reason is not None and "no thread of a program comes to 'CPU1: sink()'" in reason
    made.reason = reason
    assert made.answer == ("not reached", reason)


def test_a_thread_without_a_place_is_not_tried(toy: Symbols) -> None:
    claim = parse_claim("CPU0              CPU1\nouter()\n                  ouster()\n")
    made = ClaimResult("toy", claim, 3, resolve(claim, toy))
    made.reason = wanting(made)
    assert made.reason == "no row of CPU1 has a place in this kernel"
    assert made.answer[0] == "not reached" and "no function ouster()" in made.answer[1]


@pytest.mark.parametrize(
    ("endings", "tried"),
    [
        ((HIT, MISS), ["as claimed", REVERSE]),
        ((MISS, LOCK, MISS), ["as claimed", "as claimed, before the last row", REVERSE]),
    ],
)
def test_orders_are_tried_until_one_strikes_and_the_reverse(
    toy: Symbols, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    endings: tuple[Batch, ...], tried: list[str],
) -> None:  # fmt: skip
    left = list(endings)
    monkeypatch.setattr(claim_run, "run_batch", lambda on, scenario, at, runs: left.pop(0))
    made = ClaimResult("toy", *found(toy)[:1], 3, found(toy)[1], CHOSEN)
    try_orders(kernel(), made, toy, tmp_path)
    assert [one.order.name for one in made.tried] == tried and not left
    assert (tmp_path / "as-claimed.txt").is_file() and (tmp_path / "in-reverse.txt").is_file()


def test_what_the_kernel_says_is_told_of_the_claim(
    toy: Symbols, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[ev.Event] = []
    splat = batch("miss", splats=["KASAN: x"])
    monkeypatch.setattr(claim_run, "run_batch", lambda *_: splat)
    made = ClaimResult("toy", *found(toy)[:1], 3, found(toy)[1], CHOSEN)
    try_orders(kernel(seen), made, toy, tmp_path)
    splats = [event for event in seen if isinstance(event, ev.SplatSeen)]
    assert {s.title for s in splats} == {"KASAN: x"} and made.answer[0] == "strikes"
