# SPDX-License-Identifier: GPL-2.0-only
"""Records what a real gdbstub says: tests/debugger/data/*.txt.

    .venv/bin/python -m tools.record_gdb VMLINUX SYSTEM_MAP OUTPUT

A guest is booted, its CPUs are stopped, read, held, stepped and let go, through the client that
the harness uses. Each line of the output is one read or write of the connection, its direction
first; bytes that are not printable are escaped.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import tempfile
from pathlib import Path

from harness.core.events import Events
from harness.core.settings import from_environment
from harness.core.store import Store
from harness.coverage.line_addresses import symbols_of
from harness.debugger.gdb_remote import Remote
from harness.image.rootfs import build_rootfs
from harness.vm.boot import boot
from harness.vm.machine import GuestSpec
from harness.vm.ssh import KeyPair


class Recording(socket.socket):
    """A connection that notes what passes through it."""

    log: list[str]

    def recv(self, *args: int) -> bytes:
        data = super().recv(*args)
        self.log.append("< " + data.decode("latin-1").encode("unicode_escape").decode())
        return data

    def sendall(self, data: bytes, *args: int) -> None:  # type: ignore[override]
        self.log.append("> " + data.decode("latin-1").encode("unicode_escape").decode())
        super().sendall(data, *args)


def main(vmlinux: Path, system_map: Path, output: Path) -> None:
    """Boots, records, writes."""
    settings = from_environment()
    rootfs = build_rootfs(settings, Store(settings.cache, settings.cache_limit), Events())
    where = symbols_of(system_map.read_text())["schedule_idle"][0]
    with tempfile.TemporaryDirectory() as folder:
        stub = Path(folder) / "gdb"
        spec = GuestSpec(vmlinux, "microvm", "tcg", rootfs.image, rootfs.host_key, gdb=str(stub))
        guest = boot(spec, Path(folder), "guest", KeyPair.generate())
        with contextlib.closing(guest):
            connection = Recording(socket.AF_UNIX)
            connection.log = []
            connection.settimeout(60)
            connection.connect(str(stub))
            exercise(Remote(connection), where)
            output.write_text("\n".join(connection.log) + "\n")


def exercise(remote: Remote, where: int) -> None:
    """Everything the client can do, once."""
    remote.attach(60.0)
    cpus = remote.cpus()
    remote.registers(1)
    remote.read_physical(0x1000000, 64)
    remote.insert(where)
    remote.resume(cpus)
    stopped = remote.wait(60.0)
    assert stopped is not None
    remote.remove(where)
    remote.step(stopped)
    remote.resume(cpu for cpu in cpus if cpu != stopped)
    assert remote.wait(0.05) is None
    remote.interrupt()
    remote.detach()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
