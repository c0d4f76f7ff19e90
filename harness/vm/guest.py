# SPDX-License-Identifier: GPL-2.0-only
"""A running guest: commands, test cases, its splats. One that hangs is dumped and killed here.

Made by ``boot.boot``. A guest is *trustworthy* until its kernel has complained of
something that may have damaged it, or until it was lost; its owner replaces one that is not.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.core.errors import InternalError
from harness.vm import protocol
from harness.vm.channel import CaseLine, CommandTimeoutError, SshError, request_of
from harness.vm.console import Console
from harness.vm.machine import GuestSpec
from harness.vm.protocol import Ask, CaseEnd, Completed
from harness.vm.qemu import Qemu
from harness.vm.splats import ConsoleRemark, Recogniser, Splat
from harness.vm.ssh import Connection, KeyPair, command_line
from harness.vm.state_dump import CoreDump, kvm_suspect, state_of, why_silent

INIT = "/harness/init"
# Seconds for a guest of reference speed; a slower one (pace.py) gets so much more.
GRACE = 4.0  # to end a case that is out of time: the guest itself takes 1.5 at most
PING = 4.0  # in which a living guest answers: it takes 0.2
ASK = 2.0  # in which process 1 answers on the console
LATE = 1.0  # for output that is still on its way when the case has ended
GIVE_UP = 2.0  # for a case to end after its kernel has said that it is stuck

# Bits of /proc/sys/kernel/tainted: a bad page, an oops, a soft lockup.
_DAMAGE = 1 << 5 | 1 << 7 | 1 << 14
_WARNED = 1 << 9


@dataclass(frozen=True)
class CaseRun(CaseEnd):
    """All that was seen of one case.

    Args:
        evidence: the state dump of a lost guest.
        splats: complaints that began while it ran.
        kvm_suspect: '' or why KVM, and not the kernel, may have lost the guest.
    """

    evidence: Path | None = None
    splats: tuple[Splat, ...] = ()
    kvm_suspect: str = ""


def marks_of(folder: Path, name: str) -> Path:
    """Where a guest's QEMU marks which of the watched code has run."""
    return folder / f"{name}.marks"


