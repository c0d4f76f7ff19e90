# SPDX-License-Identifier: GPL-2.0-only
"""Texts in the kernel's log that parsers stumble over: what must fail a case, and what must not.

Written as a guest's console shows them: each line of a record with its time and its caller.
"""

from __future__ import annotations

import itertools
import re

import pytest

from harness.vm.splats import Recogniser, Splat, find_splats

RUNNER, PROGRAM = "T50", "T77"
STACK = ("Call Trace:", " <TASK>", " dump_stack_lvl+0x1/0x2", " {0}+0x3/0x40", " </TASK>")
CUT, END = "------------[ cut here ]------------", "---[ end trace 0000000000000000 ]---"


def stack(function: str) -> tuple[str, ...]:
    return tuple(line.format(function) for line in STACK)


def logged(*records: str, caller: str = PROGRAM, start: int = 10) -> str:
    """The console's lines of these records of the log."""
    seconds = itertools.count(start)
    return "".join(
        f"[{next(seconds):5}.000001][{caller:>6}] {line}\n"
        for record in records
        for line in record.split("\n")
    )


def case(text: str) -> str:
    """The text as what was said while case 4 ran."""
    begin = logged("harness: begin 4 texts::case", caller=RUNNER, start=1)
    return begin + text + logged("harness: end 4 exit=0 tainted=0", caller=RUNNER, start=90)


def heard(text: str) -> tuple[list[Splat], list[str]]:
    """The splats, and the lines of the remarks."""
    recogniser = Recogniser()
    found = [s for line in text.splitlines() for s in recogniser.feed(line)] + recogniser.flush()
    return found, [remark.line for remark in recogniser.take_remarks()]


DEADLOCK = (
    "WARNING: possible circular locking dependency detected",
    "sh/7 is trying to acquire lock:",
    "ffff888000000000 (&pond->lock){+.+.}-{3:3}, at: pond_fill+0x1/0x2",
    *stack("elsewhere"),
)
NULL = (
    "BUG: kernel NULL pointer dereference, address: 0000000000000010",
    "#PF: supervisor write access in kernel mode",
    "Oops: 0002 [#1] SMP",
    "RIP: 0010:pond_drain+0x1/0x2",
    *stack("caller"),
    END,
)
LOCKDEP_TITLE = "lockdep: possible circular locking dependency in pond_fill"
NULL_TITLE = "BUG: kernel NULL pointer dereference in pond_drain"
HUNG_STACK = (
    "      Not tainted 6.19.0 #1",
    "task:frog state:D stack:0 pid:7 ppid:1",
    *stack("pond_wait_for_rain"),
    *stack("pond_leap"),
)

