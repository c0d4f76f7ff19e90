# SPDX-License-Identifier: GPL-2.0-only
"""Which function of a report is to blame: the one that its title names.

Pure: lines and tables go in, a name comes out. The tables are `blame` in splats.yaml,
with a reason for each; which of them a report uses stands in its entry there.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

UNKNOWN = "unknown function"
_First = Callable[[Sequence[str]], str | None]  # the first name that is not passed over

_ADDRESS = r"(?:\[?<?(?:0x)?[0-9a-f]{4,}>?\]?:?\s+)"
_NAME = r"(?P<name>[A-Za-z_$][\w.$]*)"
_OFFSET = r"\+0x[0-9a-f]+(?:/0x[0-9a-f]+)?"
# x86, arm64, riscv, powerpc (two addresses), s390 (in parentheses).
_FRAME = re.compile(
    rf"^(?:\s+|(?=\[<?[0-9a-f]{{8}}))(?:</?\w+>\s*)?\(?{_ADDRESS}{{0,2}}"
    rf"(?P<unsure>\? +)?(?:\d+:)?{_NAME}{_OFFSET}(?P<doubt>.*\(unreliable\))?"
)
# arm: the callee, then the address in its caller.
_FROM = re.compile(r"^\s*(?:\[<[0-9a-f]+>\] )?\(?(?P<name>[A-Za-z_]\w*)\)? from (?P<caller>.*)$")
_CALLER = re.compile(rf"^(?:\[<[0-9a-f]+>\] )?\(?{_NAME}{_OFFSET}")
# Where the processor was: x86 of today and of 4.x, arm64, arm, riscv, powerpc, s390.
_WHERE = re.compile(
    r"^(?:E?IP: (?:\d+:)?|RIP: (?:0010|e030):|RIP  ?(?:0010:)?|EIP is at |NIP |PC is at |pc : "
    r"|epc\s+: |\s*ERA: |Krnl PSW : .*\()"
    rf"(?:{_ADDRESS}{{0,2}}\[?{_NAME}{_OFFSET}|(?:\[<)?(?:0x)?[0-9a-f]+)"
)
_TRACE = re.compile(
    r"^(?:CPU: \d+ (?:UID|PID|Comm)|\s*Call [Tt]race:|\s*[Bb]acktrace:|\s*stack backtrace:"
    r"|NMI backtrace for cpu|Task dump for CPU|task:\S|Stack:"
    r"|\S+ +[RSDTtXZPI] +(?:running|\d|[0-9a-f]{8,}))"
)
# Stacks of something else than of what happened.
_OTHER_STACK = re.compile(
    r"^(?:(?:Allocated|Freed|Last potentially|Second to last|Uninit was|allocated|freed) "
    r"|(?:Allocated|Freed):|-> #\d|page last |Preemption disabled at:"
    r"|.*INITIAL USE at:|the (?:existing|first) )"
)
_AT = re.compile(rf"(?<![\w.])(?<!\? )(?:\[<[0-9a-f]+>\] *)?{_NAME}\+0x[0-9a-f]+/0x[0-9a-f]+")
_HELD = re.compile(r"^\s*#\d+: ")  # in lockdep's list of the locks that are held
# Suffixes of compiler-made copies: the function is the same.
_COPY = re.compile(r"\.(?:part|isra|constprop|cold|llvm|__uniq)(?:\.\d+)*")
# How one system call is called at its entries; which of them is inlined is chance.
_SYSCALL_BODY = re.compile(r"^(?:__(?:do|se)_(?:compat_)?sys_|(?:compat_)?(?:SyS|SYSC)_)")
_SYSCALL_ENTRY = re.compile(r"^__(?:x64|ia32|arm64|riscv|s390x?|powerpc)_(?:compat_)?(?=sys_)")


def plain_name(function: str) -> str:
    """A function's name without the suffixes of compiler-made copies."""
    return _COPY.sub("", function)


def _title_name(function: str) -> str:
    """The name for a title; one for all the entries of a system call."""
    return _SYSCALL_ENTRY.sub("", _SYSCALL_BODY.sub("", plain_name(function)))


def frame_of(line: str) -> tuple[str, bool] | None:
    """The function of a stack's line without prefix, and whether the unwinder is sure of it."""
    if match := _FRAME.match(line):
        return plain_name(match["name"]), not (match["unsure"] or match["doubt"])
    if match := _FROM.match(line):
        return plain_name(match["name"]), True
    return None


@dataclass(frozen=True)
class FunctionList:
    """Functions that a report may pass over."""

    why: str
    functions: re.Pattern[str]


@dataclass(frozen=True)
class Gathered:
    """A function that stands for itself wherever it is in a stack, by one name."""

    function: re.Pattern[str]
    name: str
    why: str


@dataclass(frozen=True)
class SkipTables:
    """``blame`` of splats.yaml.

    ``always``: the lists that each report passes over. Besides those that reports name the lists
    ``interrupt_entry`` (what is above it in a stack is the interrupt's), ``idle`` (whose stack
    says nothing about a stall) and ``dispatch`` (that call whatever was asked for) are there.
    """

    always: tuple[str, ...]
    lists: dict[str, FunctionList]
    gathered: dict[str, tuple[Gathered, ...]]

    def has(self, name: str, function: str) -> bool:
        """Whether a function is in the list of that name."""
        return self.lists[name].functions.search(function) is not None


