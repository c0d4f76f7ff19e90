# SPDX-License-Identifier: GPL-2.0-only
"""KVM or TCG: what is tried, what is believed, what is remembered."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from harness.core.errors import MachineError
from harness.vm import accel
from harness.vm.accel import choose_accel, device_obstacle, last_words
from harness.vm.machine import GuestSpec

SPEC = GuestSpec(Path("/k/vmlinux"), None, "microvm", "tcg", Path("/r"), "key")


class Probe:
    """A probe whose answers are given; it keeps what it was asked."""

    def __init__(self, kvm: str, tcg: str = "") -> None:
        self.answers = {"kvm": kvm, "tcg": tcg}
        self.asked: list[str] = []

    def __call__(self, spec: GuestSpec) -> str:
        self.asked.append(spec.accel)
        return self.answers[spec.accel]


@pytest.fixture
def device(tmp_path: Path) -> Path:
    path = tmp_path / "kvm"
    path.write_bytes(b"")
    return path


def test_kvm_that_runs_a_guest_is_taken(tmp_path: Path, device: Path) -> None:
    chosen = choose_accel("auto", tmp_path / "c", SPEC, device=device, probe=Probe(""))
    assert chosen.name == "kvm"


def test_kvm_that_opens_and_runs_nothing_is_not(tmp_path: Path, device: Path) -> None:
    probe = Probe("an ordinary guest says nothing in 8 s")
    chosen = choose_accel("auto", tmp_path / "c", SPEC, device=device, probe=probe)
    assert chosen.name == "tcg"
    assert "an ordinary guest says nothing" in chosen.reason
    assert "\n" not in chosen.reason


def test_asking_for_kvm_where_it_does_not_work_is_an_error(tmp_path: Path, device: Path) -> None:
    with pytest.raises(MachineError, match="says nothing") as caught:
        choose_accel("kvm", tmp_path / "c", SPEC, device=device, probe=Probe("says nothing"))
    assert caught.value.exit_code == 3
    assert "ACCEL=tcg" in str(caught.value.next_step)


def test_the_reason_is_the_error_and_no_warning_before_it() -> None:
    warning = "qemu: -accel kvm: warning: Number of SMP cpus requested (4) exceeds ..."
    error = "qemu: error: failed to set MSR 0x10a to 0x69"
    assert last_words([warning, "", error, "more"]) == error
    assert last_words([warning]) == warning
    assert last_words([]) == ""


def test_asking_for_tcg_probes_nothing(tmp_path: Path, device: Path) -> None:
    probe = Probe("")
    assert choose_accel("tcg", tmp_path, SPEC, device=device, probe=probe).name == "tcg"
    assert probe.asked == []


def test_no_device_and_no_permission_are_told_apart(tmp_path: Path) -> None:
    assert "there is no" in device_obstacle(tmp_path / "none")
    if os.geteuid() != 0:
        locked = tmp_path / "locked"
        locked.write_bytes(b"")
        locked.chmod(0)
        assert "group kvm" in device_obstacle(locked)


def test_no_permission_names_the_group(monkeypatch: pytest.MonkeyPatch, device: Path) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "open", refuse)
    assert "group kvm" in device_obstacle(device)


def test_without_the_device_nothing_is_probed(tmp_path: Path) -> None:
    probe = Probe("")
    chosen = choose_accel("auto", tmp_path, SPEC, device=tmp_path / "none", probe=probe)
    assert chosen.name == "tcg" and probe.asked == []


@pytest.mark.parametrize("obstacle", ["", "says nothing"])
def test_the_verdict_is_kept(tmp_path: Path, device: Path, obstacle: str) -> None:
    first, second = Probe(obstacle), Probe("different")
    one = choose_accel("auto", tmp_path / "c", SPEC, device=device, probe=first)
    two = choose_accel("auto", tmp_path / "c", SPEC, device=device, probe=second)
    assert one == two
    assert second.asked == []


def test_another_boot_asks_again(
    tmp_path: Path, device: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot_id = tmp_path / "boot_id"
    boot_id.write_text("first\n")
    monkeypatch.setattr(accel, "BOOT_ID", boot_id)
    choose_accel("auto", tmp_path / "c", SPEC, device=device, probe=Probe("says nothing"))
    boot_id.write_text("second\n")
    probe = Probe("")
    chosen = choose_accel("auto", tmp_path / "c", SPEC, device=device, probe=probe)
    assert chosen.name == "kvm" and probe.asked == ["kvm"]


def test_a_kernel_that_is_silent_everywhere_proves_nothing(tmp_path: Path, device: Path) -> None:
    broken = Probe("says nothing", tcg="says nothing")
    choose_accel("auto", tmp_path / "c", SPEC, device=device, probe=broken)
    assert broken.asked == ["kvm", "tcg"]
    good = Probe("")
    chosen = choose_accel("auto", tmp_path / "c", SPEC, device=device, probe=good)
    assert chosen.name == "kvm"


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"boot_id": 1}'])
def test_a_damaged_verdict_is_ignored(tmp_path: Path, device: Path, damage: str) -> None:
    cache = tmp_path / "c"
    cache.mkdir()
    (cache / "kvm.json").write_text(damage)
    probe = Probe("")
    assert choose_accel("auto", cache, SPEC, device=device, probe=probe).name == "kvm"
    assert json.loads((cache / "kvm.json").read_text())["obstacle"] == ""


def test_a_probe_without_qemu_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "not installed" in accel.first_line(SPEC)
