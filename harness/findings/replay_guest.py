# SPDX-License-Identifier: GPL-2.0-only
"""A guest of a finding: QEMU, its serial line, and commands on it. No SSH, no monitor.

Process 1 runs a command of the guest's shell that comes on the serial line (agent/init.c).
Needs nothing but Python: what a finding's file runs.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.core.errors import MachineError, SeriesError
from harness.findings.finding import SCRIPT, SWAP, Finding
from harness.vm import protocol
from harness.vm.console import Console, SerialLine
from harness.vm.protocol import Completed
from harness.vm.splats import Recogniser, Splat
from harness.vm.swap_disk import make_swap

BOOT_TIMEOUT_S = 240.0  # a healthy boot under TCG takes 1.5 s
BETWEEN_ASKS_S = 0.5
SHELL_TIMEOUT_S = 30.0  # of a command that only looks, in a guest of reference speed
PACE_TIMEOUT_S = 180.0
SETTLE_TIMEOUT_S = 3.0  # for a report's end
MAX_OUTPUT_BYTES = 1 << 20  # of what a case prints
_KERNELS = re.compile(r"(?:<\d+>)?\[ *\d+\.\d{6}\]")  # how a line of the kernel's log begins
_OUT = "@out "  # how each line of a file begins that is sent on the serial line


class GuestLostError(Exception):
    """The guest has ended, or does not answer."""


def send_command(path: str) -> str:
    """The command that sends a text file of the guest on the serial line."""
    return f"head -c {MAX_OUTPUT_BYTES} {path} | sed 's/^/{_OUT}/'"


def sent(lines: Sequence[str]) -> str:
    """The text of the file that was sent so, among the other lines of a console."""
    return "".join(f"{line.removeprefix(_OUT)}\n" for line in lines if line.startswith(_OUT))


class ReplayGuest:
    """A guest in ``folder``, which has the files that QEMU's command line names.

    MachineError: QEMU is not there, or ends at once.
    """

    def __init__(self, finding: Finding, folder: Path, number: int) -> None:
        self.finding, self.folder = finding, folder
        self.pace = 1.0
        self._recogniser = Recogniser()
        self._splats: list[Splat] = []
        self._heard = threading.Condition()
        self._qemu_log = folder / f"qemu{number}.log"
        self.swap = folder / SWAP
        make_swap(self.swap, finding.swap_mb)
        from_guest, console_out = os.pipe()
        console_in, to_guest = os.pipe()
        line = SerialLine(from_guest, to_guest)
        try:
            with open(self._qemu_log, "wb") as errors:
                self.process = subprocess.Popen(
                    finding.argv, stdin=console_in, stdout=console_out, stderr=errors,
                    cwd=folder, start_new_session=True,
                )  # fmt: skip
        except FileNotFoundError as error:
            line.close()
            step = "install qemu-system-x86 (Debian), qemu-system-x86-core (Fedora)"
            raise MachineError(f"{finding.argv[0]} is not here", next_step=step) from error
        finally:
            os.close(console_in)
            os.close(console_out)
        self.console = Console(line, folder / f"console{number}.log", self._hear)

    def _hear(self, line: str | None) -> None:
        with self._heard:
            known = self._recogniser
            self._splats += known.flush() if line is None else known.feed(line)
            self._heard.notify_all()

    @property
    def alive(self) -> bool:
        """Whether QEMU runs; the kernel may hang all the same."""
        return self.process.poll() is None and not self.console.ended

    def counting(self, case: int | None) -> list[Splat]:
        """What the kernel has said in a case (None: at any time), and counts.

        Waits until no report is half printed, which none is when the console has ended.
        """
        expected = ("oom",) if self.finding.oom_expected else ()
        with self._heard:
            self._heard.wait_for(lambda: not self._recogniser.busy, SETTLE_TIMEOUT_S)
            said = [s for s in self._splats if case in (None, s.case)]
        ignored = self.finding.ignored
        return [s for s in said if s.category not in expected and s.title not in ignored]

    def complaints(self, case: int) -> tuple[str, ...]:
        """The titles of that, of one case; each once."""
        return tuple(dict.fromkeys(splat.title for splat in self.counting(case)))

    @property
    def spoilt(self) -> bool:
        """Whether no further run may take place here."""
        with self._heard:
            return not self.alive or any(splat.spoils for splat in self._splats)

    def boot(self) -> None:
        """Waits until process 1 answers; measures the guest's pace.

        Raises:
            SeriesError: it does not come up. MachineError: QEMU ended before it said anything.
        """
        deadline = time.monotonic() + BOOT_TIMEOUT_S
        up = f"{protocol.HEAD}network up"  # then it listens on the console
        while self.console.wait_for(up, BETWEEN_ASKS_S) is None:
            self._require_boot(deadline)
        here = protocol.HEAD + protocol.HERE
        self.console.send(b"?")
        while self.console.wait_for(here, BETWEEN_ASKS_S) is None:
            self._require_boot(deadline)
            self.console.send(b"?")
        try:
            _, said = self.shell("/harness/init benchmark", PACE_TIMEOUT_S)
        except GuestLostError as error:
            raise SeriesError(str(error), evidence=self.console.log) from error
        if not said.strip().isdecimal():
            what = f"the guest cannot do the first work: {said!r}"
            raise SeriesError(what, evidence=self.console.log)
        self.pace = max(1.0, int(said) / 1000 / self.finding.pace_reference_s)

    def _require_boot(self, deadline: float) -> None:
        if self.alive and time.monotonic() < deadline:
            return
        lines = self.console.lines
        if not any(line.strip() for line in lines):
            what = f"QEMU ended, or is silent, before the kernel said anything:\n{self.qemu_said()}"
            raise MachineError(what, evidence=self._qemu_log)
        what = f"the kernel does not boot here; last line:\n{lines[-1]}"
        raise SeriesError(what, evidence=self.console.log)

    def begin(self, command: str) -> Callable[[float], int | None]:
        """Begins a command of the guest's shell; what is returned waits for its status.

        It gets seconds, and gives None where the command has not ended in that time.
        """
        word, since = secrets.token_hex(4), self.console.count
        self.console.send(f"!{word} {command}\n".encode())
        end = rf"{protocol.HEAD}{protocol.RAN} {word} (-?\d+)"

        def status(timeout: float) -> int | None:
            match = self.console.wait_for(end, timeout, since=since)
            return None if match is None else int(match[1])

        return status

    def shell(self, command: str, timeout: float | None = None) -> tuple[int, str]:
        """A command's status, and the lines that it prints, without the kernel's between them.

        GuestLostError: it does not end in ``timeout`` seconds.
        """
        since = self.console.count
        # The end of a shell hangs the console up, and what is still on its way then is lost (1 of
        # 10 on a busy machine); stty waits until it has gone out.
        status = self.begin(f"{command}; s=$?; stty opost; exit $s")(
            timeout or SHELL_TIMEOUT_S * self.pace
        )
        if status is None:
            how = "does not answer" if self.alive else "died"
            raise GuestLostError(f"the guest {how}")
        lines = self.console.text(since).split("\n")
        return status, "\n".join(line for line in lines if not _KERNELS.match(line))

    def file(self, path: str) -> str:
        """A text file of the guest. GuestLostError: as ``shell``."""
        return sent(self.shell(send_command(path))[1].split("\n"))

    def exec(self, command: Sequence[str], timeout: float) -> Completed:
        """A command and all that it prints; as ``shell``, whose limits it has."""
        status, said = self.shell(shlex.join(command), timeout)
        return Completed(status, said, said)

    def announce(self, number: int) -> None:
        """What the kernel says after this case has begun is of it."""
        self._recogniser.announced = number

    def begin_case(self, number: int, runs: int = 1) -> Callable[[float], int | None]:
        """Begins the finding's program, as ``begin`` does; ``number``: of the case, from 1."""
        self.announce(number)
        limit_s = self.finding.timeout_s * self.pace
        return self.begin(f"sh {SCRIPT} {number} {limit_s:g} {self.pace:g} {runs}")

    def qemu_said(self) -> str:
        """What QEMU itself has printed, its last 2000 characters."""
        return self._qemu_log.read_text(errors="replace").strip()[-2000:]

    def close(self) -> None:
        """Ends QEMU for certain, and takes the swap disk away."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.console.close()
        self.swap.unlink(missing_ok=True)