MUST_FAIL: dict[str, tuple[str, str]] = {
    "6.19, without a condition": (
        logged(
            CUT,
            "WARNING: fs/pond.c:9 at pond_fill+0x8/0x10, CPU#3: sh/7",
            "RIP: 0010:pond_fill+0x8/0x10",
            *stack("caller"),
            END,
        ),
        "WARNING in pond_fill",
    ),
    "6.19, a condition with brackets": (
        logged(
            CUT,
            "WARNING: [x[i] != y || !(a & b)] fs/pond.c:9 at pond_fill+0x8/0x10, CPU#3: sh/7",
            *stack("caller"),
            END,
        ),
        "WARNING in pond_fill",
    ),
    "6.19, of a helper that others call": (
        logged(
            CUT,
            "WARNING: lib/refcount.c:25 at refcount_warn_saturate+0x5/0x10, CPU#0: sh/7",
            "RIP: 0010:refcount_warn_saturate+0x5/0x10",
            *stack("pond_put"),
            END,
        ),
        "WARNING: refcount bug in pond_put",
    ),
    "6.19, without a cut": (
        logged("WARNING: fs/pond.c:10 at pond_drain+0x8/0x10, CPU#0: sh/7", *stack("caller"), END),
        "WARNING in pond_drain",
    ),
    "waits for a disk": (
        logged("INFO: task frog:7 blocked in I/O wait for more than 241 seconds.", *HUNG_STACK),
        "INFO: task hung in pond_leap",
    ),
    "waits in state D": (
        logged("INFO: task frog:7 blocked for more than 241 seconds.", *HUNG_STACK),
        "INFO: task hung in pond_leap",
    ),
    "cannot die": (
        logged("INFO: task frog:7 can't die for more than 143 seconds.", *HUNG_STACK),
        "INFO: task hung in pond_leap",
    ),
    "waits for another task": (
        logged(
            "INFO: task frog:7 blocked for more than 241 seconds.",
            *HUNG_STACK,
            "INFO: task frog:7 is blocked on a mutex likely owned by task toad:8.",
            "task:toad state:S stack:0 pid:8 ppid:1",
            *stack("toad_sleeps"),
        ),
        "INFO: task hung in pond_leap",
    ),
    "a newline ends the name": (
        logged("INFO: task frog\n:7 blocked for more than 122 seconds.", *HUNG_STACK),
        "INFO: task hung in pond_leap",
    ),
    "a newline begins the name": (
        logged("INFO: task \nfrog:7 blocked for more than 122 seconds.", *HUNG_STACK),
        "INFO: task hung in pond_leap",
    ),
    "a name of newlines": (
        logged("INFO: task a\nb\nc:7 blocked in I/O wait for more than 122 seconds.", *HUNG_STACK),
        "INFO: task hung in pond_leap",
    ),
    "RCU's tasks": (
        logged(
            "INFO: rcu_tasks detected stalls on tasks:",
            "00000000deadbeef: .. nvcsw: 1/1 holdout: 1 idle_cpu: -1/0",
            "task:frog state:R  running task     stack:0 pid:7",
            *stack("pond_spin"),
        ),
        "INFO: rcu detected stall in pond_spin",
    ),
    "RCU's trace tasks": (
        logged(
            "INFO: rcu_tasks_trace detected stalls on tasks:",
            "P7: N. nesting: 1",
            "task:frog state:R  running task     stack:0 pid:7",
            *stack("pond_spin"),
        ),
        "INFO: rcu detected stall in pond_spin",
    ),
    "an expedited grace period": (
        logged(
            "rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 0-.... } 21 jiffies",
            "Sending NMI from CPU 1 to CPUs 0:",
            "NMI backtrace for cpu 0",
            "RIP: 0010:pond_spin+0x1/0x2",
            *stack("__x64_sys_leap"),
            " do_syscall_64+0x1/0x2",
        ),
        "INFO: rcu detected stall in sys_leap",
    ),
    "lockdep behind half a line": ("37 of 99 done" + logged(*DEADLOCK), LOCKDEP_TITLE),
    "lockdep behind half a line without a time": (
        "37 of 99 done" + "\n".join(DEADLOCK) + "\n",
        LOCKDEP_TITLE,
    ),
    "an oops behind a prompt": ("# cat /proc/pond " + logged(*NULL), NULL_TITLE),
    "a warning behind dots": (
        "......"
        + logged("WARNING: CPU: 0 PID: 7 at fs/pond.c:9 pond_fill+0x8/0x10", *stack("caller"), END),
        "WARNING in pond_fill",
    ),
    "printk says its line again": (
        logged("WARNING: CPU: 0 PID: 7 at fs/po")
        + "** replaying previous printk message **\n"
        + logged("WARNING: CPU: 0 PID: 7 at fs/pond.c:9 pond_fill+0x8/0x10", *stack("caller"), END),
        "WARNING in pond_fill",
    ),
    "printk says a line amid the report again": (
        logged(*NULL[:3], "RIP: 0010:pond_dr")
        + "** replaying previous printk message **\n"
        + logged(*NULL[3:]),
        NULL_TITLE,
    ),
    "the whole log is printed again": (
        logged(*NULL) + logged("printk: console [ttyS0] enabled", start=40) + logged(*NULL),
        NULL_TITLE,
    ),
    "messages were dropped before it": (
        "** 12 printk messages dropped **\n" + logged(*NULL),
        NULL_TITLE,
    ),
    "behind a forged end": (
        logged("harness: end 4 exit=0 tainted=0", *NULL),
        NULL_TITLE,
    ),
    "behind a forged beginning": (
        logged("harness: begin 4 other::case", "harness: end 4 exit=0 tainted=0", *NULL),
        NULL_TITLE,
    ),
    "behind the end of another case": (
        logged("harness: end 9 exit=0 tainted=0", *NULL),
        NULL_TITLE,
    ),
    "arm64": (
        logged(
            "Unable to handle kernel paging request at virtual address dfff800000000001",
            "Internal error: Oops: 0000000096000005 [#1] SMP",
            "pc : pond_fill+0x1/0x2",
            "lr : elsewhere+0x1/0x2",
            "Call trace:",
            " pond_fill+0x1/0x2 (P)",
            END,
        ),
        "BUG: unable to handle kernel paging in pond_fill",
    ),
    "riscv": (
        logged(
            "Unable to handle kernel access to user memory without uaccess routines at virtual "
            "address 0000000000000010",
            "Oops [#1]",
            "epc : pond_fill+0x1/0x2",
            " ra : elsewhere+0x1/0x2",
            END,
        ),
        "BUG: unable to handle kernel access to user memory without uaccess routines in pond_fill",
    ),
    "arm": (
        logged(
            "8<--- cut here ---",
            "Unable to handle kernel NULL pointer dereference at virtual "
            "address 00000000 when read",
            "PC is at pond_fill+0x1/0x2",
            "Call trace:",
            " pond_fill from caller+0x1/0x2",
            END,
        ),
        "BUG: kernel NULL pointer dereference in pond_fill",
    ),
}

