# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's types for who reads a core: a few of its objects, with all debug information.

The twin that decodes traces is built with DEBUG_INFO_REDUCED, in a third of the time and space:
it has functions and variables, and of structures the names alone.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from harness.build.folder import marked
from harness.build.make import run_on
from harness.build.toolchain import environment, inside, make_argv
from harness.core import proc
from harness.core.errors import SeriesError
from harness.core.sandbox import taken
from harness.core.store import digest
from harness.run.pipeline import Prepared
from harness.run.session import Session

# They have what runs, what is mapped, and what is mounted where; and none of the variables that
# drgn looks for: those of an object that is not linked are at no address (kernel/sched/core.o has
# the run queues).
OBJECTS = ("kernel/sched/fair.o", "mm/mmap.o", "fs/proc_namespace.o")
_DEBUG = "CONFIG_DEBUG_INFO_DWARF_TOOLCHAIN_DEFAULT=y\n# CONFIG_DEBUG_INFO_REDUCED is not set\n"


def _config(text: str) -> str:
    """A .config with full debug information."""
    plain = re.sub(r"^(?:# )?CONFIG_DEBUG_INFO(?:_\w+)?(?:=| is not set).*\n", "", text, flags=re.M)
    return plain + _DEBUG


def build_types(session: Session, prepared: Prepared) -> tuple[Path, ...]:
    """The objects of the prepared kernel, from the store or compiled now.

    Raises:
        SeriesError, MachineError: as for any build.
    """
    tree = prepared.tree
    text = _config(prepared.kernel.config.text)

    def fill(draft: Path) -> None:
        with tree.folder("core-types", text) as (source, out):
            with marked(out):
                argv = make_argv(tree.tools, source.path, out, "olddefconfig")
                box = inside(tree.tools, source.path, out)
                proc.capture(argv, env=environment(), inside=box)
                lines = run_on(tree, source, out, *OBJECTS)
            for number, name in enumerate(OBJECTS):
                if not (out / name).is_file():
                    what = f"{name} was not compiled:\n" + "\n".join(lines[-20:])
                    raise SeriesError(what, evidence=tree.log)
                shutil.copyfile(taken(out, name), draft / f"{number}.o")

    inputs = prepared.applied.tree, digest(text), tree.tools.toolchain.version, OBJECTS
    entry = session.store.entry("coretypes", inputs, fill, session.events.note, also=("build",))
    return tuple(entry.path / f"{number}.o" for number in range(len(OBJECTS)))
