# SPDX-License-Identifier: GPL-2.0-only
"""Reading a stopped guest: page tables, who runs, stacks in every state of a function's entry."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.debugger.gdb_remote import StubError
from harness.debugger.stopped_guest import Stack, StoppedGuest
from tests.debugger.fake_stub import KERNEL, Cpu, PlayedStub
from tests.races.fake_machine import (
    DIRECT,
    FUNCTIONS,
    STACKS,
    TABLE,
    Machine,
    address,
    symbols,
    user,
)


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def stub(machine: Machine) -> Iterator[PlayedStub]:
    made = PlayedStub([Cpu([]), Cpu([]), Cpu([])], machine.memory)
    yield made
    made.close()


@pytest.fixture
def guest(stub: PlayedStub) -> StoppedGuest:
    return StoppedGuest(stub.remote, symbols())


def names(stack: Stack) -> list[str]:
    return stack.names(symbols())


def test_memory_is_found_through_the_kernels_page_table(
    machine: Machine, guest: StoppedGuest
) -> None:
    # A small page behind four tables, as vmalloc() has them.
    machine.memory[TABLE + 8 * 402] = 0x1C00000 | 1
    machine.memory[0x1C00000] = 0x1C01000 | 1
    machine.memory[0x1C01000] = 0x1C02000 | 1
    machine.memory[0x1C02000 + 8 * 5] = 0x7000 | 1
    machine.memory[0x7018] = 42
    assert guest.word(0xFFFFC90000000000 + 0x5018) == 42
    with pytest.raises(StubError, match="is not mapped"):
        guest.word(0xFFFFC90000000000 + 0x6018)


def test_what_was_read_holds_until_the_guest_goes_on(
    machine: Machine, guest: StoppedGuest, stub: PlayedStub
) -> None:
    assert guest.ticks() == 1000
    asked = len(stub.log)
    assert guest.ticks() == 1000 and len(stub.log) == asked
    machine.memory[0x1A10000] = 1001
    guest.forget()
    assert guest.ticks() == 1001


def test_every_cpu_has_a_task_of_its_own(machine: Machine, guest: StoppedGuest) -> None:
    assert [guest.current(cpu) for cpu in range(3)] == [machine.task(cpu) for cpu in range(3)]


def test_a_cpu_in_user_space_has_no_stack_here(stub: PlayedStub, guest: StoppedGuest) -> None:
    stub.cpus[1].registers = user("loop")
    assert guest.stack(1) == Stack(user=True)


def test_a_stack_on_entry_to_a_function(
    machine: Machine, stub: PlayedStub, guest: StoppedGuest
) -> None:
    stub.cpus[1].registers = machine.kernel("fault", "caller", "deep")
    assert names(guest.stack(1)) == ["fault", "caller", "deep"]


@pytest.mark.parametrize("endbr", [b"", b"\xf3\x0f\x1e\xfa"])
@pytest.mark.parametrize("state", ["entry", "pushed", "framed"])
def test_a_stack_at_every_step_of_a_prologue(
    machine: Machine, stub: PlayedStub, guest: StoppedGuest, endbr: bytes, state: str
) -> None:
    """push %rbp; mov %rsp,%rbp: where the caller's address is depends on how far it came."""
    code = endbr + b"\x55\x48\x89\xe5" + bytes(8)
    machine.memory[FUNCTIONS["fault"]] = int.from_bytes(code[:8], "little")
    top, outer = STACKS + 0x8000, DIRECT + STACKS + 0x9000
    machine.memory[outer - DIRECT] = 0
    machine.memory[outer - DIRECT + 8] = address("deep", 5)
    machine.memory[top] = address("caller", 5)  # what the call pushed
    machine.memory[top - 8] = outer  # what the prologue pushes
    offset = {"entry": 0, "pushed": len(endbr) + 1, "framed": len(endbr) + 4}[state]
    stub.cpus[1].registers = {
        "rip": address("fault", offset),
        "cs": KERNEL,
        "rsp": DIRECT + (top if state == "entry" else top - 8),
        "rbp": DIRECT + top - 8 if state == "framed" else outer,
    }
    assert names(guest.stack(1)) == ["fault", "caller", "deep"]


def test_a_stack_goes_on_below_an_interrupt(
    machine: Machine, stub: PlayedStub, guest: StoppedGuest
) -> None:
    """A frame pointer with its lowest bit set is of what the CPU was doing before."""
    saved = STACKS + 0x8000
    machine.memory[saved + 8 * 16] = address("deep", 3)  # ip
    machine.memory[saved + 8 * 17] = KERNEL
    machine.memory[saved + 8 * 4] = 0
    at_entry = machine.kernel("fault", "asm_sysvec_apic_timer_interrupt")
    stub.cpus[1].registers = {**at_entry, "rbp": DIRECT + saved + 1}
    stack = guest.stack(1)
    assert names(stack) == ["fault", "asm_sysvec_apic_timer_interrupt", "deep"]
    assert stack.interrupt


def test_a_fault_is_no_interrupt(machine: Machine, stub: PlayedStub, guest: StoppedGuest) -> None:
    saved = STACKS + 0x8000
    machine.memory[saved + 8 * 17] = 0x33  # it came from user space
    stub.cpus[1].registers = {**machine.kernel("fault", "caller"), "rbp": DIRECT + saved + 1}
    stack = guest.stack(1)
    assert names(stack) == ["fault", "caller"] and not stack.interrupt


def test_a_sleeping_task_has_left_its_stack(machine: Machine, guest: StoppedGuest) -> None:
    machine.sleeps(machine.task(2), "down_write", "caller", "deep")
    stack = guest.sleeper(machine.task(2))
    assert names(stack) == ["down_write", "caller", "deep"] and stack.asleep


def test_a_stack_that_is_nonsense_ends(stub: PlayedStub, guest: StoppedGuest) -> None:
    stub.cpus[1].registers = {"rip": address("fault"), "cs": KERNEL, "rsp": 8, "rbp": 1 << 63}
    assert names(guest.stack(1)) == ["fault"]
