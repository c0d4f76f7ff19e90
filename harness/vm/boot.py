# SPDX-License-Identifier: GPL-2.0-only
"""From a guest's description, or another's saved state, to its first command.

And what to say of one that does not get there. Each guest gets an empty swap disk of its own.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pexpect.exceptions import EOF, TIMEOUT

from harness.core.command_table import HOW_TO_MAKE_A_ROOTFS
from harness.core.errors import (
    HarnessError,
    InternalError,
    InvocationError,
    MachineError,
    SeriesError,
)
from harness.vm import protocol, saved_state
from harness.vm.channel import CommandTimeoutError, SshError
from harness.vm.guest import Guest, marks_of
from harness.vm.machine import GuestSpec
from harness.vm.qemu import MonitorClosedError, Qemu
from harness.vm.serial_dialogue import SerialDialogue, log_in
from harness.vm.splats import Splat
from harness.vm.ssh import KeyPair
from harness.vm.state_dump import kvm_suspect
from harness.vm.swap_disk import make_swap

# Run before a state is saved, so that no restored guest starts cold: the first
# `import ctypes` costs 1.1 s under TCG and the second 0.3 s.
WARM = "python3 -c 'import ctypes, json, mmap, os, signal, subprocess, struct, time'"
SAVE_TIMEOUT_S = 60.0  # for each step of saving a guest


@dataclass(frozen=True)
class Patience:
    """Seconds. ``stall``: without a byte on the console; ``total``: from start to ready.

    ``login``: from there to the first command; of a saved state to go on, too.

    A healthy boot under TCG takes 1.5 s here and says something every 0.2 s;
    the defaults leave a factor of 40 for a slow and busy machine.
    """

    stall: float = 40.0
    total: float = 240.0
    login: float = 60.0

    def on_trial(self) -> Patience:
        """A quarter, for a KVM that may hang: one that works needs less than TCG does."""
        return Patience(self.stall / 4, self.total / 4, self.login / 4)


# An init such as systemd waits in silence, up to 90 s for one unit.
OWN_INIT = Patience(stall=120.0, total=600.0)


def boot(
    spec: GuestSpec,
    folder: Path,
    name: str,
    keys: KeyPair,
    *,
    state: Path | None = None,
    console_log: Path | None = None,
    patience: Patience | None = None,
    report: Callable[[Splat], None] = lambda splat: None,
) -> Guest:
    """Brings a guest to its first command; ``report`` hears what killed one that fails.

    Args:
        state: that of a guest of the same ``spec`` and ``keys`` (``save``), to go on from
            there; it has the same boot id.

    Raises:
        SeriesError: the kernel did not come up; the message says how far it came.
        MachineError: QEMU is missing, would not run or could not read the state.
        InvocationError: nobody can log in on an image's serial console.
    """
    patience = patience or (OWN_INIT if spec.login else Patience())
    folder.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    swap = folder / f"{name}.swap"
    make_swap(swap, spec.swap_mb)
    log = folder / f"{name}.qemu.log"
    marks = None
    if spec.watch is not None and spec.accel == "tcg":
        marks = marks_of(folder, name)
        marks.write_bytes(bytes(spec.watch.count))
    try:
        qemu = Qemu.start(spec, log, keys.public, swap=swap, restore=state, marks=marks)
    except BaseException:
        swap.unlink()
        raise
    guest = Guest(spec, folder, name, qemu, keys, console_log=console_log)
    try:
        if state is not None:
            _wait_until_resumed(qemu, patience.login)
        elif not _wait_until_ready(guest, patience):
            raise boot_failure(guest, time.monotonic() - start)
        try:
            guest.connect(patience.login)
            guest.hello(patience.login)
        except (SshError, TimeoutError) as error:
            raise ssh_failure(guest, str(error)) from error
    except BaseException:
        guest.close()
        for splat in guest.splats():
            report(splat)
        raise
    guest.boot_seconds = time.monotonic() - start
    return guest


def _wait_until_ready(guest: Guest, patience: Patience) -> bool:
    """Whether our init says that the SSH server listens."""
    with contextlib.suppress(MonitorClosedError):  # a kernel that dies in its first moments
        guest.qemu.find_port()
    with SerialDialogue(guest.console, since=0, stall=patience.stall) as line:
        login = guest.spec.login
        here = login is None or log_in(line, login, patience.total, guest.console.log)
        left = patience.total if here else 0.0
        ends = [protocol.HEAD + word for word in (protocol.READY, protocol.SSHD_ENDED)]
        if line.expect_exact([*ends, EOF, TIMEOUT], timeout=left) == 0:
            return True
        line.rest()  # the line of the marker, and what explains it
        return False


def _wait_until_resumed(qemu: Qemu, timeout: float) -> None:
    try:
        qemu.find_port()
        # Before the guest runs, a connection would be made and its first packet lost.
        qemu.monitor.wait_event("RESUME", timeout)
    except (MonitorClosedError, TimeoutError, InternalError) as error:
        what = f"QEMU could not restore the guest:\n{qemu.complaints()}"
        raise MachineError(what, evidence=qemu.log) from error


def save(guest: Guest, state: Path) -> None:
    """Saves a guest that no case has run in yet; it goes on afterwards.

    Raises MachineError: QEMU could not write it; SeriesError: the guest does not answer.
    """
    try:
        guest.exec(WARM, SAVE_TIMEOUT_S)
        # No connection may be open: in a restored guest nobody would be at its other end.
        guest.disconnect()
        saved_state.write(guest.qemu, state, guest.spec.memory_mb, SAVE_TIMEOUT_S)
        guest.connect(SAVE_TIMEOUT_S)
    except (SshError, CommandTimeoutError) as error:
        raise ssh_failure(guest, str(error)) from error
    except (MonitorClosedError, TimeoutError) as error:
        raise MachineError(
            "QEMU ended, or fell silent, while saving the guest's state", evidence=guest.qemu.log
        ) from error


# Seen with 30 processes waiting for two processors: check_timer() counts ticks in a
# loop of its own, in which a virtual CPU that the host does not run gets none.
_STARVED = "IO-APIC + timer doesn't work"


def _complaint(guest: Guest) -> HarnessError | None:
    """What the kernel itself says: the worst of it, and its beginning."""
    guest.settle()
    splats = [splat for splat in guest.splats() if splat.spoils] or guest.splats()
    if not splats:
        return None
    if _STARVED in splats[0].title:
        return MachineError(
            f"the guest did not get its timer interrupts in time: {splats[0].title}",
            evidence=guest.console.log,
            next_step="again once this machine has less to do; if it stays so, it is the series",
        )
    beginning = "\n".join(splats[0].text.splitlines()[:12])  # the whole follows elsewhere
    return SeriesError(
        f"the kernel does not boot: {splats[0].title}\n{beginning}",
        evidence=guest.console.log,
        next_step="PATCHES=0 shows whether the bare base boots",
    )


def boot_failure(guest: Guest, seconds: float) -> HarnessError:
    """Names the reason why the guest never became ready. Settles its console first."""
    if not guest.alive:
        guest.console.join()
    complaint = _complaint(guest)
    lines, log = guest.console.lines, guest.console.log
    of_kvm = guest.spec.accel == "kvm" and complaint is None
    if of_kvm and (why := kvm_suspect(guest.qemu, guest.console, False)):
        return MachineError(why, evidence=guest.qemu.log)
    if not any(line.strip() for line in lines):
        code = guest.qemu.process.poll()
        if code not in (None, 0):
            return MachineError(
                f"QEMU ended with status {code} before the kernel said anything:\n"
                f"{guest.qemu.complaints()}",
                evidence=guest.qemu.log,
            )
        how = "ended" if code == 0 else f"is silent after {seconds:.0f} s"
        return SeriesError(
            f"the kernel does not boot: no output at all, and the guest {how}",
            evidence=log,
            next_step=f"MACHINE=q35 boots the slow way; this was {guest.spec.machine}"
            f" under {guest.spec.accel}",
        )
    if complaint is not None:
        return complaint
    said = [line.split(protocol.HEAD, 1)[1] for line in lines if protocol.HEAD in line]
    step = said[-1] if said else ""
    last = next((line for line in reversed(lines) if line.strip()), "")
    if step.startswith(protocol.SSHD_ENDED):
        return SeriesError(
            "the guest came up and its SSH server ended:\n"
            + "\n".join(line for line in lines if protocol.HEAD + protocol.SSHD in line)[-2000:],
            evidence=log,
        )
    if guest.spec.login is not None and guest.alive and not step:
        return InvocationError(
            f"the image's own init asks for no login on the serial console; last line:\n{last}",
            evidence=log,
            next_step=HOW_TO_MAKE_A_ROOTFS,
        )
    where = f"after our init's step '{step}'" if step else "before our init started"
    if not guest.alive:
        return SeriesError(
            f"the kernel does not boot: the guest ended {where}; last line:\n{last}", evidence=log
        )
    return SeriesError(
        f"the kernel does not boot: it hangs {where} ({seconds:.0f} s); last line:\n{last}",
        evidence=guest.dump_state(),
        next_step=f"the whole console is in {log}",
    )


def ssh_failure(guest: Guest, error: str) -> HarnessError:
    """The SSH server said it was ready, and no command came through."""
    return _complaint(guest) or SeriesError(
        f"the guest came up and its SSH server listens, but no command came through: {error}",
        evidence=guest.dump_state(),
        next_step=f"the whole console is in {guest.console.log}",
    )
