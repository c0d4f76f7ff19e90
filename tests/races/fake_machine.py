# SPDX-License-Identifier: GPL-2.0-only
"""A machine for the tests of races: a page table, tasks, stacks, a program's landmarks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from harness.debugger.symbols import Symbols
from harness.races.breakpoints import Breakpoint
from harness.races.driver import InterleavingDriver
from harness.races.landmarks import MAGIC
from harness.races.scenario import Scenario, parse
from tests.debugger.fake_stub import KERNEL, USER, Cpu, PlayedStub
from tests.support.limits import NEVER_S

TEXT = 0xFFFFFFFF80000000
DIRECT = 0xFFFF888000000000
PROGRAM = {
    "race_begin": 0x401000,
    "race_end": 0x401100,
    "race_outcome": 0x401200,
    "page": 0x404000,
}
FUNCTIONS = {
    "fault": 0x1000000,
    "caller": 0x1000100,
    "deep": 0x1000200,
    "down_write": 0x1000300,
    "rwsem_down_write_slowpath": 0x1000400,
    "smp_call_function_many_cond": 0x1000500,
    "asm_sysvec_apic_timer_interrupt": 0x1000600,
    "futex_wait_queue": 0x1000700,
    "__switch_to_asm": 0x1000800,
    "io_schedule": 0x1000900,
    "multi_cpu_stop": 0x1000A00,
    "end_of_text": 0x1001000,
}
TABLE, JIFFIES, OFFSETS, PER_CPU, CURRENT = 0x1A00000, 0x1A10000, 0x1A10100, 0x30000, 0x10
TASKS, STACKS = 0x80000, 0x100000

SCENARIO = """/*
 * name: {name}
 * about: A and B.
 * cpus: 3
 * variant: v
 * threads:
 *   A: {{cpu: 1, does: x}}
 *   B: {{cpu: 2, does: y}}
 * points:
{points}
 * outcome:
 *   hit: bad
 *   miss: good
{outcome} */
"""


def scenario(points: list[str], outcome: str = "") -> Scenario:
    """A scenario of two threads."""
    rows = "\n".join(f" *   - {point}" for point in points)
    text = SCENARIO.format(name="toy", points=rows, outcome=outcome)
    found = parse(text, Path("toy.c"), "6.1")
    assert found is not None
    return found


class NoDebug:
    """Debug information that knows nothing: all names come from the symbol map."""

    def unit_at(self, address: int) -> None:
        return None

    def covers(self, address: int) -> bool:
        return False

    def unit_of(self, path: str) -> None:
        return None

    def names(self) -> tuple[str, ...]:
        return ()

    def words(self) -> frozenset[str]:
        return frozenset()


class NoSource:
    def line(self, path: str, number: int) -> str:
        return ""

    def mentions(self, word: str, among: tuple[str, ...]) -> tuple[str, ...]:
        return ()


def address(function: str, offset: int = 0) -> int:
    """Of the kernel's code."""
    return TEXT + FUNCTIONS[function] + offset


def user(landmark: str, **registers: int) -> dict[str, int]:
    """A CPU in the guest program."""
    return {"rip": PROGRAM.get(landmark, 0x402000), "cs": USER, **registers}


def begin(thread: int) -> dict[str, int]:
    return user("race_begin", rdi=thread, rsi=MAGIC)


def end(thread: int) -> dict[str, int]:
    return user("race_end", rdi=thread, rsi=MAGIC)


def outcome(run: int, hit: int) -> dict[str, int]:
    return user("race_outcome", rdi=run, rsi=hit, rdx=MAGIC)


