# SPDX-License-Identifier: GPL-2.0-only
"""A guest test program in Python: the counterpart of vtest.h, with the same protocol.

    prog --list        one JSON object per case, no side effects
    prog --run NAME    that case, as KTAP on standard output

A case runs in a worker process; its verdict is given by the process that started
the worker. So a worker that dies of a signal, or of the OOM killer, is a failed
case and no lost one, and what it changed in the guest is put back all the same:
the worker reports each change, before it makes it, through a pipe.

Only what a case needs is imported: under TCG `signal` (for its enums) and `typing` cost
as much as starting Python does.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]
import ctypes
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import NoReturn

_libc = ctypes.CDLL(None, use_errno=True)


class AbandonedError(Exception):
    """A check that the rest of the case depends on has failed."""


class SkippedError(Exception):
    """The kernel's configuration cannot offer what the case needs."""


class Case:
    """One case: ``timeout`` is in seconds on a guest of reference speed."""

    def __init__(
        self,
        run: Callable[[], None],
        clauses: tuple[str, ...],
        needs: tuple[str, ...],
        host_checks: tuple[str, ...],
        timeout: int,
    ) -> None:
        self.run = run
        self.name = run.__name__
        self.about = (run.__doc__ or "").strip().splitlines()[0]
        self.clauses = clauses
        self.needs = needs
        self.host_checks = host_checks
        self.timeout = timeout


_cases: list[Case] = []
_checks = 0
_failures = 0
_undo_pipe = -1
_UNIT, _RECORD = "\x1f", "\x1e"

# What a worker may report to have undone, by name: each takes one argument.
_undoings: dict[str, Callable[[str], None]] = {}


def case(
    *clauses: str,
    needs: tuple[str, ...] = (),
    host_checks: tuple[str, ...] = (),
    timeout: int = 10,
) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Registers a function as a case; its docstring says in one sentence what it shows."""

    def register(run: Callable[[], None]) -> Callable[[], None]:
        _cases.append(Case(run, clauses, needs, host_checks, timeout))
        return run

    return register


def undoing(function: Callable[[str], None]) -> Callable[[str], None]:
    """Registers a function that ``undo_later`` may name; it must not raise."""
    _undoings[function.__name__] = function
    return function


def undo_later(function: Callable[[str], None], argument: str) -> None:
    """Has ``function(argument)`` called when the case has ended, the last one first."""
    if function.__name__ not in _undoings:
        raise AbandonedError(f"{function.__name__} is not registered for undoing")
    os.write(_undo_pipe, f"{function.__name__}{_UNIT}{argument}{_RECORD}".encode())


def diag(text: str) -> None:
    """Prints diagnostic lines."""
    os.write(1, "".join(f"# {line}\n" for line in text.splitlines()).encode())


def sample(lines: Mapping[str, float], bars: Mapping[str, float]) -> None:
    """What a quantity is just now: reports plot all samples of a case over time.

    ``lines`` are levels, of one unit; ``bars`` are counts since the sample before.
    """
    import time

    said = [f"line:{name}={value:g}" for name, value in lines.items()]
    said += [f"bar:{name}={value:g}" for name, value in bars.items()]
    diag(f"@sample t={time.monotonic():.4f} " + " ".join(said))


def failed(text: str) -> None:
    """Counts a failed check, without a place."""
    global _failures
    _failures += 1
    diag(text)


def _where() -> str:
    frame = sys._getframe(1)
    while frame.f_code.co_filename == __file__ and frame.f_back is not None:
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def expect(held: bool, about: str) -> bool:
    """Counts one check; says where it failed and ``about`` what, and goes on."""
    global _checks
    _checks += 1
    if not held:
        failed(f"{_where()}: {about}")
    return held


def expect_eq(value: object, wanted: object, about: str) -> bool:
    """Checks for equality, showing both values."""
    return expect(value == wanted, f"{about}: is {value!r}, not {wanted!r}")


def expect_between(value: float, low: float, high: float, about: str) -> bool:
    """Checks that ``low <= value <= high``."""
    return expect(low <= value <= high, f"{about}: {value!r} is not in {low!r}..{high!r}")


def require(held: bool, about: str) -> None:
    """As ``expect``, but the case ends here if it does not hold."""
    if not expect(held, about):
        raise AbandonedError("the rest of the case depends on this")


def require_eq(value: object, wanted: object, about: str) -> None:
    """As ``expect_eq``, but the case ends here if it does not hold."""
    if not expect_eq(value, wanted, about):
        raise AbandonedError("the rest of the case depends on this")


def skip(reason: str) -> NoReturn:
    """Ends the case: the kernel's configuration cannot offer what it needs."""
    raise SkippedError(reason)


