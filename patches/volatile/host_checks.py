# SPDX-License-Identifier: GPL-2.0-only
"""What the patched tree itself must show, without a guest."""

from __future__ import annotations

import re

from harness.hostchecks import PatchedTree, check

# Every architecture with its own copy of the advice numbers, and the tools' copy.
HEADERS = (
    "include/uapi/asm-generic/mman-common.h",
    "arch/alpha/include/uapi/asm/mman.h",
    "arch/mips/include/uapi/asm/mman.h",
    "arch/parisc/include/uapi/asm/mman.h",
    "arch/xtensa/include/uapi/asm/mman.h",
    "tools/include/uapi/asm-generic/mman-common.h",
)
NUMBERS = {"MADV_VOLATILE": 26, "MADV_NONVOLATILE": 27}


def advices(text: str) -> dict[str, int]:
    """``#define MADV_X number`` of a header."""
    found = re.findall(r"^#define\s+(MADV_\w+)\s+(\d+)\b", text, re.MULTILINE)
    return {name: int(number) for name, number in found}


@check("V-IF-1")
def advice_numbers(tree: PatchedTree) -> list[str]:
    """MADV_VOLATILE is 26 and MADV_NONVOLATILE 27 in every header that has its own copy."""
    wrong = []
    for header in HEADERS:
        known = advices(tree.read(header))
        for name, number in NUMBERS.items():
            if known.get(name) != number:
                wrong.append(f"{header}: {name} is {known.get(name)}, must be {number}")
        clash = [n for n, v in known.items() if v in NUMBERS.values() and n not in NUMBERS]
        wrong += [f"{header}: {name} has a number of ours" for name in clash]
    return wrong


@check("V-IF-1")
def other_advices_keep_their_numbers(tree: PatchedTree) -> list[str]:
    """The series adds two advices to each header and changes none."""
    wrong = []
    for header in HEADERS:
        before, after = advices(tree.read(header, tree.base)), advices(tree.read(header))
        if not before:
            wrong.append(f"{header}: has no advices in the base")
        wrong += [
            f"{header}: {name} was {number}, is {after.get(name)}"
            for name, number in before.items()
            if after.get(name) != number
        ]
        extra = set(after) - set(before) - set(NUMBERS)
        wrong += [f"{header}: {name} is new and not ours" for name in sorted(extra)]
    return wrong


@check("V-MK-1")
def trace_events_name_the_flag(tree: PatchedTree) -> list[str]:
    """The vm-flags strings of trace events and dumps name VM_VOLATILE."""
    header = "include/trace/events/mmflags.h"
    if re.search(r'\(VM_VOLATILE,\s*"volatile"\s*\)', tree.read(header)):
        return []
    return [f"{header}: no name for VM_VOLATILE"]


@check("V-SB-10")
def checkpointing_is_documented(tree: PatchedTree) -> list[str]:
    """The document of the feature says that checkpoint tools see neither flag nor purge state."""
    document = "Documentation/admin-guide/mm/volatile_ranges.rst"
    text = " ".join(tree.read(document).split())
    if "checkpoint and restore see neither the mark" in text:
        return []
    return [f"{document}: does not say what checkpoint tools see"]
