# SPDX-License-Identifier: GPL-2.0-only
"""Whether the detectors were seen to work on this very kernel.

The outcome of ``make selftest-detectors`` is kept under the built kernel's key,
and every later run of the same kernel reports it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from harness.build.kernel import KernelBuild
from harness.core import events as ev
from harness.core.atomic import write_atomically
from harness.core.store import Store
from harness.core.usage import command


def _path(store: Store, kernel: KernelBuild) -> Path:
    return store.root / "counts" / f"detectors-{kernel.entry.name}.json"


def keep(store: Store, kernel: KernelBuild, canaries: Iterable[ev.CanaryFinished]) -> None:
    """Keeps the outcome for this kernel."""
    path = _path(store, kernel)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps([asdict(canary) for canary in canaries], indent=1) + "\n")


def known(store: Store, kernel: KernelBuild) -> tuple[ev.CanaryFinished, ...]:
    """What was proven for this kernel; nothing if it was never tried."""
    path = _path(store, kernel)
    if not path.is_file():
        return ()
    return tuple(ev.CanaryFinished(**record) for record in json.loads(path.read_text()))


def sentence(canaries: tuple[ev.CanaryFinished, ...]) -> str:
    """One line for the screen and the report."""
    if not canaries:
        return f"detectors: not proven on this kernel yet ({command('selftest-detectors')})"
    seen = sum(canary.ok for canary in canaries)
    missed = "".join(f", {canary.name} MISSED" for canary in canaries if not canary.ok)
    return f"detectors: {seen} of {len(canaries)} proven on this kernel{missed}"
