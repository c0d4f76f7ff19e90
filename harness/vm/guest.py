# SPDX-License-Identifier: GPL-2.0-only
"""A running guest: commands, test cases, its splats, its state when it hangs.

Made by ``boot.boot`` or ``snapshot.restore``. A guest is *trustworthy* until
its kernel has complained of something that may have damaged it, or until it
was lost; its owner replaces one that is not.
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
from harness.vm import serial_dialogue
from harness.vm.channel import CaseLine, CommandTimeoutError, Completed, SshError, request_of
from harness.vm.console import Console
from harness.vm.dialogue import VARIABLE as DIALOGUE
from harness.vm.dialogue import Ask
from harness.vm.machine import GuestSpec
from harness.vm.qemu import Qemu
from harness.vm.serial_dialogue import SerialDialogue
from harness.vm.splats import Recogniser, Splat
from harness.vm.ssh import Connection, KeyPair, command_line
from harness.vm.state_dump import state_of, sysrq

INIT = "/harness/init"
QUIET = 0.5  # seconds of silence that end a report without an end of its own
# Seconds for a guest of reference speed; a slower one (guests.py) gets so much more.
GRACE = 4.0  # to end a case that is out of time: the guest itself takes 1.5 at most
PING = 4.0  # in which a living guest answers: it takes 0.2
ASK = 2.0  # in which process 1 answers on the console
LATE = 1.0  # for output that is still on its way when the case has ended
GIVE_UP = 2.0  # for a case to end after its kernel has said that it is stuck

# Bits of /proc/sys/kernel/tainted: a bad page, an oops, a soft lockup.
_DAMAGE = 1 << 5 | 1 << 7 | 1 << 14
_WARNED = 1 << 9


@dataclass(frozen=True)
class CaseRun:
    """All that was seen of one case.

    Args:
        exit_code: None where it has none, because the guest was lost.
        timed_out: it was ended because its time was up.
        lost: '' or, in one line, how the guest was lost.
        evidence: the state dump of a lost guest.
        splats: complaints that began while it ran.
    """

    exit_code: int | None
    stdout: str
    stderr: str
    seconds: float
    timed_out: bool
    lost: str
    evidence: Path | None
    splats: tuple[Splat, ...]


@dataclass(frozen=True)
class _Ending:
    """How a case's command ended; ``exit_code`` None and ``lost`` where it did not."""

    exit_code: int | None
    stdout: str
    stderr: str
    lost: str


def _end_marker(seq: int) -> str:
    """What case.c prints at a case's end."""
    return rf"harness: end {seq} (\w+)=(\d+) tainted=(\d+)"