@dataclass
class Machine:
    """CPU 0 and two more. ``task(cpu)`` is what each runs; stacks are written by ``kernel``."""

    memory: dict[int, int] = field(default_factory=dict)
    _stacks: int = 0

    def __post_init__(self) -> None:
        memory = self.memory
        # Two huge pages: the kernel image, and all memory at DIRECT.
        memory[TABLE + 8 * 511] = 0x1A01000 | 1
        memory[0x1A01000 + 8 * 510] = 0 | 1 | 0x80
        memory[TABLE + 8 * 273] = 0x1A02000 | 1
        memory[0x1A02000] = 0 | 1 | 0x80
        for cpu in range(3):
            memory[OFFSETS + 8 * cpu] = DIRECT + PER_CPU + 0x1000 * cpu
            self.runs(cpu, self.task(cpu))
        memory[JIFFIES] = 1000

    @staticmethod
    def task(cpu: int) -> int:
        return DIRECT + TASKS + 0x1000 * cpu

    def runs(self, cpu: int, task: int) -> None:
        """``task`` becomes what a CPU runs."""
        self.memory[PER_CPU + 0x1000 * cpu + CURRENT] = task

    def kernel(self, *functions: str, **registers: int) -> dict[str, int]:
        """A CPU in the first of the functions, called by the others: on entry to it."""
        self._stacks += 0x400
        top = STACKS + self._stacks
        # [rsp] is the first return address; rbp leads to the frames of the others.
        pointer = 0
        for number, function in enumerate(reversed(functions[2:])):
            frame = top + 0x100 - 0x10 * (number + 1)
            self.memory[frame] = pointer
            self.memory[frame + 8] = address(function, 5)
            pointer = DIRECT + frame
        if len(functions) > 1:
            self.memory[top] = address(functions[1], 5)
        return {
            "rip": address(functions[0]),
            "cs": KERNEL,
            "rsp": DIRECT + top,
            "rbp": pointer,
            **registers,
        }

    def sleeps(self, task: int, *functions: str) -> None:
        """A task that does not run has this stack."""
        self.memory[FUNCTIONS["__switch_to_asm"]] = int.from_bytes(
            b"\x55\x48\x89\xa7\x08\x01\x00\x00", "little"
        )
        self._stacks += 0x400
        top = STACKS + self._stacks
        self.memory[task - DIRECT + 0x108] = DIRECT + top
        pointer = 0
        for number, function in enumerate(reversed(functions[1:])):
            frame = top + 0x200 - 0x10 * (number + 1)
            self.memory[frame] = pointer
            self.memory[frame + 8] = address(function, 5)
            pointer = DIRECT + frame
        self.memory[top + 8 * 5] = pointer
        self.memory[top + 8 * 6] = address(functions[0], 5)


def symbol_map() -> str:
    rows = {name: (TEXT + at, "T") for name, at in FUNCTIONS.items()}
    rows["init_top_pgt"] = (TEXT + TABLE, "D")
    rows["jiffies_64"] = (TEXT + JIFFIES, "D")
    rows["__per_cpu_offset"] = (TEXT + OFFSETS, "D")
    rows["current_task"] = (CURRENT, "A")
    return "\n".join(f"{at:016x} {kind} {name}" for name, (at, kind) in rows.items())


def symbols() -> Symbols:
    return Symbols(symbol_map(), NoDebug(), NoSource())  # type: ignore[arg-type]


@dataclass
class PlayedRace:
    """A driver over a played stub."""

    machine: Machine
    stub: PlayedStub
    driver: InterleavingDriver
    ended: list[str]

    def close(self) -> None:
        self.stub.close()


Make = Callable[..., PlayedRace]


def play(machine: Machine, chosen: Scenario, cpus: list[Cpu]) -> PlayedRace:
    """Connects everything; the guest stands still."""
    stub = PlayedStub(cpus, machine.memory)
    stub.remote.attach(NEVER_S)
    ended: list[str] = []
    found = [
        Breakpoint((address(p.place.function),), on_return=p.place.kind == "return")
        if p.place.kind in ("entry", "return")
        else Breakpoint((PROGRAM["race_end"],))
        for p in chosen.points
    ]
    driver = InterleavingDriver(
        stub.remote,
        symbols(),
        chosen,
        found,
        PROGRAM,
        lambda: ended[0] if ended else None,
        clock=stub.clock,
    )
    return PlayedRace(machine, stub, driver, ended)
