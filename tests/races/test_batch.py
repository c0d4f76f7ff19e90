# SPDX-License-Identifier: GPL-2.0-only
"""Counting runs and judging a scenario: what is a pass, and what only looks like one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console

from harness.core.errors import InvocationError
from harness.debugger.blocked_on import base_name, blocked_on
from harness.races.batch import Batch, StressTotals, outcome
from harness.races.landmarks import ROUNDS, reported_runs, total_line
from harness.races.programs import RacePrograms
from harness.races.scenario import parse
from harness.races.trace import Ending, RaceRun
from harness.races.verdict import RaceResult, document, stress_table, table
from harness.vm.guest import CaseRun
from tests.races.test_scenario import BODY, written

TOY = parse(written(BODY), Path("toy.c"), "6.1")
assert TOY is not None


def batch(endings: Sequence[str]) -> Batch:
    runs = [RaceRun(number, cast(Ending, end)) for number, end in enumerate(endings, 1)]
    return Batch(runs)


def judged(variant: Sequence[str], series: Sequence[str], **more: Any) -> RaceResult:
    assert TOY is not None
    return RaceResult(TOY, "6.1", "kasan", 20, batch(variant), batch(series), **more)


@pytest.mark.parametrize(
    ("variant", "series", "status", "said"),
    [
        (["hit"] * 20, ["miss"] * 20, "pass", ""),
        (["hit"] * 20, ["excluded"] * 20, "pass", ""),
        (["hit"] * 20, ["miss"] * 7 + ["excluded"] * 13, "pass", ""),
        (["hit"] * 20, ["miss"] * 19 + ["hit"], "fail", "strikes on the series: 1 of 20"),
        (["hit"] * 19 + ["miss"], ["miss"] * 20, "error", "hit 19 times of 20"),
        (["excluded"] * 20, ["excluded"] * 20, "error", "0 times of 20"),
        (["hit"] * 20, ["miss"] * 19, "error", "19 runs of 20"),
        ([], [], "error", "0 times of 20"),
    ],
)
def test_the_bars(variant: list[str], series: list[str], status: str, said: str) -> None:
    made = judged(variant, series)
    found, reason = made.verdict
    assert found == status and said in reason
    event = made.record()
    assert str(event.id) == "races::toy" and event.status == status
    assert event.clauses == ("V-SB-3",)


def test_an_error_is_never_a_pass() -> None:
    made = judged(
        ["hit"] * 20,
        ["miss"] * 20,
        error=InvocationError("on the series: thread A never reached 'f()'"),
    )
    assert made.verdict[0] == "error" and "never reached" in made.verdict[1]


def test_repro_json_has_what_the_documentation_says() -> None:
    made = judged(["hit"] * 20, ["miss"] * 4 + ["excluded"] * 16, seconds=12.345)
    row = json.loads(json.dumps(document(made)))
    assert row["name"] == "toy" and row["kernel"] == "6.1" and row["controlled"] is True
    assert row["variant"] == {"runs": 20, "hit": 20, "miss": 0, "excluded": 0}
    assert row["series"] == {"runs": 20, "hit": 0, "miss": 4, "excluded": 16}
    assert row["seconds"] == 12.35 or row["seconds"] == 12.34
    assert row["interval"][1] == 1.0 and 0.83 < row["interval"][0] < 0.85
    assert "stress" not in row


def shown(what: object) -> str:
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(what)
    return console.export_text()


def test_the_table_tells_hits_interval_and_endings() -> None:
    text = shown(table([judged(["hit"] * 20, ["miss"] * 4 + ["excluded"] * 16, seconds=9.0)]))
    assert "20 of 20" in text and "84% to 100%" in text and "0 of 20" in text
    assert "held" in text and "pass" in text


def test_stress_is_compared_by_the_minute() -> None:
    totals = (StressTotals(4000, 2, 20.0), StressTotals(3000, 0, 20.0))
    made = judged(["hit"] * 20, ["miss"] * 20, stress=totals)
    made.variant.seconds = made.series.seconds = 4.0
    text = shown(stress_table([made]))
    assert "300 hits a minute (20 of 20)" in text
    assert "6 hits a minute (2 of 4000)" in text and "0 hits a minute (0 of 3000)" in text


def test_a_programs_lines_of_runs() -> None:
    lines = ["run 1: hit: SIGBUS at 0x1", "noise", "run 2: not", "2 runs, 1 hits, 1500 ms"]
    assert [(r.number, r.ending, r.remark) for r in reported_runs(lines)] == [
        (1, "hit", "SIGBUS at 0x1"),
        (2, "miss", None),
    ]
    assert total_line(lines) == (2, 1, 1.5)
    assert total_line(lines[:3]) is None


def test_each_thread_is_told_its_cpu() -> None:
    assert TOY is not None
    assert RacePrograms(Path("image"), Path("folder"), False).argv(TOY, ROUNDS, 20) == [
        "/tests/races/toy", "--rounds", "20", "A=1", "B=2",
    ]  # fmt: skip


def done(stdout: str, code: int | None = 0, lost: str = "", *, timed_out: bool = False) -> CaseRun:
    return CaseRun(code, stdout, "", 1.0, timed_out, lost, None, ())


def complaint(done: CaseRun) -> str | None:
    _, error = outcome(done)
    return str(error) if error is not None else None


def test_what_is_wrong_with_a_program() -> None:
    assert complaint(done("KTAP version 1\n1..1\nok 1 race\n")) is None
    failed = done("KTAP version 1\n1..1\n# races/x.c:3: no\nnot ok 1 race\n", 1)
    assert complaint(failed) == "the guest program failed: races/x.c:3: no"
    assert "lost: gone" in str(complaint(done("", None, "gone")))
    assert "did not end" in str(complaint(done("", None, timed_out=True)))
    assert "ended before its result line" in str(complaint(done("KTAP version 1\n1..1\n", 0)))


@pytest.mark.parametrize(
    ("stack", "kind", "function"),
    [
        (["schedule", "rwsem_down_write_slowpath", "down_write"], "lock", None),
        (["native_queued_spin_lock_slowpath", "_raw_spin_lock"], "lock", None),
        (["schedule", "__mutex_lock.constprop.0", "x"], "lock", "__mutex_lock"),
        (["io_schedule", "folio_wait_bit_common", "__folio_lock"], "lock", None),
        (["io_schedule", "folio_wait_bit_common", "folio_wait_writeback"], "io", None),
        # It wants the lock and, before that, an answer: the held CPU is what it waits for.
        (["smp_call_function_many_cond", "flush_tlb_mm_range", "down_write"], "ipi", None),
        (["schedule", "__wait_rcu_gp", "synchronize_rcu"], "rcu", "__wait_rcu_gp"),
        (["schedule", "__flush_work.isra.0", "__lru_add_drain_all"], "work", "__flush_work"),
        (["schedule", "futex_wait_queue", "futex_wait"], "program", None),
    ],
)
def test_waits_are_told_from_stacks(stack: list[str], kind: str, function: str | None) -> None:
    wait = blocked_on(stack)
    assert wait is not None and wait.kind == kind
    assert function is None or wait.function == function
    assert base_name(stack[wait.depth]) == wait.function


def test_who_works_does_not_wait() -> None:
    assert blocked_on(["handle_mm_fault", "exc_page_fault"]) is None
    assert blocked_on([]) is None