def call(name: str, *arguments: object) -> int:
    """A libc function that sets errno: what it returns, or -errno.

    Integers are passed as unsigned longs, bytes as pointers.
    """
    converted = [ctypes.c_ulong(a) if isinstance(a, int) else a for a in arguments]
    function = getattr(_libc, name)
    function.restype = ctypes.c_long
    result = int(function(*converted))
    # An int is returned in the lower half of the register.
    if result in (-1, 0xFFFFFFFF):
        return -ctypes.get_errno()
    return result


def _work(chosen: Case) -> int:
    """Runs the case; returns the worker's exit status: 0 ok, 1 not ok, 2 skipped."""
    try:
        chosen.run()
    except AbandonedError as error:
        failed(f"the case was abandoned: {error}")
    except SkippedError as error:
        diag(f"SKIP {error}")
        os.write(_undo_pipe, f"skip{_UNIT}{error}{_RECORD}".encode())
        return 1 if _failures else 2
    except Exception:
        import traceback

        failed(traceback.format_exc())
    if not _checks:
        failed("the case asserted nothing")
    return 1 if _failures else 0


def _supervise(worker: int) -> int | None:
    """Waits for the worker and ends all it left; its wait status, None if told to stop."""
    watched = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
    status: int | None = None
    ended = False
    told = False
    while not ended:
        number = signal.sigwait(watched)
        if number != signal.SIGCHLD:
            diag(f"told to stop by signal {number}")
            told = True
            os.kill(worker, signal.SIGKILL)
        pid, some = os.waitpid(-1, os.WNOHANG)
        while pid:
            if pid == worker:
                ended, status = True, some
                break
            pid, some = os.waitpid(-1, os.WNOHANG)
    # One after the other, until there is nothing left to kill, or to wait for.
    for step in (_kill_group, _reap_all):
        try:
            step(worker)
        except (ProcessLookupError, ChildProcessError):
            continue
    return None if told else status


def _kill_group(worker: int) -> None:
    os.killpg(worker, signal.SIGKILL)


def _reap_all(_worker: int) -> None:
    while True:
        os.waitpid(-1, 0)


def _reports(pipe: int) -> list[tuple[str, str]]:
    text = b""
    while piece := os.read(pipe, 65536):
        text += piece
    found = []
    for record in text.decode().split(_RECORD)[:-1]:
        name, _, argument = record.partition(_UNIT)
        found.append((name, argument))
    return found


def _judge(chosen: Case) -> int:
    global _undo_pipe
    reading, _undo_pipe = os.pipe()
    os.write(1, b"KTAP version 1\n1..1\n")
    _libc.prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: orphans come to us
    watched = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    worker = os.fork()
    if not worker:
        os.setpgid(0, 0)
        _libc.prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        status = 1
        try:
            status = _work(chosen)
        finally:
            os._exit(status)
    os.close(_undo_pipe)
    ended = _supervise(worker)
    reason = ""
    for name, argument in reversed(_reports(reading)):
        if name == "skip":
            reason = argument
        else:
            _undoings[name](argument)
    verdict = 1
    if ended is not None and os.WIFSIGNALED(ended):
        failed(f"the case died of signal {os.WTERMSIG(ended)}")
    elif ended is not None and not _failures:
        verdict = os.WEXITSTATUS(ended)
    if verdict == 0:
        os.write(1, f"ok 1 {chosen.name}\n".encode())
    elif verdict == 2 and reason:
        os.write(1, f"ok 1 {chosen.name} # SKIP {reason}\n".encode())
    else:
        os.write(1, f"not ok 1 {chosen.name}\n".encode())
        return 1
    return 0


def main() -> NoReturn:
    """The program: lists its cases or runs one, and exits."""
    arguments = sys.argv[1:]
    if arguments == ["--list"]:
        import json

        for one in _cases:
            record = {
                "name": one.name,
                "clauses": one.clauses,
                "timeout": one.timeout,
                "needs": one.needs,
                "about": one.about,
            }
            if one.host_checks:
                record["host_checks"] = one.host_checks
            print(json.dumps(record))
        sys.exit(0)
    if len(arguments) == 2 and arguments[0] == "--run":
        for one in _cases:
            if one.name == arguments[1]:
                sys.exit(_judge(one))
    print(f"usage: {sys.argv[0]} --list | --run NAME", file=sys.stderr)
    sys.exit(2)
