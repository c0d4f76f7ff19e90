# SPDX-License-Identifier: GPL-2.0-only
"""KVM or TCG: what is tried, what is believed, what is remembered."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness.core.errors import MachineError
from harness.vm import accel
from harness.vm.accel import choose_accel, device_obstacle, last_words
from harness.vm.machine import QEMU, GuestSpec

SPEC = GuestSpec(Path("/k/vmlinux"), None, "microvm", "tcg", Path("/r"), "key")


@dataclass
class Probe:
    """A probe whose answers are given; it keeps what it was asked."""

    kvm: str = ""
    tcg: str = ""
    asked: list[str] = field(default_factory=list)

    def __call__(self, spec: GuestSpec) -> str:
        self.asked.append(spec.accel)
        return self.kvm if spec.accel == "kvm" else self.tcg


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "kvm"
    path.write_bytes(b"")
    monkeypatch.setattr(accel, "DEVICE", path)
    return path


@pytest.fixture
def probe(device: Path, monkeypatch: pytest.MonkeyPatch) -> Probe:
    made = Probe()
    monkeypatch.setattr(accel, "first_line", made)
    return made


def test_kvm_that_runs_a_guest_is_taken(tmp_path: Path, probe: Probe) -> None:
    assert choose_accel("auto", tmp_path, SPEC).name == "kvm"
    assert probe.asked == ["kvm"]


def test_kvm_that_opens_and_runs_nothing_is_not(tmp_path: Path, probe: Probe) -> None:
    probe.kvm = "an ordinary guest says nothing in 8 s"
    chosen = choose_accel("auto", tmp_path, SPEC)
    assert chosen.name == "tcg"
    assert "an ordinary guest says nothing" in chosen.reason
    assert "\n" not in chosen.reason


def test_asking_for_kvm_where_it_does_not_work_is_an_error(tmp_path: Path, probe: Probe) -> None:
    probe.kvm = "says nothing"
    with pytest.raises(MachineError, match="says nothing") as caught:
        choose_accel("kvm", tmp_path, SPEC)
    assert caught.value.exit_code == 3
    assert "ACCEL=tcg" in str(caught.value.next_step)


def test_the_reason_is_the_error_and_no_warning_before_it() -> None:
    warning = "qemu: -accel kvm: warning: Number of SMP cpus requested (4) exceeds ..."
    error = "qemu: error: failed to set MSR 0x10a to 0x69"
    assert last_words([warning, "", error, "more"]) == error
    assert last_words([warning]) == warning
    assert last_words([]) == ""


def test_asking_for_tcg_probes_nothing(tmp_path: Path, probe: Probe) -> None:
    assert choose_accel("tcg", tmp_path, SPEC).name == "tcg"
    assert probe.asked == []


def test_no_permission_names_the_group(device: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        device.chmod(0)
        assert "group kvm" in device_obstacle()

    def refuse(*_: object) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "open", refuse)
    assert "group kvm" in device_obstacle()


def test_without_the_device_nothing_is_probed(tmp_path: Path, probe: Probe, device: Path) -> None:
    device.unlink()
    chosen = choose_accel("auto", tmp_path, SPEC)
    assert chosen.name == "tcg" and probe.asked == []
    assert f"there is no {device}" in chosen.reason


@pytest.mark.parametrize("obstacle", ["", "says nothing"])
def test_the_verdict_is_kept(tmp_path: Path, probe: Probe, obstacle: str) -> None:
    probe.kvm = obstacle
    one = choose_accel("auto", tmp_path, SPEC)
    probe.kvm, probe.asked = "different", []
    assert choose_accel("auto", tmp_path, SPEC) == one
    assert probe.asked == []


def test_another_boot_asks_again(
    tmp_path: Path, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot_id = tmp_path / "boot_id"
    boot_id.write_text("first\n")
    monkeypatch.setattr(accel, "BOOT_ID", boot_id)
    probe.kvm = "says nothing"
    choose_accel("auto", tmp_path, SPEC)
    boot_id.write_text("second\n")
    probe.kvm, probe.asked = "", []
    assert choose_accel("auto", tmp_path, SPEC).name == "kvm"
    assert probe.asked == ["kvm"]


def test_another_qemu_asks_again(
    tmp_path: Path, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    qemu = tmp_path / QEMU
    qemu.touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    choose_accel("auto", tmp_path, SPEC)
    os.utime(qemu, (0, 0))
    choose_accel("auto", tmp_path, SPEC)
    assert probe.asked == ["kvm", "kvm"]


def test_a_kernel_that_is_silent_everywhere_proves_nothing(tmp_path: Path, probe: Probe) -> None:
    probe.kvm = probe.tcg = "says nothing"
    choose_accel("auto", tmp_path, SPEC)
    assert probe.asked == ["kvm", "tcg"]
    probe.kvm = ""
    assert choose_accel("auto", tmp_path, SPEC).name == "kvm"


@pytest.mark.parametrize("damage", ["", "{", "\n"])
def test_a_damaged_verdict_is_ignored(tmp_path: Path, probe: Probe, damage: str) -> None:
    (tmp_path / "kvm.txt").write_text(damage)
    assert choose_accel("auto", tmp_path, SPEC).name == "kvm"
    assert probe.asked == ["kvm"]
    assert (tmp_path / "kvm.txt").read_text().endswith("\n")


def test_a_probe_without_qemu_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "not installed" in accel.first_line(SPEC)
