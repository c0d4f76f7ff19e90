# SPDX-License-Identifier: GPL-2.0-only
"""A stopped guest as its kernel sees itself: memory, who runs where, stacks.

Nothing here asks the guest for help. Kernel memory is read at physical addresses, by
a walk of the kernel's own page table, so that it does not matter which CPU the stub
has in mind or what that one has mapped (a CPU in user mode may have no kernel mapped
at all). Stacks are followed by frame pointers, which the default flavour is built with.

Sources: arch/x86/include/asm/{page_64_types,switch_to,frame}.h, arch/x86/entry/entry_64.S.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from harness.gdbremote import Registers, Remote, StubError
from harness.symbols import Symbols

TEXT_BASE = 0xFFFFFFFF80000000  # where the kernel image is mapped: physical address 0
_FRAME_BITS = 0x000FFFFFFFFFF000
_PRESENT, _LARGE = 1 << 0, 1 << 7
_BLOCK = 2048  # the most that QEMU's stub sends at once
DIRECT_MAP = 0xFFFF888000000000  # all of memory, at fixed places (no KASLR), to the next area
DIRECT_MAP_END = 0xFFFFC88000000000
IDLE = frozenset({"default_idle", "mwait_idle", "acpi_idle_enter", "__cpuidle_text_start"})
DEPTH = 64  # frames
# Words of struct pt_regs.
_PT_BP, _PT_IP, _PT_CS, _PT_SP, _PT_WORDS = 4, 16, 17, 19, 21
# struct inactive_task_frame: what __switch_to_asm() has pushed when a task sleeps.
_SLEEP_BP, _SLEEP_RET = 5, 6
_INTERRUPTS = ("asm_sysvec_", "sysvec_", "asm_common_interrupt", "common_interrupt", "asm_exc_nmi")


@dataclass(frozen=True)
class RawFrame:
    """A place in the code; ``call``: one that a call returns to, else where a CPU stood."""

    address: int
    call: bool


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


@dataclass
class StoppedGuest:
    """Reads a stopped guest through its stub; what it has read holds until the guest goes on."""

    remote: Remote
    symbols: Symbols
    _blocks: dict[int, bytes] = field(default_factory=dict)
    _pages: dict[tuple[int, int], int] = field(default_factory=dict)
    _registers: dict[int, Registers] = field(default_factory=dict)
    _offsets: dict[int, int] = field(default_factory=dict)
    _saved_sp: int = 0

    def forget(self) -> None:
        """The guest has gone on: nothing that was read is true any more.

        Where the kernel image and the direct map are does not change.
        """
        self._blocks.clear()
        self._pages = {key: at for key, at in self._pages.items() if _lasting(key[0])}
        self._registers.clear()

    def registers(self, cpu: int) -> Registers:
        """The registers of a CPU."""
        if cpu not in self._registers:
            self._registers[cpu] = self.remote.registers(cpu)
        return self._registers[cpu]

    # ---- memory ----------------------------------------------------------------------

    def _physical(self, address: int, size: int) -> bytes:
        data = b""
        while size:
            start = address - address % _BLOCK
            if start not in self._blocks:
                self._blocks[start] = self.remote.read_physical(start, _BLOCK)
            part = self._blocks[start][address - start :][:size]
            data += part
            address, size = address + len(part), size - len(part)
        return data

    def _translate(self, address: int, table: int) -> int:
        """The physical address behind a virtual one.

        Raises:
            StubError: it is not mapped.
        """
        page = address & ~0xFFF
        known = self._pages.get((page, table))
        if known is None:
            known = self._walk(page, table)
            self._pages[page, table] = known
        return known | (address & 0xFFF)

    def _walk(self, address: int, table: int) -> int:
        for level in (39, 30, 21, 12):
            index = (address >> level) & 0x1FF
            (entry,) = struct.unpack("<Q", self._physical(table + 8 * index, 8))
            if not entry & _PRESENT:
                raise StubError(f"{address:#x} is not mapped")
            table = entry & _FRAME_BITS
            if level == 12 or entry & _LARGE:
                low = (1 << level) - 1
                return (table & ~low) | (address & low)
        raise StubError(f"{address:#x} is not mapped")

    @property
    def _kernel_table(self) -> int:
        found = self.symbols.address("init_top_pgt")
        if found is None:
            raise StubError("this kernel has no init_top_pgt: no x86-64 of a known kind")
        return found - TEXT_BASE

    def _read(self, address: int, size: int, table: int) -> bytes:
        data = b""
        while size:
            part = min(size, 0x1000 - address % 0x1000)
            data += self._physical(self._translate(address, table), part)
            address, size = address + part, size - part
        return data

    def word(self, address: int) -> int:
        """Eight bytes of kernel memory.

        Raises:
            StubError: it is not mapped.
        """
        (value,) = struct.unpack("<Q", self._read(address, 8, self._kernel_table))
        return int(value)

    def user_word(self, cpu: int, address: int) -> int:
        """Eight bytes of the memory of the process that is loaded on a CPU.

        Raises:
            StubError: it is not mapped.
        """
        table = self.registers(cpu)["cr3"] & _FRAME_BITS
        (value,) = struct.unpack("<Q", self._read(address, 8, table))
        return int(value)

    # ---- tasks -----------------------------------------------------------------------

    def _per_cpu(self, cpu: int) -> int:
        if cpu not in self._offsets:
            table = self.symbols.address("__per_cpu_offset")
            if table is None:
                raise StubError("this kernel has no __per_cpu_offset: is it built for SMP?")
            self._offsets[cpu] = self.word(table + 8 * cpu)
        return self._offsets[cpu]

    def current(self, cpu: int) -> int:
        """The address of the task that a CPU runs."""
        # 6.2 to 6.14 have it as the first member of a structure.
        symbol = self.symbols.address("current_task")
        if symbol is None:
            symbol = self.symbols.address("pcpu_hot")
        if symbol is None:
            raise StubError("this kernel has neither current_task nor pcpu_hot")
        return self.word((symbol + self._per_cpu(cpu)) & (1 << 64) - 1)

    def ticks(self) -> int:
        """The kernel's clock, jiffies: it moves only while CPU 0 runs."""
        symbol = self.symbols.address("jiffies_64") or self.symbols.address("jiffies")
        if symbol is None:
            raise StubError("this kernel has no jiffies")
        return self.word(symbol)

    def _sleeper_sp(self, task: int) -> int:
        """The stack pointer that a task which does not run has left.

        Its place in struct task_struct is in the code of __switch_to_asm(), as the
        displacement of ``mov %rsp, disp(%rdi)``; the debug information has no structures.
        """
        if not self._saved_sp:
            start = self.symbols.address("__switch_to_asm") or 0
            code = self._read(start, 64, self._kernel_table)
            at = code.find(b"\x48\x89\xa7")
            if at < 0:
                raise StubError("__switch_to_asm() does not look as expected")
            (self._saved_sp,) = struct.unpack_from("<I", code, at + 3)
        return self.word(task + self._saved_sp)

    # ---- stacks ----------------------------------------------------------------------

    def stack(self, cpu: int) -> Stack:
        """What a CPU is doing."""
        registers = self.registers(cpu)
        if registers.user:
            return Stack(user=True)
        frames = [RawFrame(registers.pc, call=False)]
        frame_pointer = registers["rbp"]
        name, offset = self.symbols.symbol_at(registers.pc)
        pushed = self._pushed(registers.pc - offset, offset) if name else 0
        try:
            if pushed == 0:  # the caller's address is on top of the stack
                frames.append(RawFrame(self.word(registers["rsp"]), call=True))
            elif pushed == 1:  # and the frame pointer of the caller over it
                frames.append(RawFrame(self.word(registers["rsp"] + 8), call=True))
            elif self.symbols.debug.unit_at(registers.pc) is None:
                # Assembly has no frame of its own: its caller's address is where it is.
                above = self.word(registers["rsp"])
                if self._is_text(above):
                    frames.append(RawFrame(above, call=True))
        except StubError:
            pass
        return self._follow(frames, frame_pointer)

    def _pushed(self, start: int, offset: int) -> int:
        """How far the prologue of a function has come: 0, 1 (rbp pushed) or 2 (all of it)."""
        if offset > 8:
            return 2
        code = self._read(start, 8, self._kernel_table)
        push = 4 if code.startswith(b"\xf3\x0f\x1e\xfa") else 0  # endbr64
        if code[push : push + 1] != b"\x55":
            return 0 if offset == 0 else 2
        if offset <= push:
            return 0
        return 1 if offset == push + 1 else 2

    def idle(self, cpu: int) -> bool:
        """Whether a CPU has nothing to do, told from its program counter alone."""
        registers = self.registers(cpu)
        return not registers.user and self.symbols.symbol_at(registers.pc)[0] in IDLE

    def sleeper(self, task: int) -> Stack:
        """What a task that does not run was doing when it went to sleep."""
        top = self._sleeper_sp(task)
        frames = [RawFrame(self.word(top + 8 * _SLEEP_RET), call=True)]
        found = self._follow(frames, self.word(top + 8 * _SLEEP_BP))
        return Stack(found.frames, asleep=True, interrupt=found.interrupt)

    def _is_text(self, address: int) -> bool:
        return address >= TEXT_BASE and bool(self.symbols.symbol_at(address)[0])

    def _follow(self, frames: list[RawFrame], pointer: int) -> Stack:
        """Frames by the chain of frame pointers. Their lowest bit marks a saved context."""
        interrupt = False
        try:
            while pointer and len(frames) < DEPTH:
                if pointer & 1:  # ENCODE_FRAME_POINTER: it is of a struct pt_regs
                    saved = pointer & ~1
                    if self.word(saved + 8 * _PT_CS) & 3:
                        break
                    interrupt = interrupt or self._in_interrupt(frames)
                    frames.append(RawFrame(self.word(saved + 8 * _PT_IP), call=False))
                    pointer = self.word(saved + 8 * _PT_BP)
                    continue
                if pointer < 1 << 63:
                    break
                back = self.word(pointer + 8)
                if not self._is_text(back):
                    break
                frames.append(RawFrame(back, call=True))
                pointer = self.word(pointer)
        except StubError:
            pass  # as far as it goes
        interrupt = interrupt or self._in_interrupt(frames)
        return Stack(tuple(frames), interrupt=interrupt)

    def _in_interrupt(self, frames: list[RawFrame]) -> bool:
        names = (self.symbols.symbol_at(frame.address - frame.call)[0] for frame in frames)
        return any(name.startswith(_INTERRUPTS) for name in names)


def _lasting(address: int) -> bool:
    """Whether what is at a kernel's address stays there for as long as the guest lives."""
    return DIRECT_MAP <= address < DIRECT_MAP_END or address >= TEXT_BASE
