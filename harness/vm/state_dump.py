# SPDX-License-Identifier: GPL-2.0-only
"""What a guest that hangs still shows: QEMU's view of it, its registers, sysrq's traces."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable

from harness.core.errors import InternalError
from harness.vm.accel import last_words
from harness.vm.console import Console
from harness.vm.qemu import MonitorClosedError, Qemu
from harness.vm.serial_dialogue import ASK, HERE, SerialDialogue

ANSWER = 2.0  # seconds for the first word of an answer
ENDING = 5.0  # seconds for a QEMU that has closed its console
TAIL = 200  # lines of the console that are repeated in a dump

_TROUBLE = (MonitorClosedError, TimeoutError, InternalError, OSError, ValueError)


def sysrq(qemu: Qemu, console: Console, key: str) -> int:
    """Sends a sysrq key as a break and a byte; how many lines came back (0: no answer)."""
    with SerialDialogue(console) as line:
        try:
            qemu.send_break()
        except _TROUBLE:
            return 0
        line.send(key)
        return 1 + line.rest().count("\n") if line.comes("sysrq: ", ANSWER) else 0


def why_silent(qemu: Qemu, console: Console, patience: float) -> tuple[bool, str]:
    """A guest that does not answer over SSH: is it the network, user space, or all of it?

    Whether process 1 answers on the console within ``patience`` seconds, and what is lost.
    """
    with SerialDialogue(console) as line:
        line.send(ASK)
        if line.comes(HERE, patience):
            return True, "the network to the guest is gone; process 1 still answers on the console"
    answers = sysrq(qemu, console, "h")
    if not qemu.alive or console.ended:
        return False, "the guest died"
    if answers:
        return False, "the guest hangs: only its kernel still answers, to sysrq on the console"
    return False, "the guest hangs: it answers neither SSH nor sysrq on the console"


def kvm_suspect(qemu: Qemu, console: Console, unbegun: bool) -> str:
    """Why KVM, and not its kernel, may have lost a guest; '' where nothing says so.

    Args:
        unbegun: it was lost before its first case began, when all it had done was to boot or
            to be restored.
    """
    if console.ended:
        with contextlib.suppress(subprocess.TimeoutExpired):
            qemu.process.wait(ENDING)
    # A panic ends QEMU with status 0 (-no-reboot).
    if status := qemu.process.poll():
        return f"QEMU ended with status {status}: {last_words(qemu.complaints().splitlines())}"
    if qemu.alive:
        with contextlib.suppress(*_TROUBLE):
            if qemu.monitor.command("query-status").get("status") == "internal-error":
                said = last_words(qemu.complaints().splitlines())
                return f"KVM gave the guest up: {said or 'internal error'}"
    return "the guest was lost before its first case began" if unbegun else ""


# Why SSH is lost, asked on the serial line: whether its server runs, the network, the kernel.
RESCUE = (
    "ps",
    "ip addr; ip route; cat /proc/net/dev /proc/net/tcp",
    "cat /proc/meminfo | head -n 3; cat /proc/pressure/memory",
    "dmesg | tail -n 40",
)


def rescue(console: Console, patience: float) -> str:
    """What a shell on the serial line says; the first command without an end is the last.

    Args:
        patience: seconds for each command.
    """
    parts = []
    with SerialDialogue(console) as line:
        for command in RESCUE:
            if (said := line.run(command, patience)) is None:
                parts.append(f"$ {command}\nno end of it in {patience:.0f} s")
                break
            parts.append(f"$ {command}\n{said}")
    return "\n".join(parts)


def state_of(about: str, qemu: Qemu, console: Console, patience: float | None = None) -> str:
    """A report on a guest in any state; what cannot be had is said in its place.

    Args:
        patience: seconds for each command on the serial line; None: nobody answers there.
    """
    parts = [about]

    def ask(title: str, get: Callable[[], object]) -> None:
        try:
            parts.append(f"==== {title}\n{get()}")
        except _TROUBLE as error:
            parts.append(f"==== {title}\nnot to be had: {error or type(error).__name__}")

    if qemu.alive and not console.ended:
        ask("query-status", lambda: qemu.monitor.command("query-status"))
        ask("info registers -a", lambda: qemu.monitor.human("info registers -a"))
        since = console.count
        if patience is not None:
            parts.append(f"==== a shell on the serial line\n{rescue(console, patience)}")
        for key, what in (("l", "all CPUs"), ("w", "blocked tasks"), ("t", "all tasks")):
            count = sysrq(qemu, console, key)
            parts.append(f"==== sysrq {key} ({what}): {count or 'no answer'}")
            if not count:
                break  # nor will it answer to the next
        parts.append(f"==== console since\n{console.text(since)}")
    else:
        parts.append(f"QEMU has ended with status {qemu.process.poll()}")
    parts.append("==== end of the console\n" + "\n".join(console.lines[-TAIL:]))
    return "\n\n".join(parts) + "\n"