class Guest:
    """One guest. ``folder`` takes its console log, swap disk and dumps, named ``name``."""

    def __init__(
        self,
        spec: GuestSpec,
        folder: Path,
        name: str,
        qemu: Qemu,
        keys: KeyPair,
        *,
        console_log: Path | None = None,
    ) -> None:
        self.spec = spec
        self.folder = folder
        self.name = name
        self.qemu = qemu
        self.keys = keys
        self.boot_id = ""
        self.release = ""
        self.boot_seconds = 0.0
        self.pace = 1.0  # how much slower than the reference this guest is
        self.lost = ""
        self.tainted = 0
        self._sequence = 0  # of the case that runs, or ran last
        self._since = 0  # the console's lines before it
        self._expecting_oom: set[int] = set()
        self._splats: list[Splat] = []
        self._handed_out: set[int] = set()  # ids of those that their owner has been given
        self._spoiled = ""
        self._dumping = False
        self._talks = False  # whoever asks it on the console for the reason gets an answer
        self._lock = threading.Condition()  # notified of all that the recogniser is given
        self._recogniser = Recogniser()
        self._connection: Connection | None = None
        self._line: CaseLine | None = None
        draft = folder / f"{name}.core.draft"
        self.core = CoreDump(spec.core, draft) if spec.core is not None else None
        log = console_log or folder / f"{name}.console.log"
        self.console = Console(qemu.console, log, self._hear)

    def _hear(self, line: str | None) -> None:
        """A line, or (None) silence."""
        with self._lock:
            found = self._recogniser.flush() if line is None else self._recogniser.feed(line)
            counting = self._keep(found)
            busy = self._recogniser.busy and not self._dumping
            self._lock.notify_all()
        if self.core is not None:
            self.core.heard(self.qemu.monitor, busy=busy, counting=counting)

    def _keep(self, splats: Sequence[Splat]) -> bool:
        """Keeps those that are news; whether one is that nobody has asked for."""
        counting = False
        if self._dumping:
            return False  # what a dump of a hung guest provokes is no news
        for splat in splats:
            if any(s.title == splat.title and s.case == splat.case for s in self._splats):
                continue  # the kernel repeats itself; the whole of it is in the log
            if splat.category == "oom" and splat.case in self._expecting_oom:
                splat = replace(splat, expected=True)
            self._splats.append(splat)
            counting = counting or not splat.expected
            if splat.spoils:
                self._spoiled = splat.title
        return counting

    @property
    def swap_image(self) -> Path:
        """The raw swap disk of this guest, on the host."""
        return self.folder / f"{self.name}.swap"

    @property
    def trustworthy(self) -> bool:
        """Whether the next case may run here."""
        return not self.lost and not self._spoiled and not self.tainted & _DAMAGE and self.alive

    @property
    def alive(self) -> bool:
        """Whether QEMU runs and its console is open; the kernel may hang all the same."""
        return self.qemu.alive and not self.console.ended

    def splats(self) -> tuple[Splat, ...]:
        """Everything the kernel has complained of so far."""
        with self._lock:
            return tuple(self._splats)

    def take_stray_splats(self, case: int | None = None) -> tuple[Splat, ...]:
        """What nobody has been given yet: of one case, or (None) all of it.

        That are complaints that no CaseRun has: at boot, between cases, or too late.
        """
        with self._lock:
            mine = [splat for splat in self._splats if case in (None, splat.case)]
            fresh = [splat for splat in mine if id(splat) not in self._handed_out]
            self._handed_out.update(map(id, fresh))
        return tuple(fresh)

    def take_remarks(self) -> list[ConsoleRemark]:
        """What looked like a complaint and is none; each once."""
        with self._lock:
            return self._recogniser.take_remarks()

    def settle(self, timeout: float = 3.0) -> None:
        """Waits until no report is half printed, which none is when the console has ended."""
        with self._lock:
            self._lock.wait_for(lambda: not self._recogniser.busy, timeout)

    def disconnect(self) -> None:
        """Ends the SSH connection, if there is one."""
        self._line = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def connect(self, timeout: float) -> None:
        """Makes the SSH connection anew; SshError: see ``Connection.open``."""
        self.disconnect()
        self._connection = self._dial(timeout)

    def _dial(self, timeout: float) -> Connection:
        port, key = self.qemu.port, self.spec.host_key
        return Connection.open(port, self.keys, key, timeout, lambda: self.alive)

    def _connected(self) -> Connection:
        if self._connection is None:
            raise InternalError(f"guest {self.name} has no SSH connection yet")
        return self._connection

    def exec(
        self, command: str | Sequence[str], timeout: float = 60.0, stdin: bytes = b""
    ) -> Completed:
        """Runs a command: an argument list, or one line for the guest's shell.

        Raises SshError, or TimeoutError: it did not end in time; it may still run.
        """
        line = command if isinstance(command, str) else command_line(command)
        return self._connected().execute(line, timeout, stdin)

    def hello(self, timeout: float) -> None:
        """The first command: learns the boot id, sets the clock, stirs the random pool.

        Raises SshError, TimeoutError: as ``exec``; SshError also for a senseless answer.
        """
        answer = self.exec([INIT, "hello", f"{time.time():.6f}", os.urandom(32).hex()], timeout)
        words = answer.stdout.split()
        if answer.exit_code != 0 or len(words) != 3:
            raise SshError(f"the guest's first command failed: {answer.stderr or answer.stdout}")
        self.boot_id, self.tainted, self.release = words[0], int(words[1]), words[2]

    def ping(self) -> bool:
        """Whether the guest still runs commands; on a connection of its own."""
        timeout = PING * self.pace
        try:
            with contextlib.closing(self._dial(timeout)) as probe:
                return probe.execute("true", timeout).exit_code == 0
        except (SshError, TimeoutError):
            return False

    def run_case(
        self,
        case_id: str,
        argv: Sequence[str],
        timeout: float,
        env: dict[str, str] | None = None,
        oom_expected: bool = False,
        talk: Callable[[Ask], None] | None = None,
    ) -> CaseRun:
        """Runs one case between two markers on the console, over SSH.

        WARN_ON_ONCE is re-armed first. A case that is out of time is killed in
        the guest, with all it has started, and says where it hung. A guest that
        does not answer any more is dumped, killed and reported as lost.

        Args:
            timeout: seconds.
            oom_expected: the case means to be out of memory.
            talk: the host's half of a dialogue with it, see protocol.py.
        """
        self._sequence += 1
        seq = self._recogniser.announced = self._sequence
        if oom_expected:
            self._expecting_oom.add(seq)
        self._since = self.console.count
        words = [str(seq), case_id.replace(" ", "_"), f"{timeout:g}"]
        env = dict(self.spec.env) | {protocol.PACE_VARIABLE: f"{self.pace:g}"} | dict(env or {})
        start = time.monotonic()
        run = self._execute_case(words, argv, env, timeout, talk)
        lost, ended = run.lost, None
        if not lost:
            ended = self._marker(protocol.END, 5.0)
        elif not self.alive:
            self.console.join()
        self.settle()
        seconds = time.monotonic() - start
        evidence = None
        if lost:
            during = [s.title for s in self.splats() if s.case == seq and not s.expected]
            lost = self.lost = f"{lost} ({during[0]})" if during else lost
            if self.spec.accel == "kvm" and not during and not self._spoiled:
                begin = f"{protocol.HEAD}{protocol.BEGIN} {seq} "
                unbegun = seq == 1 and not self.console.wait_for(begin, 0.0, since=self._since)
                run = replace(run, kvm_suspect=kvm_suspect(self.qemu, self.console, unbegun))
            evidence = self.dump_state()
            self.qemu.kill()
        elif self._marker(protocol.STUCK):
            self._spoiled = self._spoiled or "a process that cannot be killed"
            evidence = self.dump_state()
        if ended is not None:
            self._note_taint(int(ended[3]), seq)
            if ended[1] == "timeout":
                run = replace(run, exit_code=None, timed_out=True)
        self.console.check()
        splats = self.take_stray_splats(seq)
        return replace(run, seconds=seconds, lost=lost, evidence=evidence, splats=splats)

    def _execute_case(
        self,
        words: Sequence[str],
        argv: Sequence[str],
        env: dict[str, str],
        timeout: float,
        talk: Callable[[Ask], None] | None,
    ) -> CaseRun:
        """Runs the case to its end, or finds out how the guest was lost."""

        def limit() -> float | None:
            # The case is over, and a process that nobody can kill holds its output open.
            if self._marker(protocol.END):
                return LATE
            # The kernel has reported that it is stuck, or worse: it is not worth waiting for.
            return GIVE_UP * self.pace if self._spoiled else None

        timeout += GRACE * self.pace
        try:
            if talk is None:
                if self._line is None or not self._line.open:  # the last one may have gone wrong
                    self._line = self._connected().serve_cases(f"{INIT} serve", timeout)
                done = self._line.run(request_of(words, argv, env), timeout, limit)
            else:  # the end of its input is that of the dialogue: it takes a channel of its own
                talking = env | {protocol.DIALOGUE_VARIABLE: "1"}
                line = command_line([INIT, "case", *words, *argv], talking)
                done = self._connected().execute(line, timeout, limit=limit, talk=talk)
            return CaseRun(done.exit_code, done.stdout, done.stderr)
        except SshError:
            if not self.alive:
                return CaseRun(None, lost="the guest died")
            self._talks = self.ping()
            answers = "the SSH connection was lost; the guest still answers on a new one"
            return CaseRun(None, lost=answers if self._talks else self._silence())
        except CommandTimeoutError as error:
            return self._out_of_time(error)

    def _out_of_time(self, error: CommandTimeoutError) -> CaseRun:
        """The guest should have ended the case by itself; why did it not?"""
        run = CaseRun(None, error.stdout, error.stderr)
        marker = self._marker(protocol.END)
        if self._spoiled and marker is None:
            return replace(run, lost="the case was given up")
        if not (marker and self._marker(protocol.STUCK)) and not self.ping():
            return replace(run, lost=self._silence())
        if marker is not None:  # signals as a shell counts them
            signals = 128 if marker[1] == "signal" else 0
            return replace(run, exit_code=int(marker[2]) + signals)
        with contextlib.suppress(SshError, TimeoutError):
            self.exec([INIT, "kill", str(self._sequence)], PING * self.pace)
        # The guest goes by its own clock, which falls behind where its host has no time for it.
        ended = self._marker(protocol.END, LATE * self.pace)
        lost = "the case was ended by the host" if ended else "the case cannot be ended"
        return replace(run, lost=f"{lost}: the guest did not do it in time")

    def _marker(self, word: str, timeout: float = 0.0) -> re.Match[str] | None:
        """What case.c prints: STUCK, or END with how, a number and the kernel's taint."""
        seq = self._sequence
        by = self._recogniser.told_by(seq)
        pattern = rf"{by}{protocol.HEAD}{word} {seq}(?:: | (\w+)=(\d+) tainted=(\d+))"
        return self.console.wait_for(pattern, timeout, since=self._since)

    def _silence(self) -> str:
        self._talks, why = why_silent(self.qemu, self.console, ASK * self.pace)
        return why

    def _note_taint(self, tainted: int, seq: int) -> None:
        """A kernel that is newly tainted and of which no report was seen has said something."""
        fresh = tainted & ~self.tainted & (_DAMAGE | _WARNED)
        self.tainted = tainted
        with self._lock:
            if fresh and not any(s.case == seq for s in self._splats):
                at = self.console.count
                text = f"/proc/sys/kernel/tainted went to {tainted} and no report was recognised"
                self._keep([Splat(f"kernel tainted 0x{fresh:x}", "taint", text, seq, at, at)])

    def dump_state(self) -> Path:
        """What a hung or dead guest still shows, in a file; what that provokes is no splat."""
        path = self.folder / f"{self.name}.state.txt"
        about = f"guest {self.name}: {self.lost or 'asked for its state'}"
        with self._lock:
            self._keep(self._recogniser.flush())
            self._dumping = True
        try:
            patience = ASK * self.pace if self._talks else None
            path.write_text(state_of(about, self.qemu, self.console, patience))
        finally:
            with self._lock:
                self._recogniser.flush()  # the dump's own, whose end has not been seen
                self._dumping = False
        return path

    def close(self) -> None:
        """Ends the guest and reads its console to the last byte. Safe to call twice."""
        self.disconnect()
        self.qemu.kill()
        self.console.close()
        self.swap_image.unlink(missing_ok=True)
