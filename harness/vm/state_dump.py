# SPDX-License-Identifier: GPL-2.0-only
"""What a guest in trouble shows: QEMU's view of it, sysrq's traces; its memory, in a core."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import InternalError
from harness.vm.accel import last_words
from harness.vm.console import Console
from harness.vm.qemu import Monitor, MonitorClosedError, Qemu
from harness.vm.serial_dialogue import ASK, HERE, SerialDialogue

ANSWER = 2.0  # seconds for the first word of an answer
ENDING = 5.0  # seconds for a QEMU that has closed its console
TAIL = 200  # lines of the console that are repeated in a dump

CORE_TIMEOUT_S = 300.0  # for a guest of 2 GiB on a slow disk; 512 MiB take 1 s
# A panic that restarts the guest at once would end QEMU before it is stopped; the last word of a
# command line that has two of these counts.
CORE_APPEND = "panic=0"

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


@dataclass
class CoreDump:
    """A guest's memory and registers when its kernel begins to complain: an ELF core.

    Taken at the first line of a report, while the kernel prints it: by its last line the task that
    it is about has gone on. What turns out to be none that counts is taken away again.
    ``path`` is the core of the whole run, which keeps one: the first.
    """

    path: Path
    draft: Path
    trouble: str | None = None
    over: bool = False

    def heard(self, monitor: Monitor, *, busy: bool, counting: bool) -> None:
        """After each line of the console: a report is ``busy``; one that counts has ended."""
        if self.over:
            return
        if (busy or counting) and not self.draft.exists():
            self._take(monitor)
        if counting:
            self._publish()
        elif not busy:
            self.draft.unlink(missing_ok=True)

    def _take(self, monitor: Monitor) -> None:
        if self.path.exists():
            self.over = True
            return
        try:
            monitor.command("stop")
            where = f"file:{self.draft}"
            monitor.command(
                "dump-guest-memory", timeout=CORE_TIMEOUT_S, paging=False, protocol=where
            )
            monitor.command("cont")
        except (InternalError, MonitorClosedError, TimeoutError) as error:
            self.trouble, self.over = str(error) or "QEMU had ended", True
            self.draft.unlink(missing_ok=True)

    def _publish(self) -> None:
        self.over = True
        if self.draft.exists():
            with contextlib.suppress(FileExistsError):  # another guest's came first
                os.link(self.draft, self.path)
            self.draft.unlink()
