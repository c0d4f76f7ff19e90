# SPDX-License-Identifier: GPL-2.0-only
"""A kernel that does not come up: the reason that is given, for each way not to."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.errors import InvocationError, MachineError, SeriesError
from harness.core.settings import Login
from harness.vm.boot import Patience, boot, boot_failure
from harness.vm.guest import Guest
from harness.vm.machine import GuestSpec
from harness.vm.qemu import MonitorClosedError, Qemu
from harness.vm.ssh import KeyPair
from tests.support.limits import NEVER_S, SOON_S
from tests.vm.fake_guest import WARNING, FakeGuest
from tests.vm.fake_serial import GuestEnd

PATIENT = Patience(stall=NEVER_S, total=NEVER_S, login=NEVER_S)
PANIC = "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\n"


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeGuest]:
    made = FakeGuest(tmp_path)
    yield made
    made.close()


@pytest.fixture
def booting(fake: FakeGuest, monkeypatch: pytest.MonkeyPatch) -> FakeGuest:
    """Makes ``boot`` start the stand-in instead of QEMU."""
    fake.qemu.serial.close()
    fake.guest.close()
    fake.qemu.process.code = None
    fake.qemu.serial = GuestEnd()
    fake.qemu.console = fake.qemu.serial.line
    monkeypatch.setattr(Qemu, "start", lambda *args, **named: fake.qemu)
    return fake


def start(
    fake: FakeGuest,
    folder: Path,
    patience: Patience = PATIENT,
    login: Login | None = None,
) -> Guest:
    spec = GuestSpec(folder / "k", "microvm", "tcg", folder / "r", fake.sshd.host_key)
    spec = replace(spec, login=login)
    return boot(spec, folder / "run", "g", fake.keys, patience=patience)


def test_a_boot_ends_with_the_first_command(booting: FakeGuest, tmp_path: Path) -> None:
    booting.print("Linux version 6.1\nharness: mounted\nharness: ready\n")
    guest = start(booting, tmp_path)
    assert guest.boot_id == "0000-boot"
    assert guest.boot_seconds > 0


def test_an_image_with_an_init_of_its_own_is_logged_in_on(
    booting: FakeGuest, tmp_path: Path
) -> None:
    def getty() -> None:
        booting.print("Linux version 6.1\nWelcome to Debian!\n\ndebian login: ")
        assert booting.qemu.serial.recv(100) == b"root\n"
        booting.print("root\r\nroot@debian:~# ")
        assert booting.qemu.serial.recv(100) == b"exec /harness/init adopt\n"
        booting.print("harness: mounted\nharness: ready\n")

    threading.Thread(target=getty, daemon=True).start()
    guest = start(booting, tmp_path, login=Login("root"))
    assert guest.boot_id == "0000-boot"


def test_an_image_without_a_getty_is_the_invocations_fault(
    booting: FakeGuest, tmp_path: Path
) -> None:
    booting.print("Linux version 6.1\nReached target multi-user.target\n")
    with pytest.raises(InvocationError, match="no login on the serial console") as caught:
        start(booting, tmp_path, replace(PATIENT, stall=SOON_S), login=Login("root"))
    assert "multi-user.target" in caught.value.what and "mmdebstrap" in str(caught.value.next_step)
    assert not booting.qemu.alive


def test_a_kernel_that_dies_before_the_login_is_not(booting: FakeGuest, tmp_path: Path) -> None:
    booting.print("Linux version 6.1\n" + PANIC)
    booting.qemu.process.code = 0
    booting.qemu.serial.close()
    with pytest.raises(SeriesError, match="Unable to mount root fs"):
        start(booting, tmp_path, login=Login("root"))


def test_an_early_death_leaves_no_guest_behind(booting: FakeGuest, tmp_path: Path) -> None:
    booting.print("Linux version 6.1\n" + PANIC)
    booting.qemu.process.code = 0
    booting.qemu.serial.close()
    with pytest.raises(SeriesError, match="Unable to mount root fs"):
        start(booting, tmp_path)
    assert not booting.qemu.alive


def test_a_death_before_the_first_question(
    booting: FakeGuest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone() -> int:
        booting.qemu.process.code = 0
        booting.qemu.serial.close()
        raise MonitorClosedError

    monkeypatch.setattr(booting.qemu, "find_port", gone)
    with pytest.raises(SeriesError, match="no output at all, and the guest ended"):
        start(booting, tmp_path)


def test_silence_on_the_way_is_a_hang(booting: FakeGuest, tmp_path: Path) -> None:
    booting.print("Linux version 6.1\nFreeing memory\n")
    with pytest.raises(SeriesError, match="hangs before our init started") as caught:
        start(booting, tmp_path, replace(PATIENT, stall=SOON_S))
    assert "Freeing memory" in caught.value.what
    assert caught.value.evidence is not None and caught.value.evidence.exists()


def test_another_key_of_the_guest_is_named(booting: FakeGuest, tmp_path: Path) -> None:
    booting.print("harness: ready\n")
    booting.sshd.public = KeyPair.generate().public
    booting.sshd.handler = lambda *_: 1
    with pytest.raises(SeriesError, match="no command came through"):
        start(booting, tmp_path)


def failure(fake: FakeGuest, text: str, *, code: int | None = None) -> Exception:
    """What is said of a guest that printed ``text`` and (with ``code``) ended."""
    fake.print(text)
    if text:
        last = re.escape(text.splitlines()[-1])
        assert fake.guest.console.wait_for(f"^{last}$", NEVER_S)
    if code is not None:
        fake.qemu.process.code = code
        fake.qemu.serial.close()
        fake.guest.console.join()
    return boot_failure(fake.guest, 1.0)


def test_no_output_and_alive(fake: FakeGuest) -> None:
    error = failure(fake, "")
    assert isinstance(error, SeriesError)
    assert "no output at all" in error.what and "silent" in error.what
    assert "MACHINE=q35" in str(error.next_step)


def test_no_output_and_ended(fake: FakeGuest) -> None:
    error = failure(fake, "", code=0)
    assert isinstance(error, SeriesError) and "the guest ended" in error.what


def test_no_output_and_qemu_complains(fake: FakeGuest) -> None:
    fake.qemu.log.write_text("Error loading uncompressed kernel without PVH ELF Note")
    error = failure(fake, "", code=1)
    assert isinstance(error, MachineError)
    assert "PVH ELF Note" in error.what and error.evidence == fake.qemu.log


def test_a_warning_of_qemu_does_not_make_silence_its_fault(fake: FakeGuest) -> None:
    fake.qemu.log.write_text("warning: host doesn't support requested feature")
    assert isinstance(failure(fake, ""), SeriesError)


def test_a_starved_timer_is_the_machine_at_fault(fake: FakeGuest) -> None:
    error = failure(
        fake,
        "[    0.024000][    T0] ..... failed.\n"
        "[    0.028000][    T0] Kernel panic - not syncing: IO-APIC + timer doesn't work!"
        "  Boot with apic=debug and send a report.  Then try booting with the 'noapic' option.\n"
        "[    0.028000][    T0] CPU: 0 PID: 0 Comm: swapper/0 Not tainted 6.1.192 #1 \n"
        "[    0.028000][    T0] ---[ end Kernel panic - not syncing: IO-APIC + timer ]---\n",
        code=0,
    )
    assert isinstance(error, MachineError)
    assert "did not get its timer interrupts" in error.what
    assert "less to do" in str(error.next_step)


def test_a_bug_at_boot_is_quoted_with_its_trace(fake: FakeGuest) -> None:
    text = (
        "Linux version 6.1\n------------[ cut here ]------------\nkernel BUG at mm/init.c:5!\n"
        "invalid opcode: 0000 [#1] SMP\nRIP: 0010:mem_thing+0x1/0x2\n"
        "---[ end trace 0000000000000000 ]---\n"
        "Kernel panic - not syncing: Attempted to kill the idle task!\n"
    )
    error = failure(fake, text, code=0)
    assert isinstance(error, SeriesError)
    assert "kernel BUG in mem_thing" in error.what
    assert "kernel BUG at mm/init.c:5!" in error.what
    assert error.evidence == fake.guest.console.log
    assert "PATCHES=0" in str(error.next_step)


def test_the_worst_complaint_is_the_reason(fake: FakeGuest) -> None:
    error = failure(fake, WARNING + PANIC, code=0)
    assert isinstance(error, SeriesError) and "kernel panic: VFS" in error.what


def test_sshd_that_ends_is_quoted(fake: FakeGuest) -> None:
    text = (
        "harness: network up\nharness: sshd: no hostkeys available\n"
        "harness: error: sshd ended with status 0x100\n"
    )
    error = failure(fake, text)
    assert isinstance(error, SeriesError) and "no hostkeys available" in error.what


def test_the_last_step_is_named(fake: FakeGuest) -> None:
    error = failure(fake, "Linux version\nharness: mounted\nharness: network up\nnoise\n")
    assert isinstance(error, SeriesError)
    assert "after our init's step 'network up'" in error.what and "noise" in error.what


def test_patience_is_long_for_a_slow_machine() -> None:
    assert Patience().stall >= 30