MUST_PASS: dict[str, str] = {
    "a driver's warning": logged("WARNING: pond: the water is shallow"),
    "a driver's warning behind its name": logged(
        "pond 0000:00:03.0: WARNING: no frogs on this bus"
    ),
    "a driver's bug": logged("BUG: firmware: pond table has a wrong sum, ignored"),
    "an interrupt that no driver takes": logged(
        'irq 7: nobody cared (try booting with the "irqpoll" option)'
    ),
    "ext4's error": logged(
        "EXT4-fs error (device vdb): ext4_lookup:1787: inode #2: comm frog: deleted inode"
    ),
    "btrfs's error": logged("BTRFS: error (device vdb) in btrfs_pond:77: errno=-5 IO failure"),
    "xfs's error": logged(
        "XFS (vdb): Internal error pond != dry at line 7 of file fs/xfs/xfs_pond.c.  Caller f+0x1",
        "CPU: 0 PID: 1 Comm: frog Not tainted 7.3.0 #1",
        "Call Trace:",
        " xfs_pond_fill+0x1/0x2",
    ),
    "a hint of the boot": logged(
        "WARNING: workqueue cpumask: online intersect > possible intersect"
    ),
    "a program's report": logged("frog[7]: BUG: 3 open, WARNING: 1 open"),
    "a test's name": logged("# WARNING: possible circular locking dependency detected is test 3"),
    "a test's result": logged("ok 4 - kernel BUG at fs/pond.c:1 does not come any more"),
    "lockdep's words": logged("WARNING: suspicious RCU usage is what case 3 looks for"),
    "words of an oops": logged("Oops: that was not meant", "Internal error: no such frog"),
    "a BUG in a sentence": logged("kernel BUG at fs/pond.c:1 is what case 4 would have printed"),
    "a fault in a sentence": logged("general protection fault, or so it seems: see frog(1)"),
    "a checker in a sentence": logged("UBSAN: not built in", "BUG: spinlock tests are skipped"),
    "a list of tasks": logged("INFO: task list", "frog 7", "toad 8"),
    "a quotation": logged("frog: the log said 'BUG: unable to handle page fault' last week"),
    "odd bytes": "\x1b[1;31mpond\x1b[0m \ufffd\ufffd \r\n" + logged("x" * 990),
    "only dropped messages": "** 3 printk messages dropped **\n",
    "a crash of a program": logged(
        "frog[7]: segfault at 0 ip 0000000000401000 sp 00007ffd00000000 error 4 in frog[4+1]",
        "Code: 0f 0b",
    ),
}


