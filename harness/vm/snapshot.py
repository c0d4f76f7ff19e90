# SPDX-License-Identifier: GPL-2.0-only
"""A booted guest's state in a file, and new guests from it in a third of a boot's time.

By migration to a file rather than savevm: savevm wants every writable disk in
qcow2, and the swap disk must stay raw, for the host searches it; a state file
can also be read by any number of guests at once. The swap disk is not part of
the state: each restored guest gets an empty one, as the saved one had.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from harness.core.errors import InternalError, MachineError
from harness.vm.boot import PATIENCE, Patience, ssh_failure
from harness.vm.guest import Guest
from harness.vm.machine import GuestSpec
from harness.vm.monitor import MonitorClosedError
from harness.vm.qemu import Qemu
from harness.vm.ssh import KeyPair, SshError
from harness.vm.swap_disk import make_swap

# Read once before the state is saved, so that no restored guest starts cold:
# the first `import ctypes` costs 1.1 s under TCG and the second 0.3 s.
WARM = "python3 -c 'import ctypes, json, mmap, os, signal, subprocess, struct, time'"


@dataclass(frozen=True)
class Snapshot:
    """A saved guest; ``seconds``: what saving took."""

    state: Path
    spec: GuestSpec
    keys: KeyPair
    seconds: float


def save(guest: Guest, state: Path, *, warm: str = WARM, timeout: float = 60.0) -> Snapshot:
    """Saves a guest that no case has run in yet; it goes on afterwards.

    Raises:
        MachineError: QEMU could not write the state.
        SeriesError: the guest does not answer, before or after.
    """
    try:
        if warm:
            guest.exec(warm, timeout)
    except (SshError, TimeoutError) as error:
        raise ssh_failure(guest, str(error)) from error
    # No connection may be open: in a restored guest nobody would be at its other end.
    guest.disconnect()
    start = time.monotonic()
    monitor = guest.qemu.monitor
    try:
        monitor.command("migrate-set-parameters", max_bandwidth=1 << 40)
        # Stopped by the migration itself: a guest stopped before would be restored stopped.
        monitor.command("migrate", uri=f"exec:cat > {quote(str(state))}")
        deadline = time.monotonic() + timeout
        while True:
            status = monitor.command("query-migrate").get("status")
            # "completed" comes before the guest has changed its state, and until
            # that is "postmigrate" QEMU refuses to let it go on.
            saved = status == "completed"
            if saved and monitor.command("query-status").get("status") == "postmigrate":
                break
            if status in ("failed", "cancelled") or time.monotonic() > deadline:
                break
            time.sleep(0.005)
        if status != "completed":
            raise MachineError(
                f"QEMU could not save the guest's state ({status})",
                evidence=guest.qemu.log,
                next_step=f"is there room for {guest.spec.memory_mb} MB in {state.parent}?",
            )
        monitor.command("cont")
    except MonitorClosedError as error:
        raise MachineError(
            "QEMU ended while saving the guest's state", evidence=guest.qemu.log
        ) from error
    seconds = time.monotonic() - start
    try:
        guest.connect(timeout)
    except SshError as error:
        raise ssh_failure(guest, str(error)) from error
    return Snapshot(state, guest.spec, guest.keys, seconds)


def restore(
    snapshot: Snapshot,
    folder: Path,
    name: str,
    *,
    console_log: Path | None = None,
    patience: Patience = PATIENCE,
) -> Guest:
    """A new guest that goes on where the saved one was; it has the same boot id.

    Raises:
        MachineError: QEMU could not read the state.
        SeriesError: the guest does not answer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    spec = snapshot.spec
    swap = folder / f"{name}.swap"
    make_swap(swap, spec.swap_mb)
    qemu = Qemu.start(
        spec, folder / f"{name}.qemu.log", snapshot.keys.public, swap=swap, restore=snapshot.state
    )
    guest = Guest(spec, folder, name, qemu, snapshot.keys, console_log=console_log)
    guest.restored = True
    try:
        try:
            qemu.find_port()
            # Before the guest runs, a connection would be made and its first packet lost.
            qemu.monitor.wait_event("RESUME", patience.login)
        except (MonitorClosedError, TimeoutError, InternalError) as error:
            raise MachineError(
                f"QEMU could not restore the guest:\n{qemu.complaints()}", evidence=qemu.log
            ) from error
        try:
            guest.connect(patience.login)
            guest.hello(patience.login)
        except (SshError, TimeoutError) as error:
            raise ssh_failure(guest, str(error)) from error
    except BaseException:
        guest.close()
        raise
    guest.boot_seconds = time.monotonic() - start
    return guest
