# SPDX-License-Identifier: GPL-2.0-only
"""What a guest's core says of the task that ran: stacks, VMAs, page tables. By drgn (optional).

QEMU's core has memory by physical address and the registers of each CPU, and no VMCOREINFO: that
is made of System.map, for without KASLR (kconfig/boot.config) the kernel is where it was linked.
Source: drgn's documentation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import drgn
from drgn.helpers.linux.cpumask import for_each_online_cpu
from drgn.helpers.linux.mm import for_each_vma, virt_to_phys, vma_name
from drgn.helpers.linux.pid import for_each_task
from drgn.helpers.linux.sched import cpu_curr, task_state_to_char

from harness.debugger.stopped_guest import PRESENT, walk

# Functions that are on the stack of who reports.
REPORTERS = frozenset({"vprintk_emit", "_printk", "__warn", "die", "panic", "dump_stack_lvl"})
MAX_TASKS = 200
_TYPE_SHIFT = 64 - 5  # of a swap entry: its type is in the top bits
# include/linux/mm.h: bits of vm_flags.
FLAGS = {
    0x1: "read", 0x2: "write", 0x4: "exec", 0x8: "shared", 0x100: "growsdown", 0x400: "pfnmap",
    0x2000: "locked", 0x4000: "io", 0x20000: "dontcopy", 0x40000: "dontexpand",
    0x100000: "account", 0x200000: "noreserve", 0x400000: "hugetlb", 0x4000000: "dontdump",
    0x8000000: "softdirty", 0x20000000: "hugepage",
    0x40000000: "nohugepage", 0x80000000: "mergeable",
}  # fmt: skip


def vmcoreinfo(symbol_map: str, release: str) -> str:
    """What a kernel with CONFIG_CRASH_CORE says of itself, as far as drgn asks for it."""
    rows = (line.split(" ", 2) for line in symbol_map.splitlines())
    at = {name: int(address, 16) for address, _, name in rows}
    symbols = {
        "init_uts_ns": at["init_uts_ns"],
        "swapper_pg_dir": at["init_top_pgt"],
        "_stext": at["_stext"],
    }
    lines = [f"OSRELEASE={release}", "PAGESIZE=4096"]
    lines += [f"SYMBOL({name})={address:x}" for name, address in symbols.items()]
    lines += ["NUMBER(phys_base)=0", "NUMBER(pgtable_l5_enabled)=0", "KERNELOFFSET=0"]
    return "\n".join([*lines, ""])


def open_core(
    core: Path, vmlinux: Path, types: Sequence[Path], symbol_map: str, release: str
) -> drgn.Program:
    """The program of a core; ``vmlinux``: of the same code, with debug information.

    ``types``: objects that have the structures which that has not.

    An OSError, or an error of drgn: they cannot be read.
    """
    program = drgn.Program(vmcoreinfo=vmcoreinfo(symbol_map, release))
    program.set_core_dump(core)
    program.main_module(name="kernel", create=True).try_file(vmlinux, force=True)
    for path in types:
        program.extra_module(path.name, create=True).try_file(path, force=True)
    return program


def _text(value: Any) -> str:
    return bytes(value.string_()).decode("utf-8", "replace")


def _title(task: Any) -> str:
    return f"{task.pid.value_()} {_text(task.comm)}"


def running(program: drgn.Program) -> list[tuple[int, Any]]:
    """Each CPU with the task that it runs."""
    return [(cpu, cpu_curr(program, cpu)) for cpu in for_each_online_cpu(program)]


def reporter(program: drgn.Program) -> Any:
    """The task that was reporting; else one that runs, and is not the idle one."""
    tasks = [task for _, task in running(program)]
    for task in tasks:
        names = {frame.name for frame in program.stack_trace(task)}
        if names & REPORTERS:
            return task
    return next((task for task in tasks if task.pid.value_()), tasks[0])


def entries(program: drgn.Program, table: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The page table's entries for a range of user addresses: the entry and how much it maps.

    ``table``: the physical address of the top. What has no table below is one entry of 0.
    """

    def word(address: int) -> int:
        return int.from_bytes(program.read(address, 8, physical=True), "little")

    at = start
    while at < end:
        entry, size = walk(word, table, at)
        low = at & ~(size - 1)
        part = min(end, low + size) - at
        yield entry, part
        at += part


def mapped(program: drgn.Program, table: int, start: int, end: int) -> str:
    """How the pages of a range stand in the page table, counted: '3 present, 2 swap type 26'."""
    pages: Counter[str] = Counter()
    for entry, part in entries(program, table, start, end):
        if entry & PRESENT:
            kind = "present" if part == 0x1000 else "present, huge"
        else:
            kind = f"swap type {entry >> _TYPE_SHIFT}" if entry else "none"
        pages[kind] += part >> 12
    return ", ".join(f"{number} {kind}" for kind, number in sorted(pages.items()))


def flags_of(value: int) -> str:
    """The bits of vm_flags in words; those without one here as a number."""
    words = [word for bit, word in FLAGS.items() if value & bit]
    rest = value & ~sum(FLAGS) & ~0xF0  # 0x10 to 0x80: what mprotect() may switch on
    return " ".join(words + ([f"{rest:#x}"] if rest else []))


def address_space(program: drgn.Program, task: Any) -> Iterator[str]:
    """A line for each VMA of a task, and below it how its pages stand."""
    mm = task.mm
    if not mm:
        yield "it is a thread of the kernel: it has no VMAs"
        return
    table = virt_to_phys(mm.pgd).value_()
    yield f"{mm.map_count.value_()} VMAs, page table at {table:#x}, {mm.total_vm.value_()} pages"
    for vma in for_each_vma(mm):
        start, end = vma.vm_start.value_(), vma.vm_end.value_()
        name = vma_name(vma)
        what = name.decode("utf-8", "replace") if name else "anonymous"
        yield f"{start:016x}-{end:016x} {flags_of(vma.vm_flags.value_())}  {what}"
        yield f"    {mapped(program, table, start, end)}"


def report(program: drgn.Program) -> Iterator[str]:
    """All of it, line by line."""
    for cpu, task in running(program):
        yield f"CPU {cpu} runs {_title(task)}"
        yield from (f"  {frame}" for frame in program.stack_trace(task))
        yield ""
    task = reporter(program)
    yield f"the task that ran: {_title(task)}"
    yield from (f"  {line}" for line in address_space(program, task))
    yield ""
    yield "tasks: pid, state, name; where one waits that cannot be interrupted"
    for number, other in enumerate(for_each_task(program)):
        if number == MAX_TASKS:
            yield "..."
            return
        state = task_state_to_char(other)
        yield f"{other.pid.value_():6} {state} {_text(other.comm)}"
        if state == "D":
            yield from (f"         {frame}" for frame in program.stack_trace(other))
