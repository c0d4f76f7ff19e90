# SPDX-License-Identifier: GPL-2.0-only
"""A guest's state in a file, by migration: written once, read by any number of guests at once.

savevm wants every writable disk in qcow2, and the swap disk must stay raw, for the host searches
it. From 8.2 on QEMU opens the file itself (``file:``). Before, a program writes what it sends
(``exec:``), and it reads a file that is open (``fd:``), which 11.1 refuses. docs/vm.md has the
times of each, and of ``mapped-ram``, which is not used.
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


def begin_reading(monitor: Monitor, state: Path, opened: int) -> None:
    """Has a QEMU that waits for a state (``-incoming defer``) go on from it.

    Args:
        opened: the number of a descriptor of the file that QEMU has inherited.

    Raises:
        InternalError, MonitorClosedError, TimeoutError: see :meth:`Monitor.command`.
    """
    uri = f"file:{state}" if monitor.version >= FILE_SINCE else f"fd:{opened}"
    monitor.command("migrate-incoming", uri=uri)


def write(qemu: Qemu, state: Path, memory_mb: int, timeout: float) -> None:
    """Writes a running guest's state within ``timeout`` seconds; the guest goes on afterwards.

    Raises:
        MachineError: QEMU could not write ``memory_mb`` MiB of memory and its own state there.
        InternalError, MonitorClosedError, TimeoutError: see :meth:`Monitor.command`.
    """
    monitor = qemu.monitor
    monitor.command("migrate-set-parameters", max_bandwidth=1 << 40)
    # Stopped by the migration itself: a guest stopped before would be restored stopped.
    opens_it = monitor.version >= FILE_SINCE
    uri = f"file:{state}" if opens_it else f"exec:cat > {quote(str(state))}"
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
