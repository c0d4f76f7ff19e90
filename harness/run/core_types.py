# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's types for who reads a core: a few of its objects, with all debug information.

The twin that decodes traces is built with DEBUG_INFO_REDUCED, in a third of the time and space:
it has functions and variables, and of structures the names alone.
"""

from __future__ import annotations

from pathlib import Path

from harness.core.errors import SeriesError
from harness.coverage.objects import TYPES, compile_objects
from harness.run.pipeline import Prepared
from harness.run.session import Session

# They have what runs, what is mapped, and what is mounted where; and none of the variables that
# drgn looks for: those of an object that is not linked are at no address (kernel/sched/core.o has
# the run queues).
OBJECTS = ("kernel/sched/fair.o", "mm/mmap.o", "fs/proc_namespace.o")


def build_types(session: Session, prepared: Prepared) -> tuple[Path, ...]:
    """The objects of the prepared kernel, from the store or compiled now.

    Raises:
        SeriesError, MachineError: as for any build.
    """
    tree, kernel = prepared.tree, prepared.kernel

    def fill(draft: Path) -> None:
        if len(compile_objects(tree, kernel, OBJECTS, draft, TYPES)) < len(OBJECTS):
            what = f"one of {', '.join(OBJECTS)} was not compiled"
            raise SeriesError(what, evidence=tree.log)

    version = tree.tools.toolchain.version
    inputs = prepared.applied.tree, kernel.config.text, version, OBJECTS, TYPES
    entry = session.store.entry("coretypes", inputs, fill, session.events.note,
                                also=("build", "coverage"))  # fmt: skip
    return tuple(sorted(entry.path.glob("*.o")))
