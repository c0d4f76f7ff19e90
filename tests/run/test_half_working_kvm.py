# SPDX-License-Identifier: GPL-2.0-only
"""Runs on a machine whose KVM works, stands still, or gives guests up; QEMU is played."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.vm import accel, state_dump
from harness.vm import guest as guest_module
from harness.vm.accel import KvmVerdict
from harness.vm.boot import Patience
from harness.vm.machine import GuestSpec
from tests.run.fake_guest_run import Job, built_toy, comes_up, dies, passes
from tests.support.limits import NEVER_S, SOON_S
from tests.support.toy import Toy
from tests.vm.fake_guest import OOPS, FakeQemu

CASES = [f"a{n:02}" for n in range(4)]
STILL = "mem auto-init: stack:all(zero), heap alloc:off, heap free:off"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Toy, Path]:
    return built_toy(tmp_path_factory, {"first": dict.fromkeys(CASES, 1)})


@pytest.fixture
def job(built: tuple[Toy, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Job]:
    """On a machine with a device for KVM, of which nothing is known."""
    (tmp_path / "kvm").touch()
    monkeypatch.setattr(accel, "DEVICE", tmp_path / "kvm")
    monkeypatch.setattr(state_dump, "ANSWER", SOON_S)  # who stands still answers no sysrq
    for name in ("PING", "ASK"):
        monkeypatch.setattr(guest_module, name, SOON_S)
    trial = Patience(stall=SOON_S, total=NEVER_S, login=NEVER_S)
    monkeypatch.setattr(Patience, "on_trial", lambda usual: trial)
    made = Job(*built, tmp_path / "out", monkeypatch)
    verdict(made)._path.unlink(missing_ok=True)
    yield made
    made.end()


def verdict(job: Job) -> KvmVerdict:
    return KvmVerdict(job.toy.store.root)


def run(job: Job, accel: str = "auto") -> int:
    job.under.clear()
    return job.test_kernel("JOBS=1", f"ACCEL={accel}")


def stands_still(spec: GuestSpec, guest: FakeQemu) -> None:
    """Its first line comes under KVM, and a few more."""
    if spec.accel == "kvm":
        guest.print(f"Linux version 6.1.7\n{STILL}\n")
    else:
        comes_up(guest)


def is_given_up(spec: GuestSpec, guest: FakeQemu) -> None:
    if spec.accel == "kvm":
        guest.print("Linux version 6.1.7\n")
        guest.stand_still()
    else:
        comes_up(guest)


def cannot_work(spec: GuestSpec, guest: FakeQemu) -> None:
    """It comes up under KVM, and QEMU ends at the first work."""
    comes_up(guest)
    if spec.accel == "kvm":
        guest.benchmark = lambda: guest.die(134)


def notes(job: Job) -> list[str]:
    return [note for note in job.document["notes"] if "KVM" in note]


def test_a_kvm_that_works_is_used_and_remembered(job: Job) -> None:
    assert run(job) == 0
    assert job.under == ["kvm"] and job.document["accel"] == "kvm"
    assert verdict(job).known() == ""


@pytest.mark.parametrize(
    ("boots", "why"),
    [
        (stands_still, "mem auto-init"),
        (is_given_up, "KVM gave the guest up: KVM internal error. Suberror: 1"),
        (cannot_work, "cannot do the first work"),
    ],
)
def test_what_fails_under_kvm_and_not_under_tcg_is_the_machines_fault(
    job: Job, boots: object, why: str
) -> None:
    job.boots = boots  # type: ignore[assignment]
    assert run(job) == 0
    assert job.under == ["kvm", "tcg"] and job.document["accel"] == "tcg"
    (said,) = [note for note in notes(job) if note.startswith("KVM does not work here")]
    assert why in said and "\n" not in said
    assert why in str(verdict(job).known())
    latest = job.out / "latest"
    assert "Linux version" in (latest / "guest1.console.log").read_text()
    assert STILL not in (latest / "console.log").read_text()
    assert run(job) == 0
    assert job.under == ["tcg"] and why in notes(job)[0]


def test_what_runs_under_tcg_after_all_is_measured(job: Job) -> None:
    job.boots, job.executes = stands_still, lambda address, case: True
    assert job.test_kernel("JOBS=1", "ACCEL=auto", "COVERAGE=1") == 0
    coverage = job.document["coverage"]
    assert coverage is not None and coverage["lines_run"] == coverage["lines"] > 0


def test_what_ran_under_kvm_is_not_taken_for_what_did_not_run(job: Job) -> None:
    job.behaviours = {"a01": lost_under_kvm}
    assert job.test_kernel("JOBS=1", "ACCEL=auto", "COVERAGE=1") == 0
    assert job.under == ["kvm", "tcg"] and job.document["coverage"] is None
    assert any("not measured under KVM" in note for note in job.document["notes"])


def test_what_fails_under_tcg_too_is_the_series_fault(job: Job) -> None:
    def dead(spec: GuestSpec, guest: FakeQemu) -> None:
        guest.print(f"Linux version 6.1.7\n{STILL}\n")
        if spec.accel == "tcg":
            guest.die(0)

    job.boots = dead
    assert run(job) == 1
    assert job.under == ["kvm", "tcg"]
    assert "the kernel does not boot" in job.document["error"][0]
    assert verdict(job).known() is None


def test_kvm_that_was_asked_for_is_not_replaced(job: Job) -> None:
    job.boots = is_given_up
    verdict(job).keep("what was once so")
    monkeypatched = Patience(stall=SOON_S, total=NEVER_S, login=NEVER_S)
    job.monkeypatch.setattr("harness.vm.guests.Patience", lambda: monkeypatched)
    assert run(job, "kvm") == 3
    assert job.under == ["kvm", "tcg"]
    error = "\n".join(job.document["error"])
    assert "machine error: ACCEL=kvm" in error and "ACCEL=tcg" in error
    assert "KVM internal error" in str(verdict(job).known())


def test_kvm_that_was_asked_for_and_works_again_is_believed(job: Job) -> None:
    verdict(job).keep("what was once so")
    assert run(job, "kvm") == 0
    assert job.under == ["kvm"] and verdict(job).known() == ""


def test_an_oops_under_a_kvm_that_is_known_to_work_is_the_series_fault(job: Job) -> None:
    def oops(spec: GuestSpec, guest: FakeQemu) -> None:
        guest.print(f"Linux version 6.1.7\n{OOPS}")
        guest.die(0)

    verdict(job).keep("")
    job.boots = oops
    assert run(job) == 1
    assert job.under == ["kvm"] and verdict(job).known() == ""
    assert len(job.document["splats"]) == 1


def test_an_oops_under_a_kvm_that_boots_nothing_counts_for_nobody(job: Job) -> None:
    def oops(spec: GuestSpec, guest: FakeQemu) -> None:
        if spec.accel == "kvm":
            guest.print(f"Linux version 6.1.7\n{OOPS}")
            guest.die(0)
        else:
            comes_up(guest)

    job.boots = oops
    assert run(job) == 0
    (splat,) = job.document["foreign_splats"]
    assert "KVM" in splat["foreign"] and job.document["splats"] == []


def lost_under_kvm(name: str, guest: FakeQemu) -> tuple[str, str]:
    assert guest.spec is not None
    if guest.spec.accel == "tcg":
        return passes(name, guest)
    guest.stand_still()
    raise EOFError


def test_a_guest_that_kvm_gives_up_in_a_case_is_tried_under_tcg(job: Job) -> None:
    job.behaviours = {"a01": lost_under_kvm}
    assert run(job) == 0
    assert job.under == ["kvm", "tcg"] and job.runs["a01"] == 2
    assert "KVM internal error" in str(verdict(job).known())
    assert [test["status"] for test in job.document["tests"]] == ["pass"] * len(CASES)


def test_a_case_that_loses_its_guest_under_tcg_too_is_judged(job: Job) -> None:
    def lost(name: str, guest: FakeQemu) -> tuple[str, str]:
        assert guest.spec is not None
        return dies(name, guest) if guest.spec.accel == "tcg" else lost_under_kvm(name, guest)

    job.behaviours = {"a01": lost}
    assert run(job) == 1
    assert job.under == ["kvm", "tcg", "kvm"] and verdict(job).known() == ""
    assert [t["status"] for t in job.document["tests"]] == ["pass", "error", "pass", "pass"]


def test_a_panic_in_a_case_under_kvm_is_judged_at_once(job: Job) -> None:
    def panics(name: str, guest: FakeQemu) -> tuple[str, str]:
        guest.die(0)
        raise EOFError

    job.behaviours = {"a01": panics}
    assert run(job) == 1
    assert job.under == ["kvm", "kvm"] and job.runs["a01"] == 1