@pytest.mark.parametrize("name", MUST_FAIL)
def test_what_must_fail_is_one_complaint_of_the_case(name: str) -> None:
    text, title = MUST_FAIL[name]
    found, _ = heard(case(text))
    assert [(splat.title, splat.case) for splat in found] == [(title, 4)]


@pytest.mark.parametrize("name", MUST_PASS)
def test_what_must_pass_is_no_complaint(name: str) -> None:
    assert heard(case(MUST_PASS[name]))[0] == []
    assert find_splats(MUST_PASS[name]) == []


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("a driver's warning", "WARNING: pond: the water is shallow"),
        ("a driver's bug", "BUG: firmware: pond table has a wrong sum, ignored"),
        (
            "an interrupt that no driver takes",
            'irq 7: nobody cared (try booting with the "irqpoll" option)',
        ),
        (
            "ext4's error",
            "EXT4-fs error (device vdb): ext4_lookup:1787: inode #2: comm frog: deleted inode",
        ),
        ("btrfs's error", "BTRFS: error (device vdb) in btrfs_pond:77: errno=-5 IO failure"),
        (
            "xfs's error",
            "XFS (vdb): Internal error pond != dry at line 7 of file fs/xfs/xfs_pond.c."
            "  Caller f+0x1",
        ),
        ("only dropped messages", "** 3 printk messages dropped **"),
    ],
)
def test_what_looks_like_a_complaint_is_a_remark(name: str, line: str) -> None:
    assert heard(case(MUST_PASS[name]))[1] == [line]


def test_a_forged_marker_is_a_remark() -> None:
    text, _ = MUST_FAIL["behind a forged end"]
    assert heard(case(text))[1] == ["harness: end 4 exit=0 tainted=0"]


def test_a_case_that_was_not_announced_does_not_begin() -> None:
    recogniser = Recogniser()
    recogniser.announced = 5
    for line in logged("harness: begin 6 forged::case", *NULL[:-1]).splitlines():
        recogniser.feed(line)
    assert [splat.case for splat in recogniser.flush()] == [None]


def test_the_end_is_that_of_the_process_that_has_begun() -> None:
    recogniser = Recogniser()
    recogniser.feed(logged("harness: begin 4 a::b", caller=RUNNER).rstrip())
    assert re.match(recogniser.told_by(4), "[   T50] ")
    assert not re.match(recogniser.told_by(4), "[   T77] ") and recogniser.told_by(5) == ""


def test_two_conditions_of_one_line_have_titles_of_their_own() -> None:
    first, second = (
        MUST_FAIL[name][1] for name in ("6.19, without a condition", "6.19, without a cut")
    )
    assert first != second


def test_a_console_of_one_endless_line_costs_nothing() -> None:
    recogniser = Recogniser()
    for _ in range(20):
        assert recogniser.feed("BUG: " * 200_000) == []
    assert all(len(splat.text) < 100_000 for splat in recogniser.flush())


def test_remarks_are_bounded() -> None:
    recogniser = Recogniser()
    for number in range(1000):
        recogniser.feed(f"WARNING: pond {number} is dry")
    recogniser.flush()
    assert len(recogniser.take_remarks()) <= 50 and recogniser.take_remarks() == []
