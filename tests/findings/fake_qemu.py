# SPDX-License-Identifier: GPL-2.0-only
"""A program in QEMU's place: speaks on its standard input and output as process 1 of a guest does.

Its one argument is a JSON file: ``outcomes``, one a run of the case: what it prints and its
status, or 'splat', 'dies', 'mute'. Stands alone: it is run with Python's own library.
"""

import json
import re
import sys
from pathlib import Path

WARNING = """------------[ cut here ]------------
WARNING: CPU: 0 PID: 7 at mm/x.c:1 do_thing+0x1/0x2
RIP: 0010:do_thing+0x1/0x2
RSP: 0018:ffffc90000127e10 EFLAGS: 00010246
RAX: 0000000000000007 RBX: ffff888001234000 RCX: 0000000000000000
Call Trace:
 <TASK>
 do_thing+0x1/0x2
 </TASK>
---[ end trace 0000000000000000 ]---
"""
PASSES = "KTAP version 1\n1..1\nok 1 it\n"


def kernel(text: str) -> None:
    """A line, or several, of the kernel's log."""
    for line in text.splitlines():
        sys.stdout.write(f"[    1.000000] {line}\n")
    sys.stdout.flush()


def main(plan: Path) -> None:
    """Answers until its input ends, or the guest dies."""
    told = json.loads(plan.read_text())
    outcomes, printed = told["outcomes"], ""
    if told.get("silent"):
        sys.exit("qemu-system-x86_64: no such machine")
    kernel("harness: mounted\nharness: network up")
    if "recorded" in told:  # by itself, and it has no input
        kernel('Kernel command line: -c "echo harness: ran recorded $(cat x)"')
        kernel("harness: begin 1 it")
        if told["recorded"] == "splat":
            kernel(WARNING)
        sys.stdout.write("".join(f"@out {line}\n" for line in outcomes[0][0].splitlines()))
        kernel(f"harness: end 1 exit={outcomes[0][1]} tainted=0")
        kernel(f"harness: ran recorded {outcomes[0][1]}")
    while typed := sys.stdin.read(1):
        if typed == "?":
            kernel("harness: here")
        if typed != "!":
            continue
        word, _, command = sys.stdin.readline().rstrip("\n").partition(" ")
        status = 0
        if "benchmark" in command:
            sys.stdout.write("100\n")
        elif "head -c" in command:
            text = printed if "/out" in command else ""
            kernel("something else that the kernel says")
            sys.stdout.write("".join(f"@out {line}\n" for line in text.splitlines()))
        elif case := re.match(r"sh /tests/finding (\d+) ", command):
            outcome = outcomes.pop(0)
            plan.write_text(json.dumps(told))  # another guest goes on from here
            kernel(f"harness: begin {case[1]} it")
            if outcome == "dies":
                return
            if outcome == "mute":
                sys.stdin.read()
            if outcome == "splat":
                kernel(WARNING)
                outcome = [PASSES, 0]
            printed, status = outcome
            kernel(f"harness: end {case[1]} exit={status} tainted=0")
        kernel(f"harness: ran {word} {status}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
