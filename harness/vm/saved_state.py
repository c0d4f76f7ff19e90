# SPDX-License-Identifier: GPL-2.0-only
"""A guest's state in a file, by migration: written once, read by any number of guests at once.

savevm wants every writable disk in qcow2, and the swap disk must stay raw, for the host searches
it. How QEMU writes and reads the file depends on what it has; docs/vm.md has the times:

* before 8.2: a program writes what QEMU sends (``exec:``); it reads a file that is open (``fd:``).
* from 8.2: QEMU opens the file itself (``file:``), and calls the older ways deprecated.
* from 9.0: each page of memory has a place of its own in it (the capability ``mapped-ram``).
"""

from __future__ import annotations

import time
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from harness.core.errors import MachineError

if TYPE_CHECKING:
    from harness.vm.qemu import Monitor, Qemu

FILE_SINCE = (8, 2)
MAPPED_SINCE = (9, 0)


def _open_by_qemu(monitor: Monitor, state: Path) -> str | None:
    """Where QEMU is to write to or read from; None: it is too old to open a file itself."""
    if monitor.version < FILE_SINCE:
        return None
    if monitor.version >= MAPPED_SINCE:
        mapped = {"capability": "mapped-ram", "state": True}
        monitor.command("migrate-set-capabilities", capabilities=[mapped])
    return f"file:{state}"


def begin_reading(monitor: Monitor, state: Path, opened: int) -> None:
    """Has a QEMU that waits for a state (``-incoming defer``) go on from it.

    Args:
        opened: the number of a descriptor of the file that QEMU has inherited.

    Raises:
        InternalError, MonitorClosedError, TimeoutError: see :meth:`Monitor.command`.
    """
    # An open file is 25 ms faster than a pipe, exec:cat.
    monitor.command("migrate-incoming", uri=_open_by_qemu(monitor, state) or f"fd:{opened}")


def write(qemu: Qemu, state: Path, memory_mb: int, timeout: float) -> None:
    """Writes a running guest's state within ``timeout`` seconds; the guest goes on afterwards.

    Raises:
        MachineError: QEMU could not write ``memory_mb`` MiB of memory and its own state there.
        InternalError, MonitorClosedError, TimeoutError: see :meth:`Monitor.command`.
    """
    monitor = qemu.monitor
    monitor.command("migrate-set-parameters", max_bandwidth=1 << 40)
    # Stopped by the migration itself: a guest stopped before would be restored stopped.
    uri = _open_by_qemu(monitor, state) or f"exec:cat > {quote(str(state))}"
    monitor.command("migrate", uri=uri)
    deadline = time.monotonic() + timeout
    while True:
        status = monitor.command("query-migrate").get("status")
        # "completed" comes before the guest has changed its state, and until
        # that is "postmigrate" QEMU refuses to let it go on.
        saved = status == "completed"
        if saved and monitor.command("query-status").get("status") == "postmigrate":
            break
        if status in ("failed", "cancelled") or time.monotonic() > deadline:
            raise MachineError(
                f"QEMU could not save the guest's state ({status})",
                evidence=qemu.log,
                next_step=f"is there room for {memory_mb} MB in {state.parent}?",
            )
        time.sleep(0.005)
    monitor.command("cont")