def _status(marker: re.Match[str]) -> int:
    """The exit status in an end marker, signals as a shell counts them."""
    return int(marker[2]) + (128 if marker[1] == "signal" else 0)


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
        self.restored = False
        self.lost = ""
        self.tainted = 0
        self._sequence = 0
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
        self.console = Console(
            qemu.console,
            console_log or folder / f"{name}.console.log",
            self._take_line,
            self._take_silence,
            QUIET,
        )

    # ---- the console's thread ------------------------------------------------

    def _take_line(self, line: str) -> None:
        with self._lock:
            self._keep(self._recogniser.feed(line))
            self._lock.notify_all()

    def _take_silence(self) -> None:
        with self._lock:
            self._keep(self._recogniser.flush())
            self._lock.notify_all()

    def _keep(self, splats: Sequence[Splat]) -> None:
        if self._dumping:
            return  # what a dump of a hung guest provokes is no news
        for splat in splats:
            if any(s.title == splat.title and s.case == splat.case for s in self._splats):
                continue  # the kernel repeats itself; the whole of it is in the log
            if splat.category == "oom" and splat.case in self._expecting_oom:
                splat = replace(splat, expected=True)
            self._splats.append(splat)
            if splat.spoils:
                self._spoiled = splat.title

    # ---- what its owner asks ---------------------------------------------------

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

    def _hand_out(self, case: int | None = None) -> tuple[Splat, ...]:
        """What nobody has been given yet: of one case, or (None) all of it."""
        with self._lock:
            fresh = [
                splat
                for splat in self._splats
                if id(splat) not in self._handed_out and case in (None, splat.case)
            ]
            self._handed_out.update(map(id, fresh))
        return tuple(fresh)

    def take_stray_splats(self) -> tuple[Splat, ...]:
        """Complaints that no CaseRun has: at boot, between cases, or too late for their case.

        Each is handed out once.
        """
        return self._hand_out()

    def settle(self, timeout: float = 3.0) -> None:
        """Waits until no report is half printed, which none is when the console has ended."""
        with self._lock:
            self._lock.wait_for(lambda: not self._recogniser.busy, timeout)

    # ---- commands ----------------------------------------------------------------

    def disconnect(self) -> None:
        """Ends the SSH connection, if there is one."""
        self._line = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def connect(self, timeout: float) -> None:
        """Makes the SSH connection anew.

        Raises:
            SshError: no server, a wrong host key, or no login within ``timeout`` seconds.
        """
        self.disconnect()
        self._connection = Connection.open(
            self.qemu.port, self.keys, self.spec.host_key, timeout, lambda: self.alive
        )

    @property
    def connection(self) -> Connection:
        """The SSH connection.

        Raises:
            InternalError: there is none yet.
        """
        if self._connection is None:
            raise InternalError(f"guest {self.name} has no SSH connection yet")
        return self._connection

    def exec(
        self, command: str | Sequence[str], timeout: float = 60.0, stdin: bytes = b""
    ) -> Completed:
        """Runs a command: an argument list, or one line for the guest's shell.

        Raises:
            SshError: the connection is lost.
            TimeoutError: it did not end in time; it may still run.
        """
        line = command if isinstance(command, str) else command_line(command)
        return self.connection.execute(line, timeout, stdin)

    def hello(self, timeout: float) -> None:
        """The first command: learns the boot id, sets the clock, stirs the random pool.

        Raises:
            SshError, TimeoutError: as ``exec``; SshError also for a senseless answer.
        """
        answer = self.exec([INIT, "hello", f"{time.time():.6f}", os.urandom(32).hex()], timeout)
        words = answer.stdout.split()
        if answer.exit_code != 0 or len(words) != 3:
            raise SshError(f"the guest's first command failed: {answer.stderr or answer.stdout}")
        self.boot_id, self.tainted, self.release = words[0], int(words[1]), words[2]

    def ping(self) -> bool:
        """Whether the guest still runs commands; on a connection of its own."""
        if not self.alive:
            return False
        timeout = PING * self.pace
        try:
            probe = Connection.open(
                self.qemu.port, self.keys, self.spec.host_key, timeout, lambda: self.alive
            )
        except (SshError, TimeoutError):
            return False
        try:
            return probe.execute("true", timeout).exit_code == 0
        except (SshError, TimeoutError):
            return False
        finally:
            probe.close()

    # ---- cases ---------------------------------------------------------------------

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
            talk: the host's half of a dialogue with it, see dialogue.py.
        """
        self._sequence += 1
        seq = self._sequence
        if oom_expected:
            self._expecting_oom.add(seq)
        since = len(self.console.lines)
        words = [str(seq), case_id.replace(" ", "_"), f"{timeout:g}"]
        env = dict(self.spec.env) | {"HARNESS_PACE": f"{self.pace:g}"} | dict(env or {})

        def execute(timeout: float, limit: Callable[[], float | None]) -> Completed:
            if talk is None:
                return self._case_line(timeout).run(request_of(words, argv, env), timeout, limit)
            # The end of its input is the end of the dialogue: that takes a channel of its own.
            line = command_line([INIT, "case", *words, *argv], env | {DIALOGUE: "1"})
            return self.connection.execute(line, timeout, limit=limit, talk=talk)

        start = time.monotonic()
        ending = self._execute_case(execute, seq, timeout, since)
        lost, ended = ending.lost, None
        if not lost:
            ended = self.console.wait_for(_end_marker(seq), 5.0, since=since)
        if lost and not self.alive:
            self.console.join()
        self.settle()
        seconds = time.monotonic() - start
        evidence = None
        if lost:
            self.lost = lost = self._explain_loss(lost, seq)
            evidence = self.dump_state()
            self.qemu.kill()
        elif self.console.seen(f"harness: stuck {seq}:", since):
            self._spoiled = self._spoiled or "a process that cannot be killed"
            evidence = self.dump_state()
        timed_out = ended is not None and ended[1] == "timeout"
        if ended is not None:
            self._note_taint(int(ended[3]), seq)
        self.console.check()
        splats = self._hand_out(seq)
        return CaseRun(
            None if timed_out else ending.exit_code,
            ending.stdout,
            ending.stderr,
            seconds,
            timed_out,
            lost,
            evidence,
            splats,
        )

    def _case_line(self, timeout: float) -> CaseLine:
        """Where cases are run one after another; made anew after one that went wrong."""
        if self._line is None or not self._line.open:
            self._line = self.connection.serve_cases(f"{INIT} serve", timeout)
        return self._line

    def _execute_case(
        self,
        execute: Callable[[float, Callable[[], float | None]], Completed],
        seq: int,
        timeout: float,
        since: int,
    ) -> _Ending:
        """Runs the case to its end, or finds out how the guest was lost."""

        def limit() -> float | None:
            # The case is over, and a process that nobody can kill holds its output open.
            if self.console.seen(f"harness: end {seq} ", since):
                return LATE
            # The kernel has reported that it is stuck, or worse: it is not worth waiting for.
            return GIVE_UP * self.pace if self._spoiled else None

        try:
            done = execute(timeout + GRACE * self.pace, limit)
            return _Ending(done.exit_code, done.stdout, done.stderr, "")
        except SshError:
            if not self.alive:
                return _Ending(None, "", "", "the guest died")
            self._talks = self.ping()
            answers = "the SSH connection was lost; the guest still answers on a new one"
            return _Ending(None, "", "", answers if self._talks else self._silence())
        except CommandTimeoutError as error:
            return self._out_of_time(error, seq, since)

    def _out_of_time(self, error: CommandTimeoutError, seq: int, since: int) -> _Ending:
        """The guest should have ended the case by itself; why did it not?"""
        marker = self.console.wait_for(_end_marker(seq), 0.0, since=since)
        stuck = self.console.seen(f"harness: stuck {seq}:", since)
        if self._spoiled and marker is None:
            return _Ending(None, error.stdout, error.stderr, "the case was given up")
        if not (marker and stuck) and not self.ping():
            return _Ending(None, error.stdout, error.stderr, self._silence())
        if marker is not None:
            return _Ending(_status(marker), error.stdout, error.stderr, "")
        with contextlib.suppress(SshError, TimeoutError):
            self.exec([INIT, "kill", str(seq)], PING * self.pace)
        # The guest goes by its own clock, which falls behind where its host has no time for it.
        ended = self.console.wait_for(_end_marker(seq), LATE * self.pace, since=since)
        lost = "the case was ended by the host" if ended else "the case cannot be ended"
        return _Ending(None, error.stdout, error.stderr, f"{lost}: the guest did not do it in time")

    def _silence(self) -> str:
        """A guest that does not answer over SSH: is it the network, user space, or all of it?"""
        with SerialDialogue(self.console) as line:
            line.send(serial_dialogue.ASK)
            self._talks = line.comes(serial_dialogue.HERE, ASK * self.pace)
        if self._talks:
            return "the network to the guest is gone; process 1 still answers on the console"
        answers = sysrq(self.qemu, self.console, "h")
        if not self.alive:
            return "the guest died"
        if answers:
            return "the guest hangs: only its kernel still answers, to sysrq on the console"
        return "the guest hangs: it answers neither SSH nor sysrq on the console"

    def _explain_loss(self, lost: str, seq: int) -> str:
        with self._lock:
            during = [s.title for s in self._splats if s.case == seq and not s.expected]
        return f"{lost} ({during[0]})" if during else lost

    def _note_taint(self, tainted: int, seq: int) -> None:
        """A kernel that is newly tainted and of which no report was seen has said something."""
        fresh = tainted & ~self.tainted & (_DAMAGE | _WARNED)
        self.tainted = tainted
        with self._lock:
            if fresh and not any(s.case == seq for s in self._splats):
                at = len(self.console.lines)
                text = f"/proc/sys/kernel/tainted went to {tainted} and no report was recognised"
                self._keep([Splat(f"kernel tainted 0x{fresh:x}", "taint", text, seq, at, at)])

    # ---- the end ---------------------------------------------------------------------

    def dump_state(self) -> Path:
        """Writes what a hung guest still shows into a file; what that provokes is no splat.

        Safe on a guest that is dead already; never raises for what it cannot get.
        """
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
        self.console.join()
        self.console.close()
        with contextlib.suppress(FileNotFoundError):
            self.swap_image.unlink()
