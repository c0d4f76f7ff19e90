# SPDX-License-Identifier: GPL-2.0-only
"""How large a kernel is, and its structs, as its own compiler lays them out."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile

from harness.build.folder import marked
from harness.build.make import run_on
from harness.commands.cost.bars import HELP, StructList
from harness.core.errors import InvocationError
from harness.core.sandbox import taken
from harness.run.pipeline import Prepared

# Debug information that names every struct whole; it changes no layout. DWARF 4: one form for
# all compilers.
DEBUG = "KCFLAGS=-gdwarf-4"


@dataclass(frozen=True)
class ImageSize:
    """Bytes of a vmlinux in memory: code, other contents, and what starts as zeros."""

    text: int
    data: int
    bss: int

    @staticmethod
    def of(vmlinux: Path) -> ImageSize:
        """As its section headers say, which ``strip`` leaves."""
        sizes = {"text": 0, "data": 0, "bss": 0}
        with open(vmlinux, "rb") as handle:
            for section in ELFFile(handle).iter_sections():
                flags = section["sh_flags"]
                if not flags & SH_FLAGS.SHF_ALLOC:
                    continue
                empty = section["sh_type"] == "SHT_NOBITS"
                code = flags & SH_FLAGS.SHF_EXECINSTR
                sizes["text" if code else "bss" if empty else "data"] += section["sh_size"]
        return ImageSize(**sizes)


@dataclass(frozen=True)
class KernelSizes:
    """Of one kernel: its image, and bytes of each struct."""

    image: ImageSize
    structs: dict[str, int]


def sizes_in(obj: Path, names: Iterable[str]) -> dict[str, int]:
    """Bytes of the structs ``names``, as the debug information of an object has them.

    What the object only declares is left out.
    """
    wanted, found = set(names), {}
    with open(obj, "rb") as handle:
        for unit in ELFFile(handle).get_dwarf_info().iter_CUs():
            for die in unit.get_top_DIE().iter_children():
                if die.tag != "DW_TAG_structure_type" or "DW_AT_byte_size" not in die.attributes:
                    continue
                named = die.attributes.get("DW_AT_name")
                name = named.value.decode() if named else ""
                if name in wanted:
                    found[name] = int(die.attributes["DW_AT_byte_size"].value)
    return found


def struct_sizes(prepared: Prepared, structs: StructList) -> dict[str, int]:
    """Bytes of each struct in the tested configuration; one object is compiled for that.

    Raises:
        InvocationError: the object does not have one of them.
        MachineError: the disk is full.
    """
    tree, config, tools = prepared.tree, prepared.kernel.config, prepared.tree.tools
    inputs = tree.applied.tree, config.text, tools.toolchain.version, asdict(structs), DEBUG

    def make(draft: Path) -> None:
        # The kernel's own folder: all that comes before an object is there.
        with tree.folder(config.name, config.text) as (source, out):
            with marked(out):
                run_on(tree, source, out, DEBUG, structs.object)
            found = sizes_in(taken(out, structs.object), structs.names)
        (draft / "structs.json").write_text(json.dumps(found), "utf-8")

    entry = tools.store.entry("structs", inputs, make, tools.events.note, also=("build",))
    found: dict[str, int] = json.loads((entry.path / "structs.json").read_text("utf-8"))
    if missing := [name for name in structs.names if name not in found]:
        what = f"{structs.object} has no struct {missing[0]}"
        raise InvocationError(what, evidence=tree.log, next_step=HELP)
    return {name: found[name] for name in structs.names}
