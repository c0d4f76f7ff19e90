# SPDX-License-Identifier: GPL-2.0-only
"""What ran, by what TCG has translated: QEMU's log names each block of code before it first runs.

A block ends with the first jump, call or return, so that all of it runs once it is entered,
but for one in which an access to memory faults and is not tried again. A block is translated
when it is about to run and not before, and once in each guest. The guest stands still for
nothing, and code outside the watched ranges costs nothing.

Source: accel/tcg/translator.c and cpu-exec.c of QEMU 7.2; ``-d in_asm`` with ``-dfilter``.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from harness.core.events import CaseId

_INSTRUCTION = re.compile(rb"^0x([0-9a-f]+):", re.M)


@dataclass
class TranslatedCode:
    """Which of the ``wanted`` addresses have run, read from the logs of any number of guests.

    ``first``: in which order each first did, from 0, and in which case; None: in none, as at
    boot. ``read`` may be called from several threads.
    """

    wanted: frozenset[int]
    first: dict[int, tuple[int, CaseId | None]] = field(default_factory=dict)
    _read: dict[Path, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def read(self, log: Path, case: CaseId | None) -> None:
        """Takes what a guest's log has got since it was read last, as of ``case``."""
        try:
            with open(log, "rb") as handle:
                handle.seek(self._read.get(log, 0))
                text = handle.read()
        except FileNotFoundError:  # a guest that ended before its kernel began
            return
        whole = text[: text.rfind(b"\n") + 1]  # a line may be half written
        found = {int(at, 16) for at in _INSTRUCTION.findall(whole)} & self.wanted
        with self._lock:
            self._read[log] = self._read.get(log, 0) + len(whole)
            for address in found:
                self.first.setdefault(address, (len(self.first), case))

    def first_of(self, addresses: Iterable[int]) -> tuple[int, CaseId | None] | None:
        """How ``first`` has the one of several addresses that ran before the others; None: none."""
        ran = [self.first[address] for address in addresses if address in self.first]
        return min(ran, key=lambda one: one[0], default=None)
