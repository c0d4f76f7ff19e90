# SPDX-License-Identifier: GPL-2.0-only
"""The runner judges a case from all that was seen of it, and replaces guests it cannot trust."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import pytest

from harness.cases.outcome import check_swap_image
from harness.cases.runner import CaseRunner, judge_case
from harness.cases.selection import run_cases
from harness.core import events as ev
from harness.core.errors import HarnessError, InternalError, InvocationError, SeriesError
from harness.image.programs import Case, Program
from harness.series.contract import SeriesData
from harness.vm.guest import CaseRun, Guest
from harness.vm.protocol import Ask
from harness.vm.splats import Splat
from tests.support.recorder import Recorder

FOLDER = Path("/x/guest-tests/volatile")


def case(name: str = "one", clause: str = "V-IF-2", **changes: object) -> Case:
    program = Program(FOLDER / "p.c", "volatile/p.c", ("/tests/volatile/p",))
    made = Case(ev.CaseId.parse(f"volatile/p.c::{name}"), program, (clause,), 5.0, "a claim")
    return replace(made, **changes)  # type: ignore[arg-type]


def said(line: str, *notes: str) -> str:
    return "\n".join(("KTAP version 1", "1..1", *(f"# {n}" for n in notes), line)) + "\n"


def run(stdout: str = said("ok 1 one"), **changes: object) -> CaseRun:
    made = CaseRun(0, stdout, "", 0.1, False, "", None, ())
    return replace(made, **changes)  # type: ignore[arg-type]


def splat(title: str = "WARNING in f", *, expected: bool = False) -> Splat:
    made = Splat(title, "warning", "trace", 1, 0, 3)
    return replace(made, expected=expected)


@pytest.mark.parametrize(
    ("seen", "status", "reason"),
    [
        (run(), "pass", ""),
        (run(said("not ok 1 one", "p.c:3: x"), exit_code=1), "fail", "p.c:3: x"),
        (run(splats=(splat(),)), "fail", "the kernel complained: WARNING in f"),
        (run(splats=(splat(expected=True),)), "pass", ""),
        (run("", exit_code=None, timed_out=True, seconds=5.0), "timeout", "did not end"),
        (run("", exit_code=None, lost="the guest died"), "error", "the guest died"),
        (run("", exit_code=139), "error", "died by signal 11"),
        (run(exit_code=1), "error", "said 'ok' and exited 1"),
    ],
)
def test_all_that_was_seen_decides(seen: CaseRun, status: str, reason: str) -> None:
    got = judge_case(case(), seen, Path("/none"))
    assert got[0] == status and reason in got[1]


def test_a_panic_is_the_kernels_complaint_and_not_only_a_lost_guest() -> None:
    seen = run("", exit_code=None, lost="the guest died", splats=(splat("Kernel panic: x"),))
    assert judge_case(case(), seen, Path("/none"))[:2] == (
        "fail",
        "the kernel complained: Kernel panic: x",
    )


def test_stderr_is_part_of_the_diagnostics() -> None:
    notes = judge_case(case(), run(stderr="Traceback\nboom\n"), Path("/none"))[2]
    assert notes == ("stderr: Traceback", "stderr: boom")


MAGIC = bytes(range(1, 9))
OTHER = bytes(range(11, 19))


def image(path: Path, magic: bytes, count: int) -> Path:
    pages = [(magic + n.to_bytes(8, "little")).ljust(4096, b"\0") for n in range(count)]
    path.write_bytes(b"\0" * 8192 + b"".join(pages))
    return path


def swap_notes(absent: int, present: int) -> tuple[str, ...]:
    return (f"@swap absent {MAGIC.hex()} {absent}", f"@swap present {OTHER.hex()} {present}")


def test_the_swap_image_proves_both_sides(tmp_path: Path) -> None:
    disk = image(tmp_path / "swap", OTHER, 5)
    assert check_swap_image(disk, swap_notes(9, 5)) == ""
    assert check_swap_image(disk, swap_notes(9, 6)).startswith("inconclusive: only 5 of 6")


def test_a_volatile_page_on_the_disk_is_found(tmp_path: Path) -> None:
    disk = image(tmp_path / "swap", MAGIC, 2)
    wrong = check_swap_image(disk, (swap_notes(9, 0)))
    assert wrong == "2 of 9 pages that must not were written to the swap disk"


def test_a_search_without_control_is_no_proof(tmp_path: Path) -> None:
    disk = image(tmp_path / "swap", OTHER, 1)
    assert "both kinds" in check_swap_image(disk, swap_notes(9, 1)[:1])
    assert "both kinds" in check_swap_image(disk, ())


def test_a_failed_case_is_not_searched_for(tmp_path: Path) -> None:
    failed = run(said("not ok 1 one", "p.c:1: no"), exit_code=1)
    got = judge_case(case(host_checks=("swapimage",)), failed, tmp_path / "missing")
    assert got[:2] == ("fail", "p.c:1: no")


@dataclass
class FakeGuest:
    """Answers each case with what the script says."""

    script: list[CaseRun | Exception]
    trustworthy: bool = True
    closed: bool = False
    asked: list[tuple[str, ...]] = field(default_factory=list)
    limits: list[float] = field(default_factory=list)
    envs: list[dict[str, str]] = field(default_factory=list)
    swap_image: Path = Path("/none")
    pace: float = 1.0

    def run_case(
        self,
        case_id: str,
        argv: tuple[str, ...],
        timeout: float,
        *,
        env: dict[str, str],
        talk: Callable[[Ask], None] | None,
        oom_expected: bool,
    ) -> CaseRun:
        self.asked.append((*argv, str(oom_expected)))
        self.limits.append(timeout)
        self.envs.append(env)
        answer = self.script.pop(0)
        if isinstance(answer, Exception):
            raise answer
        self.trustworthy = not answer.lost and not answer.splats
        return answer

    def close(self) -> None:
        self.closed = True


def runner_of(
    data: SeriesData,
    *guests: FakeGuest,
    applied: int = 4,
    version: str = "6.1.192",
) -> CaseRunner:
    waiting = list(guests)
    fresh = cast(Callable[[], Guest], lambda: waiting.pop(0))
    return CaseRunner(data, applied, version, fresh)


def test_a_lost_guest_is_replaced_and_the_rest_goes_on(
    events: ev.Events, recorder: Recorder, data: SeriesData
) -> None:
    first = FakeGuest([run("", exit_code=None, lost="the guest hangs", evidence=Path("/e"))])
    second = FakeGuest([run(said("ok 1 two"))])
    runner = runner_of(data, first, second)
    statuses = [runner.run(case(), events.emit).status, runner.run(case("two"), events.emit).status]
    assert statuses == ["error", "pass"]
    assert first.closed and not second.closed
    assert recorder.of(ev.GuestLost) == [
        ev.GuestLost("the guest hangs", ev.CaseId.parse("volatile/p.c::one"), "/e")
    ]


def test_a_healthy_guest_is_kept(events: ev.Events, data: SeriesData) -> None:
    guest = FakeGuest([run(), run(said("ok 1 two"))])
    runner = runner_of(data, guest)
    assert [
        runner.run(case(), events.emit).status,
        runner.run(case("two"), events.emit).status,
    ] == [
        "pass",
        "pass",
    ]
    assert guest.asked[1] == ("/tests/volatile/p", "--run", "two", "False")


def test_what_is_not_promised_yet_does_not_run(events: ev.Events, data: SeriesData) -> None:
    runner = runner_of(data, applied=2)
    record = runner.run(case(clause="V-PG-2"), events.emit)
    assert record.status == "not_applicable"
    assert record.reason == "V-PG-2 holds from patch 4; 2 applied"


@pytest.mark.parametrize(
    ("version", "status"),
    [
        ("6.1.192", "not_applicable"),
        ("6.9.0", "not_applicable"),
        ("6.10.0-rc1", "pass"),
        ("6.12.117", "pass"),
        ("7.0", "pass"),
    ],
)
def test_a_case_about_a_younger_kernel_does_not_run(
    events: ev.Events, data: SeriesData, version: str, status: str
) -> None:
    guest = FakeGuest([run()])
    record = runner_of(data, guest, version=version).run(case(needs=("linux-6.10",)), events.emit)
    assert record.status == status
    assert len(guest.asked) == (status == "pass")
    if status == "not_applicable":
        assert record.reason == f"needs Linux 6.10; this is {version}"


def test_a_slow_guest_gets_more_time(events: ev.Events, data: SeriesData) -> None:
    guest = FakeGuest([run()], pace=3.0)
    runner_of(data, guest).run(case(), events.emit)
    assert guest.limits == [15.0]


def test_a_case_may_ask_for_an_out_of_memory_kill(events: ev.Events, data: SeriesData) -> None:
    guest = FakeGuest([run()])
    runner_of(data, guest).run(case(needs=("oom",)), events.emit)
    assert guest.asked[0][-1] == "True"


SUITE = [case("one"), case("two", "V-SB-1")]


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("", ["one", "two"]),
        ("two", ["two"]),
        ("not two", ["one"]),
        ("V-SB-1", ["two"]),
        ("p.c and one", ["one"]),
        ("VOLATILE and (two or three)", ["two"]),
    ],
)
def test_expressions_select_by_name_program_and_clause(
    events: ev.Events,
    recorder: Recorder,
    data: SeriesData,
    expression: str,
    names: list[str],
) -> None:
    guest = FakeGuest([run(said(f"ok 1 {name}")) for name in names])
    run_cases(SUITE, [runner_of(data, guest)], events.emit, expression)
    found = [e.id.name for e in recorder.of(ev.CaseFinished)]
    assert found == names


@pytest.mark.parametrize(
    ("expression", "message"), [("zzz", "selects none"), ("a b", "is no"), ("a(b=1)", "is no")]
)
def test_an_expression_that_makes_no_sense_is_the_users_mistake(
    events: ev.Events, data: SeriesData, expression: str, message: str
) -> None:
    with pytest.raises(InvocationError, match=message):
        run_cases(SUITE, [runner_of(data)], events.emit, expression)


def test_a_failing_case_does_not_stop_the_others(
    events: ev.Events, recorder: Recorder, data: SeriesData
) -> None:
    guest = FakeGuest([run(said("not ok 1 one", "no"), exit_code=1), run(said("ok 1 two"))])
    run_cases(SUITE, [runner_of(data, guest)], events.emit, "")
    statuses = [e.status for e in recorder.of(ev.CaseFinished)]
    assert statuses == ["fail", "pass"]


@pytest.mark.parametrize(
    ("raised", "kind"),
    [(SeriesError("does not boot again"), SeriesError), (RuntimeError("bug"), InternalError)],
)
def test_what_keeps_the_runner_from_going_on_ends_the_run_as_what_it_is(
    events: ev.Events, data: SeriesData, raised: Exception, kind: type[HarnessError]
) -> None:
    guest = FakeGuest([raised])
    with pytest.raises(kind):
        run_cases(SUITE, [runner_of(data, guest)], events.emit, "")
    assert len(guest.asked) == 1


def test_ctrl_c_in_a_case_is_ctrl_c(events: ev.Events, data: SeriesData) -> None:
    class Interrupted(FakeGuest):
        def run_case(self, *args: object, **kwargs: object) -> CaseRun:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_cases(SUITE, [runner_of(data, Interrupted([]))], events.emit, "")


def test_what_ran_is_observed_before_each_case_and_behind_it(
    events: ev.Events, data: SeriesData
) -> None:
    guest = FakeGuest([run(said("ok 1 one")), run(said("ok 1 two"))])
    runner, seen = runner_of(data, guest), []
    runner.observe = lambda at, case: seen.append((id(at) == id(guest), case and str(case)))
    runner.run(case(), events.emit)
    runner.run(case("two"), events.emit)
    names = [str(case().id), str(case("two").id)]
    assert seen == [(True, None), (True, names[0]), (True, None), (True, names[1])]
