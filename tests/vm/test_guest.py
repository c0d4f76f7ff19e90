# SPDX-License-Identifier: GPL-2.0-only
"""Cases in a guest: what is attributed to them, and how a lost guest is named."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from harness.vm import guest as guest_module
from harness.vm import state_dump
from harness.vm.guest import CaseRun
from tests.support.limits import NEVER_S, SOON_S
from tests.vm.fake_guest import OOM, OOPS, WARNING, FakeGuest

Case = Callable[[list[str]], tuple[str, str]]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGuest]:
    for name in ("GRACE", "PING", "LATE", "ASK", "GIVE_UP"):
        monkeypatch.setattr(guest_module, name, NEVER_S)
    monkeypatch.setattr(state_dump, "ANSWER", SOON_S)  # nobody answers sysrq
    made = FakeGuest(tmp_path)
    made.start()
    yield made
    made.close()


@pytest.fixture
def run_out(fake: FakeGuest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., CaseRun]:
    """Runs a case whose time runs out, and with it the limits that are named.

    The line of cases is there before, for which nobody must be late. ``answers``: to what
    comes over SSH from then on.
    """

    def run(case: Case, *limits: str, answers: bool = True) -> CaseRun:
        fake.guest.run_case("before", ["true"], NEVER_S)
        fake.behave, fake.answers = case, answers
        for name in ("GRACE", *limits):
            monkeypatch.setattr(guest_module, name, SOON_S)
        return fake.guest.run_case("a", ["prog"], SOON_S)

    return run


def test_hello_learns_who_answers(fake: FakeGuest) -> None:
    assert fake.guest.boot_id == "0000-boot"
    assert fake.guest.release == "6.1.0"
    assert fake.guest.trustworthy


def test_cases_are_run_one_after_another_with_their_variables(fake: FakeGuest) -> None:
    run = fake.guest.run_case("a::b", ["prog", "--run", "b c"], 300.0)
    assert (run.exit_code, run.timed_out, run.lost, run.splats) == (0, False, "", ())
    fake.guest.run_case("c d", ["prog", ""], 300.5)
    _, served, first, second = fake.seen
    assert served.startswith("/harness/init serve ")
    assert first == "1 a::b 300 VTEST_SWAPDISK=/dev/vdc HARNESS_PACE=1 '' prog --run 'b c'"
    assert second == "2 c_d 300.5 VTEST_SWAPDISK=/dev/vdc HARNESS_PACE=1 '' prog ''"


def test_a_case_that_is_talked_to_has_a_command_of_its_own(fake: FakeGuest) -> None:
    fake.guest.run_case("a", ["prog", "b c"], 300.0, talk=lambda ask: None)
    assert "HARNESS_DIALOGUE=1 /harness/init case 1 a 300 prog 'b c'" in fake.seen[-1]


def test_after_one_that_went_wrong_there_is_a_new_line_of_cases(
    fake: FakeGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guest_module, "LATE", SOON_S)

    def silent(argv: list[str]) -> tuple[str, str]:
        if argv == ["first"]:
            fake.print("harness: end 1 exit=3 tainted=0\n")
            fake.hang()
        return "said", "exit=0"

    fake.behave = silent
    assert fake.guest.run_case("a", ["first"], NEVER_S).exit_code == 3
    assert fake.guest.trustworthy
    assert fake.guest.run_case("b", ["second"], NEVER_S).stdout == "said"
    assert sum("/harness/init serve" in line for line in fake.seen) == 2


def test_variables_can_be_replaced(fake: FakeGuest) -> None:
    fake.guest.run_case("a", ["prog"], NEVER_S, env={"PYTHONPATH": "/x"})
    assert "PYTHONPATH=/x " in fake.seen[-1]


def test_output_and_failure_come_back(fake: FakeGuest) -> None:
    fake.behave = lambda argv: ("not ok 1\n", "exit=1")
    run = fake.guest.run_case("a", ["prog"], NEVER_S)
    assert run.exit_code == 1 and run.stdout == "not ok 1\n"


def test_death_by_signal_counts_as_a_shell_counts(fake: FakeGuest) -> None:
    fake.behave = lambda argv: ("", "signal=11")
    assert fake.guest.run_case("a", ["prog"], NEVER_S).exit_code == 139


def test_a_splat_belongs_to_the_case_that_ran(fake: FakeGuest) -> None:
    def warn(argv: list[str]) -> tuple[str, str]:
        fake.print(WARNING)
        fake.tainted = 512
        return "ok", "exit=0"

    fake.behave = warn
    run = fake.guest.run_case("a", ["prog"], NEVER_S)
    assert [s.title for s in run.splats] == ["WARNING in do_thing"]
    assert run.splats[0].text == WARNING.strip()
    fake.behave = lambda argv: ("", "exit=0")
    assert fake.guest.run_case("b", ["prog"], NEVER_S).splats == ()
    assert fake.guest.trustworthy


def test_a_forged_end_gives_a_splat_to_nobody_else(fake: FakeGuest) -> None:
    def warn(argv: list[str]) -> tuple[str, str]:
        fake.print("harness: end 1\n" + WARNING)
        return "ok", "exit=0"

    fake.behave = warn
    run = fake.guest.run_case("a", ["prog"], NEVER_S)
    assert [s.title for s in run.splats] == ["WARNING in do_thing"]
    assert [remark.line for remark in fake.guest.take_remarks()] == ["harness: end 1"]
    assert fake.guest.take_remarks() == []


def test_the_same_splat_in_two_cases_is_two(fake: FakeGuest) -> None:
    def warn(argv: list[str]) -> tuple[str, str]:
        fake.print(WARNING)
        return "", "exit=0"

    fake.behave = warn
    assert len(fake.guest.run_case("a", ["prog"], NEVER_S).splats) == 1
    assert len(fake.guest.run_case("b", ["prog"], NEVER_S).splats) == 1


def test_a_repeated_splat_counts_once_in_a_case(fake: FakeGuest) -> None:
    def warn(argv: list[str]) -> tuple[str, str]:
        fake.print(WARNING * 3)
        return "", "exit=0"

    fake.behave = warn
    assert len(fake.guest.run_case("a", ["prog"], NEVER_S).splats) == 1


def test_what_is_said_between_cases_is_nobodys_and_told_once(fake: FakeGuest) -> None:
    fake.print(WARNING)
    assert fake.guest.console.wait_for("end trace", NEVER_S)
    fake.guest.settle(NEVER_S)
    assert [s.title for s in fake.guest.take_stray_splats()] == ["WARNING in do_thing"]
    assert fake.guest.take_stray_splats() == ()
    assert fake.guest.run_case("a", ["prog"], NEVER_S).splats == ()


def test_what_comes_too_late_for_its_case_is_not_forgotten(fake: FakeGuest) -> None:
    fake.print("harness: begin 1 a\n" + WARNING)
    fake.guest.console.wait_for("end trace", NEVER_S)
    fake.guest.settle(NEVER_S)
    assert [s.title for s in fake.guest.take_stray_splats()] == ["WARNING in do_thing"]
    assert fake.guest.take_stray_splats() == ()


def test_an_oops_spoils_the_guest(fake: FakeGuest) -> None:
    def oops(argv: list[str]) -> tuple[str, str]:
        fake.print(OOPS)
        return "", "signal=9"

    fake.behave = oops
    run = fake.guest.run_case("a", ["prog"], NEVER_S)
    assert [s.category for s in run.splats] == ["oops"]
    assert run.lost == "" and not fake.guest.trustworthy


@pytest.mark.parametrize("expected", [True, False])
def test_an_out_of_memory_kill_is_forgiven_where_it_was_wanted(
    fake: FakeGuest, expected: bool
) -> None:
    def hog(argv: list[str]) -> tuple[str, str]:
        fake.print(OOM)
        return "", "exit=0"

    fake.behave = hog
    run = fake.guest.run_case("a", ["prog"], NEVER_S, oom_expected=expected)
    assert [(s.category, s.expected) for s in run.splats] == [("oom", expected)]
    assert fake.guest.trustworthy


def test_a_warning_is_not_forgiven_for_wanting_memory(fake: FakeGuest) -> None:
    def warn(argv: list[str]) -> tuple[str, str]:
        fake.print(WARNING)
        return "", "exit=0"

    fake.behave = warn
    run = fake.guest.run_case("a", ["prog"], NEVER_S, oom_expected=True)
    assert [s.expected for s in run.splats] == [False]


@pytest.mark.parametrize(("taint", "spoils"), [(512, False), (128, True), (32, True)])
def test_a_taint_without_a_report_is_a_report(fake: FakeGuest, taint: int, spoils: bool) -> None:
    def quietly(argv: list[str]) -> tuple[str, str]:
        fake.tainted = taint
        return "", "exit=0"

    fake.behave = quietly
    run = fake.guest.run_case("a", ["prog"], NEVER_S)
    assert [s.category for s in run.splats] == ["taint"]
    assert fake.guest.trustworthy is not spoils
    assert fake.guest.run_case("b", ["prog"], NEVER_S).splats == ()


def test_a_case_out_of_time_is_ended_by_the_guest(fake: FakeGuest) -> None:
    fake.behave = lambda argv: ("so far", "timeout=124")
    run = fake.guest.run_case("a", ["prog"], NEVER_S)
    assert run.timed_out and run.exit_code is None and run.lost == ""
    assert run.stdout == "so far"
    assert fake.guest.trustworthy


def test_exit_status_124_is_no_timeout(fake: FakeGuest) -> None:
    fake.behave = lambda argv: ("", "exit=124")
    run = fake.guest.run_case("a", ["prog"], NEVER_S)
    assert not run.timed_out and run.exit_code == 124


def test_a_panic_is_named_in_the_loss(fake: FakeGuest) -> None:
    def panic(argv: list[str]) -> tuple[str, str]:
        fake.print("Kernel panic - not syncing: boom\nCPU: 0 PID: 1\nKernel Offset: disabled\n")
        fake.die()
        raise OSError

    fake.behave = panic
    run = fake.guest.run_case("a", ["prog"], NEVER_S)
    assert run.lost == "the guest died (kernel panic: boom)"
    assert run.exit_code is None
    assert [s.title for s in run.splats] == ["kernel panic: boom"]
    assert run.evidence is not None and "boom" in run.evidence.read_text()
    assert not fake.guest.trustworthy


@pytest.mark.parametrize(
    ("obeys", "lost"),
    [(True, "the case was ended by the host"), (False, "the case cannot be ended")],
)
def test_a_guest_that_does_not_end_a_case_in_time_is_replaced(
    fake: FakeGuest, run_out: Callable[..., CaseRun], obeys: bool, lost: str
) -> None:
    killed = threading.Event()

    def stay(argv: list[str]) -> tuple[str, str]:
        killed.wait()
        return "", "signal=9"

    if obeys:
        fake.on_kill = killed.set
    run = run_out(stay) if obeys else run_out(stay, "LATE")
    killed.set()
    assert run.lost == f"{lost}: the guest did not do it in time"
    assert run.exit_code is None and not run.timed_out
    assert not fake.guest.trustworthy


@pytest.fixture
def run_silent(fake: FakeGuest, run_out: Callable[..., CaseRun]) -> Callable[..., CaseRun]:
    """Runs a case in whose time the guest ceases to answer over SSH."""

    def fall_silent(argv: list[str]) -> tuple[str, str]:
        fake.hang()

    return partial(run_out, fall_silent, "PING", answers=False)


def test_a_guest_that_answers_nothing_hangs(
    fake: FakeGuest, run_silent: Callable[..., CaseRun]
) -> None:
    run = run_silent("ASK")
    assert run.lost == "the guest hangs: it answers neither SSH nor sysrq on the console"
    assert run.evidence is not None and "registers" in run.evidence.read_text()
    assert fake.qemu.breaks > 0 and not fake.qemu.alive


def test_a_case_is_not_waited_for_when_its_kernel_is_stuck(
    fake: FakeGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guest_module, "GIVE_UP", SOON_S)

    def lock_up(argv: list[str]) -> tuple[str, str]:
        fake.print("watchdog: BUG: soft lockup - CPU#1 stuck for 23s! [sh:7]\n")
        fake.print("RIP: 0010:do_spin+0x1/0x2\n")
        fake.hang()

    fake.behave = lock_up
    run = fake.guest.run_case("a", ["prog"], NEVER_S)
    assert run.lost == "the case was given up (BUG: soft lockup in do_spin)"
    assert not fake.guest.trustworthy


def test_a_lost_network_is_no_hang_and_a_shell_on_the_line_says_more(
    fake: FakeGuest, run_silent: Callable[..., CaseRun]
) -> None:
    fake.qemu.serial.serve(lambda command: OOPS if "dmesg" in command else f"{command} done\n")
    run = run_silent()
    assert run.lost == ("the network to the guest is gone; process 1 still answers on the console")
    assert run.evidence is not None
    said = run.evidence.read_text()
    assert "$ ps\nps done" in said and "ip route" in said
    assert run.splats == () and "BUG: kernel NULL" in said


def test_a_kernel_that_answers_alone_is_named(
    fake: FakeGuest, run_silent: Callable[..., CaseRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer_sysrq() -> None:
        fake.qemu.breaks += 1
        fake.print("sysrq: HELP : loglevel(0-9)\n")

    monkeypatch.setattr(fake.qemu, "send_break", answer_sysrq)
    monkeypatch.setattr(state_dump, "ANSWER", NEVER_S)
    run = run_silent("ASK")
    assert run.lost == "the guest hangs: only its kernel still answers, to sysrq on the console"


def test_a_lost_connection_is_no_lost_network(
    fake: FakeGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guest_module, "ASK", SOON_S)  # process 1 is there and runs nothing

    def drop(argv: list[str]) -> tuple[str, str]:
        fake.sshd.drop()
        raise OSError

    fake.behave = drop
    fake.qemu.serial.serve(None)
    run = fake.guest.run_case("a", ["prog"], NEVER_S)
    assert run.lost == "the SSH connection was lost; the guest still answers on a new one"
    assert run.evidence is not None and "no end of it in" in run.evidence.read_text()
    assert not fake.guest.trustworthy


def test_a_case_whose_output_stays_open_is_over_with_its_marker(
    fake: FakeGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guest_module, "LATE", SOON_S)

    def stuck(argv: list[str]) -> tuple[str, str]:
        fake.print("harness: stuck 1: a process of the case cannot be killed\n")
        fake.print("harness: end 1 timeout=124 tainted=0\n")
        fake.hang()

    fake.behave = stuck
    run = fake.guest.run_case("a", ["prog"], NEVER_S)
    assert run.timed_out and run.lost == ""
    assert run.evidence is not None
    assert not fake.guest.trustworthy


def test_what_a_dump_provokes_is_no_news(fake: FakeGuest) -> None:
    fake.guest._dumping = True
    fake.print(OOPS)
    fake.guest.console.wait_for("end trace", NEVER_S)
    fake.guest.settle(NEVER_S)
    assert fake.guest.splats() == ()


def test_a_closed_guest_leaves_no_swap_disk(fake: FakeGuest) -> None:
    fake.guest.swap_image.write_bytes(b"x")
    fake.guest.close()
    assert not fake.guest.swap_image.exists()
    fake.guest.close()
