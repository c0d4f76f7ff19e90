# SPDX-License-Identifier: GPL-2.0-only
"""What ran, case by case: a plugin of QEMU's marks each address whose block of code has run.

A block ends with the first jump, call or return, so that all of it runs once it is entered,
but for one in which an access to memory faults and is not tried again. The guest stands still
for nothing, and code without a watched address costs nothing. Behind each case the marks are
taken away, so that the next one makes its own.
"""

from __future__ import annotations

import mmap
import re
import threading
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from harness.core import proc
from harness.core.errors import MachineError
from harness.core.events import CaseId
from harness.core.store import Store
from harness.vm.machine import QEMU, CodeWatch

SOURCE = Path(__file__).with_name("marks.c")
# Of QEMU's interface for plugins; a QEMU takes some of them. 7.2 has 1, 10.0 has 5, and 11 takes
# nothing older than 7. One that marks.c does not know is not tried: its functions may be others.
VERSIONS = (1, 2, 3, 4, 5, 6, 7)
_MARK = re.compile(b"\x01")


def compile_plugin(version: int, plugin: Path) -> None:
    """Compiles it for one version of QEMU's interface; a MachineError: there is no compiler."""
    compiler = ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    compiler += ["-fvisibility=hidden", f"-DQEMU_PLUGIN_VERSION={version}"]
    proc.run_tool([*compiler, "-o", str(plugin), str(SOURCE)], "compiling QEMU's plugin")


def build_plugin(store: Store) -> Path:
    """The plugin, from the store or compiled now, which this machine's QEMU has loaded once.

    Raises:
        MachineError: there is no compiler, or QEMU takes no plugin.
    """

    def fill(draft: Path) -> None:
        plugin, marks = draft / "marks.so", draft / "marks"
        watch = CodeWatch(plugin, draft / "addresses")
        watch.addresses.write_bytes(bytes(8))
        marks.write_bytes(bytes(1))
        refusal: MachineError | None = None
        for version in VERSIONS:
            compile_plugin(version, plugin)
            nothing = [QEMU, "-machine", "none", "-nodefaults", "-display", "none"]
            try:
                proc.capture([*nothing, "-monitor", "stdio", *watch.options(marks)],
                             stdin=b"quit\n", problem=MachineError, timeout_s=60)  # fmt: skip
            except MachineError as error:
                refusal = error
            else:
                return
        raise MachineError(f"{QEMU} takes no plugin: {refusal}")

    entry = store.entry("plugin", [proc.version(QEMU)], fill)
    return entry.path / "marks.so"


@dataclass
class RanCode:
    """Which of the ``wanted`` addresses have run, in any number of guests.

    ``first``: in which order each first did, from 0, and in which case; None: in none, as at
    boot. ``cases``: all that ran in each case. ``read`` may be called from several threads.
    """

    wanted: frozenset[int]
    first: dict[int, tuple[int, CaseId | None]] = field(default_factory=dict)
    cases: dict[CaseId, set[int]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        self.order = sorted(self.wanted)

    def write_addresses(self, path: Path) -> None:
        """Writes the addresses as the plugin reads them."""
        path.write_bytes(array("Q", self.order).tobytes())

    def read(self, marks: Path, case: CaseId | None) -> None:
        """Takes a guest's marks away, as those of ``case``."""
        with open(marks, "r+b") as handle, mmap.mmap(handle.fileno(), 0) as marked:
            found = [match.start() for match in _MARK.finditer(marked)]
            for number in found:
                marked[number] = 0
        addresses = [self.order[number] for number in found]
        with self._lock:
            for address in addresses:
                self.first.setdefault(address, (len(self.first), case))
            if case is not None:
                self.cases.setdefault(case, set()).update(addresses)

    def first_of(self, addresses: Iterable[int]) -> tuple[int, CaseId | None] | None:
        """How ``first`` has the one of several addresses that ran before the others; None: none."""
        ran = [self.first[address] for address in addresses if address in self.first]
        return min(ran, key=lambda one: one[0], default=None)
