# SPDX-License-Identifier: GPL-2.0-only
"""What the patched tree itself must show, without a guest."""

from __future__ import annotations

import itertools
import re
import subprocess
import tempfile
from pathlib import Path

from harness.cases.host_checks import check
from harness.series.apply import PatchedTree

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


# The options that decide which special swap types there are, and ours.
SWAP_OPTIONS = ("MIGRATION", "DEVICE_PRIVATE", "MEMORY_FAILURE", "PTE_MARKER")
OURS = "VOLATILE_RANGES"
BLOCK = re.compile(r"^#define MAX_SWAPFILES_SHIFT\b.*?(?=^/\*\n \* Magic header)", re.M | re.S)


def swap_types(header: str) -> tuple[dict[tuple[str, ...], dict[str, int]], str]:
    """``{options that are on: {type: number}}`` as the compiler sees a swap.h, and its errors."""
    found = BLOCK.search(header)
    if found is None:
        return {}, "no block of special types"
    block = found[0]
    macros = sorted(set(re.findall(r"^#define\s+(\w+)", block, re.M)))
    options = (*SWAP_OPTIONS, OURS)
    combinations = [
        tuple(name for name, on in zip(options, bits, strict=True) if on)
        for bits in itertools.product((False, True), repeat=len(options))
    ]
    text = "#include <stdio.h>\n#define static_assert(what) _Static_assert(what, #what)\n"
    text += "struct row { const char *name; long value; };\n"
    for index, combination in enumerate(combinations):
        text += "".join(f"#undef {m}\n" for m in (*macros, *(f"CONFIG_{o}" for o in options)))
        text += "".join(f"#define CONFIG_{name} 1\n" for name in combination)
        text += block + f"static const struct row rows_{index}[] = {{\n"
        text += "".join(f'#ifdef {m}\n{{ "{m}", {m} }},\n#endif\n' for m in macros)
        text += "{ 0, 0 } };\n"
    text += "int main(void)\n{\nconst struct row *r;\n"
    for index in range(len(combinations)):
        text += f"for (r = rows_{index}; r->name; r++)\n"
        text += f'printf("{index} %s %ld\\n", r->name, r->value);\n'
    text += "return 0;\n}\n"
    with tempfile.TemporaryDirectory(prefix="harness-") as scratch:
        source, program = Path(scratch, "types.c"), Path(scratch, "types")
        source.write_text(text, "utf-8")
        done = subprocess.run(
            ["gcc", "-w", "-o", str(program), str(source)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            errors = [line for line in done.stderr.splitlines() if "error:" in line]
            return {}, (errors or ["gcc failed"])[0].partition("error: ")[2] or "gcc failed"
        said = subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout
    numbers: dict[tuple[str, ...], dict[str, int]] = {c: {} for c in combinations}
    for line in said.splitlines():
        which, name, value = line.split()
        numbers[combinations[int(which)]][name] = int(value)
    return numbers, ""


@check()
def special_swap_types_keep_their_numbers(tree: PatchedTree) -> list[str]:
    """The special swap types have the base's numbers, whichever of them are configured."""
    header = "include/linux/swap.h"
    before, wrong = swap_types(tree.read(header, tree.base))
    if wrong:
        return [f"{header} of the base: {wrong}"]
    after, wrong = swap_types(tree.read(header))
    if wrong:
        return [f"{header}: {wrong}"]
    return [
        f"{header}: with {', '.join(on) or 'none of the options'}: {name} was {number}, "
        f"is {after[on].get(name)}"
        for on, old in before.items()
        for name, number in expected(on, old, after[on]).items()
        if after[on].get(name) != number
    ]


def expected(on: tuple[str, ...], old: dict[str, int], new: dict[str, int]) -> dict[str, int]:
    """What the numbers must be: the base's, but that our type takes one swap area."""
    types = {n: v for n, v in old.items() if n.startswith("SWP_") and not n.endswith("_NUM")}
    taken = 1 if OURS in on and "SWP_PURGED" in new else 0
    areas = old["MAX_SWAPFILES"] - taken
    return types | {"MAX_SWAPFILES": areas} | ({"SWP_PURGED": areas} if taken else {})
