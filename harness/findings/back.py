# SPDX-License-Identifier: GPL-2.0-only
"""Back from a failure to the last write to an address: the replay of a recording, watched.

The stub of QEMU goes backwards too (``bc``), by replaying from the start as often as it takes. Here
the replay goes forward once, stops behind each write, and keeps the last ones with their stacks.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from harness.core.errors import InvocationError, MachineError
from harness.debugger.gdb_remote import Remote, StubError
from harness.debugger.stopped_guest import RawFrame, StoppedGuest
from harness.debugger.symbols import Frame, Symbols
from harness.findings.recording import Recorded

# Of which a report of the kernel calls one before, or soon after, its first line.
REPORTERS = ("__warn", "oops_begin", "panic", "dump_stack_lvl")
END_OF_CASE = "devkmsg_write"  # how the line gets into the log that tells it
FIRST_CODE = "start_kernel"  # before it the image's own data are cleared and moved
REPLAY_LIMIT_S = 1800.0
KEPT = 5  # of the last changes
WORD_BYTES = 8
KERNEL_SPACE = 1 << 63


@dataclass(frozen=True)
class Moment:
    """From when to go back: ``count`` calls of the functions at ``addresses`` into the recording.

    ``count`` None: the last call there is.
    """

    name: str
    addresses: tuple[int, ...]
    count: int | None


@dataclass(frozen=True)
class ValueChange:
    """One write that changed the value; None: not readable. ``stack``: the innermost first."""

    old: int | None
    new: int | None
    stack: tuple[Frame, ...]


@dataclass(frozen=True)
class Past:
    """What is known of an address at a moment. ``changes``: the last ones, the latest first.

    ``moment``: the stack there; empty where the recording ended without it.
    """

    changes: tuple[ValueChange, ...]
    count: int
    moment: tuple[Frame, ...]


def find_moment(recorded: Recorded, symbols: Symbols, function: str | None) -> Moment:
    """From when to go back. InvocationError: the kernel has no such function."""
    if function:
        if not (found := symbols.addresses(function)):
            near = ", ".join(symbols.similar(function))
            what = f"this kernel has no function {function} of its own"
            raise InvocationError(what, next_step=f"FUNCTION= one of {near}" if near else None)
        return Moment(f"the last call of {function}()", found, None)
    if recorded.report:
        found = tuple(at for name in REPORTERS for at in symbols.addresses(name))
        return Moment(f"the report: {recorded.report}", found, 1)
    return Moment("the end of the case", symbols.addresses(END_OF_CASE), recorded.logged)


def find_address(text: str, symbols: Symbols, registers: Mapping[str, int]) -> int:
    """The address of ADDRESS=: a number, a symbol or a register of the report, and ``+OFFSET``.

    InvocationError: it is none of these, or not of kernel memory.
    """
    base, _, offset = text.partition("+")
    known = symbols.addresses(base)
    try:
        if base.lower() in registers:
            start = registers[base.lower()]
        else:
            start = known[0] if known else int(base, 0)
        address = start + (int(offset, 0) if offset else 0)
    except ValueError as error:
        what = f"ADDRESS={text} is no number, no symbol of this kernel, no register of its report"
        raise InvocationError(what) from error
    if len(known) > 1:
        every = " ".join(f"{at:#x}" for at in known)
        raise InvocationError(f"ADDRESS={base} is several symbols: {every}")
    if not KERNEL_SPACE <= address < 1 << 64:
        raise InvocationError(f"ADDRESS={text} is {address:#x}, which is not in the kernel's space")
    return address


def watched_bytes(address: int) -> int:
    """How much is watched: the word that begins there, as far as it is aligned."""
    return min(WORD_BYTES, address & -address)


class Replay:
    """A replay that stands at its first instruction, and what is watched in it.

    ``check_end`` is called when the stub has gone; it raises unless the recording was at its end.
    """

    def __init__(
        self, remote: Remote, symbols: Symbols, address: int, check_end: Callable[[], None]
    ) -> None:
        self._remote, self._symbols, self._check_end = remote, symbols, check_end
        self._guest = StoppedGuest(remote, symbols)
        self._address = address
        self._deadline = time.monotonic() + REPLAY_LIMIT_S

    def _go(self) -> int | None:
        """The next stop's program counter; None where the recording has ended.

        The stub does not tell the end from a crash: of its last packet (``W00``) the receipt cannot
        be sent, as QEMU 7.2 has gone by then.
        """
        self._remote.resume((0,))
        try:
            stopped = self._remote.wait(self._deadline - time.monotonic())
        except StubError:
            self._check_end()
            return None
        if stopped is None:
            raise MachineError(f"the replay has not come to its end in {REPLAY_LIMIT_S:g} s")
        self._guest.forget()
        return self._guest.registers(0).pc

    def _writer(self) -> tuple[Frame, ...]:
        """The stack of the instruction before, which has written."""
        stack = self._guest.stack(0)
        wrote = RawFrame(self._guest.registers(0).pc, call=True)
        return tuple(replace(stack, frames=(wrote, *stack.frames[1:])).functions(self._symbols))

    def _value(self) -> int | None:
        size = watched_bytes(self._address)
        try:
            return self._guest.word(self._address) & ((1 << 8 * size) - 1)
        except StubError:
            return None

    def _step_off(self, address: int) -> None:
        """Past a breakpoint: as long as it is set, QEMU 7.2 stops there again."""
        self._remote.remove(address)
        self._remote.step(0)
        self._remote.insert(address)

    def past(self, moment: Moment) -> Past:
        """Replays up to the moment, or to the end. MachineError: it does not come to either."""
        for address in self._symbols.addresses(FIRST_CODE):
            self._remote.insert(address)
            self._go()
            self._remote.remove(address)
        value, count, calls = self._value(), 0, 0
        kept: deque[ValueChange] = deque(maxlen=KEPT)
        last = Past((), 0, ())
        self._remote.watch(self._address, watched_bytes(self._address))
        for address in moment.addresses:
            self._remote.insert(address)
        while (pc := self._go()) is not None:
            if pc in moment.addresses:
                calls += 1
                if moment.count in (None, calls):
                    here = tuple(self._guest.stack(0).functions(self._symbols))
                    last = Past(tuple(reversed(kept)), count, here)
                if calls == moment.count:
                    return last
                self._step_off(pc)
            # A write of what was there already changes nothing; and QEMU 7.2 stops
            # at some writes nearby as well.
            if (new := self._value()) != value:
                kept.append(ValueChange(value, new, self._writer()))
                value, count = new, count + 1
        return last if last.moment else Past(tuple(reversed(kept)), count, ())
