# SPDX-License-Identifier: GPL-2.0-only
"""KVM where KVM works, TCG where it does not.

That ``/dev/kvm`` opens proves nothing (docs/vm.md). So the probe guest is the very kernel
that is about to be booted, and KVM works if its first line comes out. With working KVM that
takes 0.2 s and under TCG 0.3 s, so ``PROBE`` seconds of silence are a verdict even on a busy
machine. A kernel that is silent under TCG too says nothing about KVM: no verdict is kept.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from harness.core.atomic import write_atomically
from harness.core.errors import MachineError
from harness.vm.console import Console
from harness.vm.machine import QEMU, GuestSpec
from harness.vm.qemu import Qemu

PROBE = 8.0  # seconds
FIRST_LINE = "Linux version"
DEVICE = Path("/dev/kvm")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Accel:
    """The choice and, in one line, its reason."""

    name: Literal["kvm", "tcg"]
    reason: str


def device_obstacle() -> str:
    """Why KVM cannot even be tried here; '' if it can."""
    try:
        os.close(os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        return f"there is no {DEVICE}"
    except PermissionError:
        return f"no permission for {DEVICE}: add yourself to the group kvm (usermod -aG kvm)"
    except OSError as error:
        return f"{DEVICE} does not open: {error.strerror}"
    return ""


def last_words(lines: Sequence[str]) -> str:
    """The first line of what QEMU complained of, warnings passed over; '' if it said nothing."""
    said = [line for line in lines if line.strip()]
    return next((line for line in said if "warning:" not in line), said[0] if said else "")


def first_line(spec: GuestSpec) -> str:
    """Boots a probe guest to its first line: '' if that came, else what happened instead."""
    with tempfile.TemporaryDirectory(prefix="harness-probe-") as name:
        folder = Path(name)
        try:
            qemu = Qemu.start(spec, folder / "qemu.log", "none")
        except MachineError as error:
            return f"QEMU ends with: {last_words(error.what.splitlines()[1:]) or error.what}"
        console = Console(qemu.console, folder / "console.log", lambda line: None)
        try:
            if console.wait_for(FIRST_LINE, PROBE):
                return ""
            if qemu.alive:
                return f"an ordinary guest says nothing in {PROBE:.0f} s"
            said = last_words(qemu.log.read_text(errors="replace").splitlines())
            return f"QEMU ends with: {said or qemu.process.poll()}"
        finally:
            qemu.kill()
            console.close()


def kvm_obstacle(cache: Path, spec: GuestSpec) -> str:
    """Why this guest does not run under KVM here; '' if it does.

    Args:
        cache: folder that keeps the verdict for this boot of this machine, and this QEMU.
    """
    holds_for = BOOT_ID.read_text().strip() if BOOT_ID.exists() else ""
    if binary := shutil.which(QEMU):
        holds_for += f" {binary} {Path(binary).stat().st_mtime_ns}"
    path = cache / "kvm.txt"
    if path.exists():
        kept, _, obstacle = path.read_text().partition("\n")
        if kept == holds_for:
            return obstacle
    obstacle = first_line(replace(spec, accel="kvm"))
    if not obstacle or not first_line(replace(spec, accel="tcg")):
        write_atomically(path, f"{holds_for}\n{obstacle}")
    return obstacle


def choose_accel(asked: str, cache: Path, spec: GuestSpec) -> Accel:
    """What to run ``spec`` under (its own ``accel`` does not count).

    Args:
        asked: 'auto', 'kvm' or 'tcg'.

    Raises:
        MachineError: KVM was asked for and does not work here.
    """
    if asked == "tcg":
        return Accel("tcg", "asked for")
    obstacle = device_obstacle() or kvm_obstacle(cache, spec)
    if not obstacle:
        return Accel("kvm", "a probe guest ran under it")
    if asked == "kvm":
        raise MachineError(
            f"ACCEL=kvm, and KVM does not work here: {obstacle}",
            next_step="ACCEL=tcg, or a machine whose KVM runs guests",
        )
    return Accel("tcg", f"KVM does not work here: {obstacle}")
