# SPDX-License-Identifier: GPL-2.0-only
"""What a worker of a Dask scheduler says of itself when it joins: whether it can run guests."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from distributed import Worker, WorkerPlugin

from harness.core.store import HARNESS, file_digest
from harness.engine.cluster import GUEST, TOPIC

QEMU = "qemu-system-x86_64"


def code_digest() -> str:
    """Of all of the program: a worker with another one would not do the same."""
    return file_digest(*sorted(p for p in HARNESS.rglob("*.py") if p.is_file()))


@dataclass(frozen=True)
class GuestPlugin(WorkerPlugin):
    """What each worker does when it joins: it offers guests, or says why not.

    ``code``: see ``code_digest``; ``mark``: a file that the client has written into the store.
    """

    code: str
    mark: Path
    name: str = "kernel-series-harness"

    def lacking(self) -> str | None:
        """Why this worker can run no guest; None: it can."""
        if shutil.which(QEMU) is None:
            return f"{QEMU} is not installed"
        if not self.mark.is_file():
            return f"HARNESS_CACHE={self.mark.parent.parent} is not the client's store here"
        if code_digest() != self.code:
            return "this program is another version there"
        return None

    async def setup(self, worker: Worker) -> None:
        """Called by Dask on each worker, those that come later too."""
        why = self.lacking()
        if why is None:
            await worker.set_resources(**{GUEST: 1})
        worker.log_event(TOPIC, f"{worker.address}: " + (why or "runs guests"))
