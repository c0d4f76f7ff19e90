# SPDX-License-Identifier: GPL-2.0-only
"""KVM where KVM works, TCG where it does not: what is tried, and what is known from before.

That ``/dev/kvm`` opens proves nothing, nor does a kernel's first line (docs/vm.md). So the
first guest of a run is the probe: ``guests.py`` boots it under KVM, and under TCG if that
fails, and keeps here what it found. It holds until this machine or its QEMU is another.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.atomic import write_atomically
from harness.core.errors import HarnessError, MachineError
from harness.core.events import AccelChosen
from harness.vm.machine import QEMU

DEVICE = Path("/dev/kvm")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
USE_TCG = "ACCEL=tcg, or a machine whose KVM runs guests"


@dataclass(frozen=True)
class KvmVerdict:
    """What is known of KVM on this machine. ``cache``: the folder that keeps it.

    ``asked``: ACCEL=kvm was set. What is known is not believed then, and TCG takes no one's place.
    """

    cache: Path
    asked: bool = False

    @property
    def _path(self) -> Path:
        return self.cache / "kvm.txt"

    def known(self) -> str | None:
        """'' if guests have run under KVM, else why not; None: it is not known."""
        if not self._path.exists():
            return None
        holds_for, separator, obstacle = self._path.read_text().partition("\n")
        return obstacle if separator and holds_for == _machine() else None

    def keep(self, obstacle: str) -> None:
        """Keeps, for this boot of this machine and this QEMU, '' or why it runs no guest."""
        if self.known() != obstacle:
            write_atomically(self._path, f"{_machine()}\n{obstacle}")


def _machine() -> str:
    """What a verdict holds for: this boot of this machine, and this QEMU."""
    name = BOOT_ID.read_text().strip() if BOOT_ID.exists() else ""
    if binary := shutil.which(QEMU):
        name += f" {binary} {Path(binary).stat().st_mtime_ns}"
    return name


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


def in_one_line(failure: HarnessError) -> str:
    """Why a guest did not come up; of what is quoted there, the line that says most."""
    first, *quoted = failure.what.splitlines()
    return f"{first} {last_words(quoted).strip()}" if first.endswith(":") else first


def choose_accel(asked: str, verdict: KvmVerdict) -> AccelChosen:
    """What to boot the first guest under.

    Args:
        asked: 'auto', 'kvm' or 'tcg'.

    Raises:
        MachineError: KVM was asked for and there is none.
    """
    if asked == "tcg":
        return AccelChosen("tcg", "asked for")
    obstacle = device_obstacle()
    if obstacle and asked == "kvm":
        raise MachineError(f"ACCEL=kvm, and KVM does not work here: {obstacle}", next_step=USE_TCG)
    known = verdict.known()
    if asked != "kvm":
        obstacle = obstacle or known or ""
    if obstacle:
        return AccelChosen("tcg", f"KVM does not work here: {obstacle}")
    return AccelChosen("kvm", "guests have run under KVM here" if known == "" else "KVM is tried")
