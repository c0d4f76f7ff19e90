# SPDX-License-Identifier: GPL-2.0-only
"""A stopped guest as its kernel sees itself: memory, who runs where, stacks.

Nothing here asks the guest for help. Kernel memory is read at physical addresses, by
a walk of the kernel's own page table, so that it does not matter which CPU the stub
has in mind or what that one has mapped (a CPU in user mode may have no kernel mapped
at all). Stacks are followed by frame pointers, which the default flavour is built with.

Sources: arch/x86/include/asm/{page_64_types,switch_to,frame}.h, arch/x86/entry/entry_64.S.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from harness.debugger.blocked_on import base_name
from harness.debugger.gdb_remote import MAX_READ_BYTES, Registers, Remote, StubError
from harness.debugger.symbols import Frame, Symbols

# Without KASLR (kconfig/boot.config) these are mapped in fixed places, from physical address 0 on:
TEXT_BASE, TEXT_END = 0xFFFFFFFF80000000, 0xFFFFFFFFA0000000  # the kernel image
FRAME = 0x000FFFFFFFFFF000  # the bits of an entry, and of cr3, that are an address
PRESENT, LARGE = 1 << 0, 1 << 7
DIRECT_MAP, DIRECT_MAP_END = 0xFFFF888000000000, 0xFFFFC88000000000  # all of memory
IDLE = frozenset({"default_idle", "mwait_idle", "acpi_idle_enter", "__cpuidle_text_start"})
MAX_FRAMES = 64
# Words of struct pt_regs.
_PT_BP, _PT_IP, _PT_CS = 4, 16, 17
# struct inactive_task_frame: what __switch_to_asm() has pushed when a task sleeps.
_SLEEP_BP, _SLEEP_RET = 5, 6
_INTERRUPTS = ("asm_sysvec_", "sysvec_", "asm_common_interrupt", "common_interrupt", "asm_exc_nmi")


def walk(word: Callable[[int], int], table: int, address: int) -> tuple[int, int]:
    """The last entry on the way to a virtual address, present or not, and how many bytes it maps.

    ``word`` reads eight bytes at a physical address, such as ``table``, that of the top.
    """
    for shift in (39, 30, 21, 12):
        entry = word(table + 8 * ((address >> shift) & 0x1FF))
        if not entry & PRESENT or entry & LARGE:
            break
        table = entry & FRAME
    return entry, 1 << shift


@dataclass(frozen=True)
class RawFrame:
    """A place in the code; ``call``: one that a call returns to, else where a CPU stood."""

    address: int
    call: bool

    @property
    def at(self) -> int:
        """An address within the instruction: of the call, where it is one that is returned to."""
        return self.address - self.call


@dataclass(frozen=True)
class Stack:
    """Frames, the innermost first. ``user``: the CPU runs user code; ``idle``: none (no frames).

    ``asleep``: of a task that does not run. ``interrupt``: its innermost part is an
    interrupt that came while the task was doing something else.
    """

    frames: tuple[RawFrame, ...] = ()
    user: bool = False
    idle: bool = False
    asleep: bool = False
    interrupt: bool = False

    def names(self, symbols: Symbols) -> list[str]:
        """The symbols on it, the innermost first: quick, and blind to what is inlined."""
        return [base_name(symbols.symbol_at(frame.at)[0]) for frame in self.frames]

    def functions(self, symbols: Symbols) -> list[Frame]:
        """The functions on it with their lines, the innermost first, inlined ones among them."""
        return [function for frame in self.frames for function in symbols.frames(frame.at)]


@dataclass
class StoppedGuest:
    """Reads a stopped guest through its stub; what it has read holds until the guest goes on."""

    remote: Remote
    symbols: Symbols
    _blocks: dict[int, bytes] = field(default_factory=dict)
    _registers: dict[int, Registers] = field(default_factory=dict)
    _offsets: dict[int, int] = field(default_factory=dict)
    _saved_sp: int = 0

    def forget(self) -> None:
        """The guest has gone on: nothing that was read is true any more."""
        self._blocks.clear()
        self._registers.clear()

    def registers(self, cpu: int) -> Registers:
        """The registers of a CPU, read once until the guest goes on."""
        if cpu not in self._registers:
            self._registers[cpu] = self.remote.registers(cpu)
        return self._registers[cpu]

    def _physical(self, address: int, size: int) -> bytes:
        data = b""
        while len(data) < size:
            start = address - address % MAX_READ_BYTES
            if start not in self._blocks:
                self._blocks[start] = self.remote.read_physical(start, MAX_READ_BYTES)
            data += self._blocks[start][address - start :]
            address = start + MAX_READ_BYTES
        return data[:size]

    def _translate(self, address: int, table: int) -> int:
        """The physical address behind a virtual one."""
        for start, end in ((TEXT_BASE, TEXT_END), (DIRECT_MAP, DIRECT_MAP_END)):
            if start <= address < end:
                return address - start

        def word(at: int) -> int:
            return int.from_bytes(self._physical(at, 8), "little")

        entry, size = walk(word, table, address)
        if not entry & PRESENT:
            raise StubError(f"{address:#x} is not mapped")
        return (entry & FRAME & -size) | (address & (size - 1))

    def _symbol(self, *names: str) -> int:
        """The address of the first of these symbols that the kernel has."""
        for name in names:
            for address in self.symbols.addresses(name):
                return address
        raise StubError(f"this kernel has no {' and no '.join(names)}")

    def _read(self, address: int, size: int, table: int | None = None) -> bytes:
        """Memory at a virtual address, by a page table; None: the kernel's own."""
        table = self._symbol("init_top_pgt") - TEXT_BASE if table is None else table
        data = b""
        while len(data) < size:
            here = address + len(data)
            part = min(size - len(data), 0x1000 - here % 0x1000)
            data += self._physical(self._translate(here, table), part)
        return data

    def word(self, address: int, of_process_on: int | None = None) -> int:
        """Eight bytes of kernel memory, or of the process on a CPU. StubError: not mapped."""
        cpu = of_process_on
        table = None if cpu is None else self.registers(cpu)["cr3"] & FRAME
        return int.from_bytes(self._read(address, 8, table), "little")

    def current(self, cpu: int) -> int:
        """The address of the task that a CPU runs. StubError: this kernel does not tell."""
        if cpu not in self._offsets:
            self._offsets[cpu] = self.word(self._symbol("__per_cpu_offset") + 8 * cpu)
        # 6.2 to 6.14 have it as the first member of a structure, pcpu_hot.
        symbol = self._symbol("current_task", "pcpu_hot")
        return self.word((symbol + self._offsets[cpu]) & (1 << 64) - 1)

    def ticks(self) -> int:
        """The kernel's clock, in jiffies: it moves only while CPU 0 runs. StubError: none."""
        return self.word(self._symbol("jiffies_64", "jiffies"))

    def stack(self, cpu: int) -> Stack:
        """What a CPU is doing."""
        registers = self.registers(cpu)
        if registers.user:
            return Stack(user=True)
        frames = [RawFrame(registers.pc, call=False)]
        name, offset = self.symbols.symbol_at(registers.pc)
        pushed = self._pushed(registers.pc - offset, offset) if name else 0
        with contextlib.suppress(StubError):
            # The caller's address is on top of the stack, or below its rbp. Assembly has no frame
            # of its own: there it may be on top.
            caller = self.word(registers["rsp"] + 8 * (pushed % 2))
            assembly = pushed == 2 and not self.symbols.debug.covers(registers.pc)
            if pushed < 2 or (assembly and self._is_text(caller)):
                frames.append(RawFrame(caller, call=True))
        return self._follow(frames, registers["rbp"])

    def _pushed(self, start: int, offset: int) -> int:
        """How far the prologue of a function has come: 0, 1 (rbp pushed) or 2 (all of it)."""
        if offset > 8:
            return 2
        code = self._read(start, 8)
        push = 4 if code.startswith(b"\xf3\x0f\x1e\xfa") else 0  # endbr64
        if code[push : push + 1] != b"\x55":
            push = 0
        elif offset == push + 1:
            return 1
        return 0 if offset <= push else 2

    def idle(self, cpu: int) -> bool:
        """Whether a CPU has nothing to do, told from its program counter alone."""
        registers = self.registers(cpu)
        return not registers.user and self.symbols.symbol_at(registers.pc)[0] in IDLE

    def sleeper(self, task: int) -> Stack:
        """What a task that does not run was doing when it went to sleep.

        The place of its stack pointer in struct task_struct is in the code of __switch_to_asm(), as
        the displacement of ``mov %rsp, disp(%rdi)``; the debug information has no structures.
        """
        if not self._saved_sp:
            code = self._read(self._symbol("__switch_to_asm"), 64)
            at = code.find(b"\x48\x89\xa7")
            if at < 0:
                raise StubError("__switch_to_asm() does not look as expected")
            self._saved_sp = int.from_bytes(code[at + 3 : at + 7], "little")
        top = self.word(task + self._saved_sp)
        frames = [RawFrame(self.word(top + 8 * _SLEEP_RET), call=True)]
        return replace(self._follow(frames, self.word(top + 8 * _SLEEP_BP)), asleep=True)

    def _is_text(self, address: int) -> bool:
        return address >= TEXT_BASE and bool(self.symbols.symbol_at(address)[0])

    def _follow(self, frames: list[RawFrame], pointer: int) -> Stack:
        """Frames by the chain of frame pointers. Their lowest bit marks a saved context."""
        interrupt = False
        with contextlib.suppress(StubError):  # as far as it goes
            while pointer and len(frames) < MAX_FRAMES:
                if pointer & 1:  # ENCODE_FRAME_POINTER: it is of a struct pt_regs
                    saved = pointer & ~1
                    if self.word(saved + 8 * _PT_CS) & 3:
                        break
                    interrupt = interrupt or self._in_interrupt(frames)
                    frames.append(RawFrame(self.word(saved + 8 * _PT_IP), call=False))
                    pointer = self.word(saved + 8 * _PT_BP)
                    continue
                back = self.word(pointer + 8) if pointer >= 1 << 63 else 0
                if not self._is_text(back):
                    break
                frames.append(RawFrame(back, call=True))
                pointer = self.word(pointer)
        return Stack(tuple(frames), interrupt=interrupt or self._in_interrupt(frames))

    def _in_interrupt(self, frames: list[RawFrame]) -> bool:
        return any(self.symbols.symbol_at(f.at)[0].startswith(_INTERRUPTS) for f in frames)