@dataclass(frozen=True)
class _Stack:
    """One stack, innermost first.

    Args:
        where: the processor was there when it was taken; '?' if that is no function.
        resumed: it goes on where another one's interrupt or exception came.
    """

    where: str
    sure: list[str]
    unsure: list[str]
    resumed: bool

    @property
    def all(self) -> list[str]:
        return ([self.where] if self.where.strip("?") else []) + self.sure


def _stacks(lines: Sequence[str]) -> Iterator[_Stack]:
    """The stacks of what happened: not those of earlier allocations and locks."""
    where = ""
    sure: list[str] = []
    unsure: list[str] = []
    earlier = resumed = False
    for line in lines:
        at = _WHERE.match(line)
        begins = _TRACE.match(line) is not None
        if at or begins or _OTHER_STACK.match(line):
            fresh = not (sure or unsure or earlier)
            if not (begins and not at and fresh):  # the trace of a place that is known already
                if not (fresh and not where) and not earlier:
                    yield _Stack(where, sure, unsure, resumed)
                resumed = at is not None and not fresh
                where, sure, unsure = "", [], []
            earlier = not (at or begins)
            if at:
                where = plain_name(at["name"] or "?")
        elif not earlier and (frame := frame_of(line)):
            (sure if frame[1] else unsure).append(frame[0])
            if (arm := _FROM.match(line)) and (caller := _CALLER.match(arm["caller"])):
                unsure.append(plain_name(caller["name"]))  # its own line follows, but the last's
    if (where or sure or unsure) and not earlier:
        yield _Stack(where, sure, unsure, resumed)


@dataclass(frozen=True, kw_only=True)
class BlameRule:
    """How a report finds its function; splats.yaml says what each field means."""

    func: tuple[str, ...] = ("where", "stack")
    at: re.Pattern[str] | None = None
    below: re.Pattern[str] | None = None
    skip: tuple[str, ...] = ()


def culprit(lines: Sequence[str], rule: BlameRule, tables: SkipTables) -> str:
    """The function that the report's title should name; ``UNKNOWN`` where it names none."""
    stacks = list(_stacks(lines))

    def passed(name: str) -> bool:
        return any(tables.has(listed, name) for listed in (*tables.always, *rule.skip))

    def first(names: Sequence[str]) -> str | None:
        return next((name for name in names if not passed(name)), None)

    def tried(way: str) -> str | None:
        match way:
            case "at":
                return first(_named_behind(lines, rule.at))
            case "below":
                return first(_frames_below(lines, rule.below))
            case "where":
                # Where the processor was; of its callers, if that is passed over.
                return next((first(stack.all) for stack in stacks if stack.where), None)
            case "stack":
                return next((n for stack in stacks if (n := first(stack.sure))), None)
            case "hang":
                return _hang(stacks, first, tables)
            case "stall":
                return _stall(stacks, first, tables)
        raise ValueError(f"no way to find a function: {way}")

    for way in rule.func:
        if name := tried(way):
            return _title_name(name)
    left = [n for stack in stacks for n in stack.unsure]
    name = first(left) or next(iter([n for s in stacks for n in s.all] + left), UNKNOWN)
    return _title_name(name)


def _named_behind(lines: Sequence[str], at: re.Pattern[str] | None) -> list[str]:
    """The functions with an offset behind what ``at`` matches, in its line or else soon after."""
    for index, line in enumerate(lines):
        if at is not None and (match := at.search(line)):
            own = list(_AT.finditer(line, match.end()))
            near = itertools.takewhile(lambda text: not _HELD.match(text), lines[index + 1 :])
            after = "\n".join(itertools.islice(near, 8))
            return [plain_name(found["name"]) for found in own or _AT.finditer(after)]
    return []


def _frames_below(lines: Sequence[str], below: re.Pattern[str] | None) -> list[str]:
    """The frames that follow the line that ``below`` matches."""
    names: list[str] = []
    for index, line in enumerate(lines):
        if below is not None and below.search(line):
            for text in lines[index + 1 :]:
                if (frame := frame_of(text)) is None:
                    break
                names += [frame[0]] if frame[1] else []
            break
    return names


def _gathered(names: Sequence[str], table: Sequence[Gathered]) -> str | None:
    found = (row.name for name in names for row in table if row.function.search(name))
    return next(found, None)


def _hang(stacks: Sequence[_Stack], first: _First, tables: SkipTables) -> str | None:
    """The first function that waits on behalf of something, of the task's own stack."""
    for stack in stacks:
        if name := _gathered(stack.sure, tables.gathered["hang"]) or first(stack.sure):
            return name
    return None


def _stall(stacks: Sequence[_Stack], first: _First, tables: SkipTables) -> str | None:
    """What was asked for: the last function before the one that dispatches.

    A processor that does not get on is found at a random place of a loop; what it was
    asked to do is the same each time.
    """
    candidates: list[list[str]] = []
    for index, stack in enumerate(stacks):
        names = stack.all
        entries = [at for at, name in enumerate(names) if tables.has("interrupt_entry", name)]
        if entries and not stack.where:  # else it was where it is in an interrupt
            names = names[entries[0] + 1 :]
        for rest in itertools.takewhile(lambda s: s.resumed, stacks[index + 1 :]):
            names = names + rest.all
        if not any(tables.has("idle", name) for name in names):
            candidates.append(names)
    for names in candidates:
        before: str | None = None
        for name in names:
            if stands := _gathered([name], tables.gathered["stall"]):
                return stands
            if not first([name]):
                continue
            if tables.has("dispatch", name):
                return before or name
            before = name
    return next((found for names in candidates if (found := first(names))), None)
