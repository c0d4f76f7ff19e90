# SPDX-License-Identifier: GPL-2.0-only
"""KVM or TCG: what is tried, what is believed, what is remembered."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.core.errors import MachineError, SeriesError
from harness.core.events import AccelChosen
from harness.vm import accel
from harness.vm.accel import (
    KvmVerdict,
    choose_accel,
    device_obstacle,
    in_one_line,
    last_words,
)
from harness.vm.machine import QEMU

HANGS = "it hangs"


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "kvm"
    path.write_bytes(b"")
    monkeypatch.setattr(accel, "DEVICE", path)
    return path


@pytest.fixture
def verdict(tmp_path: Path, device: Path) -> KvmVerdict:
    """Of a machine with the device, whose KVM nobody has tried."""
    return KvmVerdict(tmp_path)


def test_kvm_is_tried_where_there_is_a_device(verdict: KvmVerdict) -> None:
    assert choose_accel("auto", verdict).accel == "kvm"


def test_kvm_that_is_known_to_fail_is_not_tried(verdict: KvmVerdict) -> None:
    verdict.keep(HANGS)
    chosen = choose_accel("auto", verdict)
    assert (chosen.accel, chosen.reason) == ("tcg", f"KVM does not work here: {HANGS}")


def test_kvm_that_is_asked_for_is_tried_again(tmp_path: Path, verdict: KvmVerdict) -> None:
    verdict.keep(HANGS)
    assert choose_accel("kvm", KvmVerdict(tmp_path, asked=True)).accel == "kvm"


def test_asking_for_tcg_asks_nothing(verdict: KvmVerdict, device: Path) -> None:
    device.unlink()
    assert choose_accel("tcg", verdict) == AccelChosen("tcg", "asked for")


def test_asking_for_kvm_without_the_device_is_an_error(verdict: KvmVerdict, device: Path) -> None:
    device.unlink()
    with pytest.raises(MachineError, match="there is no") as caught:
        choose_accel("kvm", verdict)
    assert caught.value.exit_code == 3
    assert "ACCEL=tcg" in str(caught.value.next_step)
    chosen = choose_accel("auto", verdict)
    assert chosen.accel == "tcg" and f"there is no {device}" in chosen.reason


def test_no_permission_names_the_group(device: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        device.chmod(0)
        assert "group kvm" in device_obstacle()

    def refuse(*_: object) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "open", refuse)
    assert "group kvm" in device_obstacle()


def test_the_reason_is_the_error_and_no_warning_before_it() -> None:
    warning = "qemu: -accel kvm: warning: Number of SMP cpus requested (4) exceeds ..."
    error = "qemu: error: failed to set MSR 0x10a to 0x69"
    assert last_words([warning, "", error, "more"]) == error
    assert last_words([warning]) == warning
    assert last_words([]) == ""


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("QEMU ended at once:\nwarning: x\nqemu: failed", "QEMU ended at once: qemu: failed"),
        ("it hangs (8 s); last line:\n[ 0.1] mem", "it hangs (8 s); last line: [ 0.1] mem"),
        ("does not boot: BUG in f\nBUG: x\nRIP: f", "does not boot: BUG in f"),
        ("it is silent", "it is silent"),
    ],
)
def test_a_failure_in_one_line(what: str, line: str) -> None:
    assert in_one_line(SeriesError(what)) == line


@pytest.mark.parametrize("obstacle", ["", HANGS])
def test_the_verdict_is_kept(tmp_path: Path, verdict: KvmVerdict, obstacle: str) -> None:
    assert verdict.known() is None
    verdict.keep(obstacle)
    assert KvmVerdict(tmp_path).known() == obstacle
    verdict.keep("another")
    assert verdict.known() == "another"


def test_it_does_not_hold_for_another_boot(
    tmp_path: Path, verdict: KvmVerdict, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot_id = tmp_path / "boot_id"
    boot_id.write_text("first\n")
    monkeypatch.setattr(accel, "BOOT_ID", boot_id)
    verdict.keep(HANGS)
    boot_id.write_text("second\n")
    assert verdict.known() is None


def test_it_does_not_hold_for_another_qemu(
    tmp_path: Path, verdict: KvmVerdict, monkeypatch: pytest.MonkeyPatch
) -> None:
    qemu = tmp_path / QEMU
    qemu.touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    verdict.keep(HANGS)
    assert verdict.known() == HANGS
    os.utime(qemu, (0, 0))
    assert verdict.known() is None


@pytest.mark.parametrize("damage", ["", "{", "\n"])
def test_a_damaged_verdict_is_ignored(tmp_path: Path, verdict: KvmVerdict, damage: str) -> None:
    (tmp_path / "kvm.txt").write_text(damage)
    assert verdict.known() is None
    verdict.keep("")
    assert verdict.known() == ""
