# SPDX-License-Identifier: GPL-2.0-only
"""Who wrote last: a played replay, its writes, and from when to go back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from harness.commands.back import told
from harness.core.errors import InvocationError, MachineError
from harness.debugger.symbols import Symbols
from harness.findings.back import (
    Moment,
    Past,
    Replay,
    find_address,
    find_moment,
    watched_bytes,
)
from harness.findings.recording import Recorded
from tests.debugger.fake_stub import Cpu, PlayedStub
from tests.races.fake_machine import (
    DIRECT,
    FUNCTIONS,
    TEXT,
    Machine,
    NoDebug,
    NoSource,
    address,
    symbol_map,
)
from tests.support.limits import NEVER_S

WORD = DIRECT + 0x7010
MORE = {"start_kernel": 0x1000B00, "devkmsg_write": 0x1000C00, "__warn": 0x1000D00}


@pytest.fixture(autouse=True)
def _more_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, at in MORE.items():
        monkeypatch.setitem(FUNCTIONS, name, at)


def symbols() -> Symbols:
    text = symbol_map() + f"\n{TEXT + 0x1B00000:016x} D twice\n{TEXT + 0x1B00008:016x} d twice"
    return Symbols(text, NoDebug(), NoSource())  # type: ignore[arg-type]


def seen(report: str = "") -> Recorded:
    return Recorded("same", "it", report, {"rbx": WORD - 0x10}, 3)


@dataclass
class Played:
    """A machine with one CPU, and the past that a replay of its life tells."""

    machine: Machine
    life: list[dict[str, int] | Callable[[], dict[str, int]]]

    def calls(self, *functions: str) -> None:
        self.life.append(lambda: self.machine.kernel(*functions))

    def writes(self, value: int, *functions: str) -> None:
        def happens() -> dict[str, int]:
            self.machine.memory[WORD - DIRECT] = value
            state = self.machine.kernel(*functions, wrote=WORD)
            return {**state, "rip": state["rip"] + 0x20}

        self.life.append(happens)

    def past(self, moment: Moment, check_end: Callable[[], None] = lambda: None) -> Past:
        stub = PlayedStub([Cpu([self.machine.kernel("start_kernel"), *self.life])])
        stub.memory, stub.ends = self.machine.memory, True
        try:
            stub.remote.attach(NEVER_S)
            return Replay(stub.remote, symbols(), WORD, check_end).past(moment)
        finally:
            stub.close()


@pytest.fixture
def played() -> Iterator[Played]:
    yield Played(Machine(), [])


def test_the_last_write_before_a_report_is_found(played: Played) -> None:
    played.writes(5, "fault", "caller")
    played.writes(7, "deep", "caller")
    played.calls("__warn", "caller")
    played.writes(9, "fault", "caller")
    past = played.past(find_moment(seen("WARNING in x"), symbols(), None))
    assert [(change.old, change.new) for change in past.changes] == [(5, 7), (0, 5)]
    assert past.changes[0].stack[0].function == "deep"
    assert past.moment[0].function == "__warn"


def test_a_write_of_the_same_value_is_no_change(played: Played) -> None:
    played.writes(5, "fault", "caller")
    played.writes(5, "deep", "caller")
    past = played.past(Moment("x", (address("__warn"),), 1))
    assert (past.count, past.changes[0].stack[0].function) == (1, "fault")


def test_without_a_report_it_is_the_line_that_ends_the_case(played: Played) -> None:
    for value in (1, 2, 3):
        played.writes(value, "fault", "caller")
        played.calls("devkmsg_write", "caller")
    played.writes(9, "fault", "caller")
    played.calls("devkmsg_write", "caller")
    past = played.past(find_moment(seen(), symbols(), None))
    assert (past.count, past.changes[0].new) == (3, 3)


def test_of_a_function_the_last_call_counts(played: Played) -> None:
    played.writes(1, "fault", "caller")
    played.calls("deep", "caller")
    played.writes(2, "fault", "caller")
    played.calls("deep", "caller")
    played.writes(3, "fault", "caller")
    past = played.past(find_moment(seen(), symbols(), "deep"))
    assert (past.count, past.changes[0].new) == (2, 2)


def test_where_the_moment_does_not_come_it_is_the_end(played: Played) -> None:
    played.writes(1, "fault", "caller")
    past = played.past(find_moment(seen("WARNING in x"), symbols(), None))
    assert (past.moment, past.count) == ((), 1)


def test_a_qemu_that_crashes_in_the_middle_gives_no_answer(played: Played) -> None:
    def crashed() -> None:
        raise MachineError("QEMU ended by signal 11")

    played.writes(1, "fault", "caller")
    with pytest.raises(MachineError, match="signal 11"):
        played.past(find_moment(seen("WARNING in x"), symbols(), None), crashed)


def test_the_answer_names_both_moments_and_both_values(played: Played) -> None:
    played.writes(5, "fault", "caller")
    played.writes(7, "deep", "caller")
    played.calls("__warn", "caller")
    moment = find_moment(seen("WARNING in x"), symbols(), None)
    lines = list(told(played.past(moment), moment, WORD))
    assert lines[:2] == ["back from the report: WARNING in x", "    __warn()"]
    at = lines.index(f"the 8 bytes at {WORD:#x} were 0x5; 0x7 was written by")
    assert lines[at + 1] == "    deep()"
    assert lines[-1] == "    0x0 -> 0x5  fault()"


def test_a_value_that_never_changed_and_a_moment_that_never_came_are_said(played: Played) -> None:
    moment = find_moment(seen("WARNING in x"), symbols(), None)
    lines = list(told(played.past(moment), moment, WORD))
    assert lines[0].endswith("the report: WARNING in x is not in it")
    assert lines[1].startswith(f"nothing has changed the 8 bytes at {WORD:#x}")


def test_an_address_is_a_number_a_symbol_or_a_register() -> None:
    known, registers = symbols(), seen().registers
    assert find_address(f"{WORD:#x}", known, registers) == WORD
    assert find_address("RBX+0x10", known, registers) == WORD
    assert find_address("jiffies_64+8", known, {}) == known.addresses("jiffies_64")[0] + 8


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("no_such", "no number, no symbol of this kernel, no register"),
        ("0x401000", "not in the kernel's space"),
        ("twice", "several symbols: 0xffffffff81b00000 0xffffffff81b00008"),
    ],
)
def test_what_is_no_address_is_refused(text: str, why: str) -> None:
    with pytest.raises(InvocationError, match=why):
        find_address(text, symbols(), {})


def test_a_function_that_is_not_there_is_refused() -> None:
    with pytest.raises(InvocationError, match="no function fauld of its own"):
        find_moment(seen(), symbols(), "fauld")


def test_a_word_is_watched_as_far_as_it_is_aligned() -> None:
    assert [watched_bytes(WORD + n) for n in (0, 8, 4, 2, 1)] == [8, 8, 4, 2, 1]
