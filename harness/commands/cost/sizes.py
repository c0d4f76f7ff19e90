# SPDX-License-Identifier: GPL-2.0-only
"""How large a kernel is, and its structs, as its own compiler lays them out."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile

from harness.commands.cost.bars import HELP, StructList
from harness.core import proc
from harness.core.errors import InvocationError
from harness.core.sandbox import Inside
from harness.coverage.objects import TYPES, compile_objects
from harness.run.pipeline import Prepared

# Of a vmlinux in memory: code, other contents, and what starts as zeros.
PARTS = ("text", "data", "bss")


@dataclass(frozen=True)
class KernelSizes:
    """Bytes of one kernel's ``PARTS``, and of each struct."""

    image: dict[str, int]
    structs: dict[str, int]


def image_sizes(vmlinux: Path) -> dict[str, int]:
    """As size(1) of binutils counts them, which the kernel's build needs as well."""
    argv, box = ["size", "--format=gnu", str(vmlinux)], Inside(reads=(vmlinux.parent,))
    said = proc.run_tool(argv, "counting the bytes of the kernel", inside=box)
    return dict(zip(PARTS, map(int, said.splitlines()[1].split()[:3]), strict=True))


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
    tree, kernel, tools = prepared.tree, prepared.kernel, prepared.tree.tools
    version = tools.toolchain.version
    inputs = tree.applied.tree, kernel.config.text, version, asdict(structs), TYPES

    def make(draft: Path) -> None:
        found: dict[str, int] = {}
        for path in compile_objects(tree, kernel, [structs.object], draft, TYPES):
            found = sizes_in(path, structs.names)
            path.unlink()
        (draft / "structs.json").write_text(json.dumps(found), "utf-8")

    entry = tools.store.entry("structs", inputs, make, tools.events.note,
                              also=("build", "coverage"))  # fmt: skip
    found: dict[str, int] = json.loads((entry.path / "structs.json").read_text("utf-8"))
    if missing := [name for name in structs.names if name not in found]:
        what = f"{structs.object} has no struct {missing[0]}"
        raise InvocationError(what, evidence=tree.log, next_step=HELP)
    return {name: found[name] for name in structs.names}
