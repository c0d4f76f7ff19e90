# SPDX-License-Identifier: GPL-2.0-only
"""``make back ID=``: records the failing case, and goes back to the last write to an address."""

from __future__ import annotations

import contextlib
import shutil
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from harness.core import events as ev
from harness.core.command_table import command
from harness.core.errors import InvocationError, MachineError
from harness.core.jsondata import read_json
from harness.core.settings import Settings
from harness.core.stages import stage
from harness.debugger.gdb_remote import Remote, StubError
from harness.debugger.symbols import Symbols
from harness.findings.back import (
    KERNEL_SPACE,
    Moment,
    Past,
    Replay,
    ValueChange,
    find_address,
    find_moment,
    watched_bytes,
)
from harness.findings.failures import Failure, choose_failure, runs_of
from harness.findings.finding import DATA, STUB, Finding
from harness.findings.gather import gather_case
from harness.findings.pyz_file import Parts, write_finding
from harness.findings.recording import (
    FOLDER,
    LOG,
    RECORDED,
    TRIED,
    Recorded,
    check_end,
    record,
    recorded,
)
from harness.findings.replay import unpack
from harness.findings.replay_guest import ReplayGuest
from harness.races.kernels import series_kernel
from harness.run.earlier_run import asked_again
from harness.run.session import RunResult, Session, run_session
from harness.vm.machine import Recording

BETWEEN_LOOKS_S = 0.05


def back(settings: Settings) -> int:
    """``make back``: who wrote last to ADDRESS=, before the failure that ID= names."""
    run, failure = choose_failure(runs_of(settings), settings.id, "back")
    then = replace(
        asked_again(run.document, settings), address=settings.address, function=settings.function
    )
    return run_session(then, "back", lambda session: _go_back(session, run, failure)).code


def _go_back(session: Session, run: RunResult, failure: Failure) -> None:
    test = failure.test
    if test is None or ev.CaseId.parse(test["id"]).kind != "guest":
        what = f"{failure.title}: no case of a guest shows it, and only such a one can be recorded"
        what += "\na race needs two CPUs, and QEMU records one"
        name = ev.CaseId.parse(test["id"]).name if test else None
        step = command("repro", RACE=name) if name else None
        raise InvocationError(what, evidence=run.out / "report.html", next_step=step)
    finding, parts = gather_case(session, run, failure, test)
    folder, seen = _recording(session, finding, parts)
    if seen.like != "same":
        what = (
            f"{failure.title}\nis not seen in a guest with one CPU that QEMU records;"
            f" seen there: {seen.said}\na race needs two CPUs"
        )
        step = f"{command('test-kernel', DUMP='1')}   (the memory at a report)"
        raise InvocationError(what, evidence=folder, next_step=step)
    code = series_kernel(session, parts.prepared, debug=True)
    symbols = code.symbols(session.store, parts.prepared.base)
    assert symbols is not None  # asked for
    with contextlib.closing(symbols.debug):
        for line in _answer(session, finding, parts, folder, seen, symbols):
            session.console.print(line, soft_wrap=True, markup=False)


def _recording(session: Session, finding: Finding, parts: Parts) -> tuple[Path, Recorded]:
    """The latest recording of a finding in OUT=, or one that is made now."""
    for known in sorted(session.settings.out.glob(f"*/{FOLDER}/{RECORDED}"), reverse=True):
        folder = known.parent
        if read_json(Finding, folder / DATA).id == finding.id and not folder.parent.is_symlink():
            session.events.note(f"the recording is that of {folder}")
            return folder, read_json(Recorded, known)
    folder, packed = session.out / FOLDER, session.out / "finding.pyz"
    with stage(session.events, "record") as outcome:
        write_finding(finding, parts, session.out / "draft", packed)
        with zipfile.ZipFile(packed) as archive:
            archive.extractall(folder)
        packed.unlink()
        shutil.rmtree(folder / "lib")
        unpack(folder)
        seen = record(recorded(finding, parts.spec, Recording(LOG, "record")), folder)
        outcome.detail = f"{seen.like}: {seen.said}"
    return folder, seen


def _answer(
    session: Session, finding: Finding, parts: Parts, folder: Path, seen: Recorded,
    symbols: Symbols,
) -> Iterator[str]:  # fmt: skip
    """What is printed, line by line. InvocationError: ADDRESS= is not said; what it may be is."""
    settings = session.settings
    if settings.address is None:
        raise InvocationError(
            "\n".join(["ADDRESS= is a symbol, a number or a register", *_candidates(seen)]),
            evidence=folder,
            next_step=command("back", ID=finding.id, ADDRESS=next(iter(_pointers(seen)), "SYMBOL")),
        )
    address = find_address(settings.address, symbols, seen.registers)
    moment = find_moment(seen, symbols, settings.function)
    with stage(session.events, "replay") as outcome:
        past = _replay(finding, parts, folder, symbols, address, moment)
        outcome.detail = f"{past.count} change{'s' * (past.count != 1)} of {address:#x}"
    yield from told(past, moment, address)


def _pointers(seen: Recorded) -> dict[str, int]:
    return {name: value for name, value in seen.registers.items() if value >= KERNEL_SPACE}


def _candidates(seen: Recorded) -> Iterator[str]:
    if pointers := _pointers(seen):
        yield f"of the report ({seen.report}) these registers point into the kernel:"
        yield from (f"  {name:4} {value:#x}" for name, value in pointers.items())
    else:
        yield "no report with registers was seen: the number is to come from elsewhere"


def _replay(
    finding: Finding, parts: Parts, folder: Path, symbols: Symbols, address: int, moment: Moment
) -> Past:
    stub = folder / STUB
    stub.unlink(missing_ok=True)  # of an earlier replay: nobody listens there
    guest = ReplayGuest(recorded(finding, parts.spec, Recording(LOG, "replay")), folder, 2)
    try:
        while not stub.exists():
            time.sleep(BETWEEN_LOOKS_S)
            if not guest.alive:
                what = f"QEMU does not replay:\n{guest.qemu_said()}"
                raise MachineError(what, evidence=folder, next_step=TRIED)
        with contextlib.closing(Remote.connect(stub)) as remote:
            return Replay(remote, symbols, address, lambda: check_end(guest)).past(moment)
    except StubError as error:
        what = f"QEMU's stub does not answer: {error}"
        raise MachineError(what, evidence=folder, next_step=TRIED) from error
    finally:
        guest.close()


def _word(value: int | None) -> str:
    return "not readable" if value is None else f"{value:#x}"


def told(past: Past, moment: Moment, address: int) -> Iterator[str]:
    """The answer in words: from where, who wrote last, and who before."""
    if past.moment:
        yield f"back from {moment.name}"
        yield from (f"    {frame}" for frame in past.moment)
    else:
        yield f"back from the end of the recording: {moment.name} is not in it"
    size = watched_bytes(address)
    if not past.changes:
        yield f"nothing has changed the {size} bytes at {address:#x} since the kernel's first code"
        return
    last, *before = past.changes
    old, new = _word(last.old), _word(last.new)
    yield f"the {size} bytes at {address:#x} were {old}; {new} was written by"
    yield from (f"    {frame}" for frame in last.stack)
    if before:
        yield f"before that ({past.count} changes in all, the latest first)"
        yield from (f"    {_before(change)}" for change in before)


def _before(change: ValueChange) -> str:
    where = change.stack[0] if change.stack else "user code"
    return f"{_word(change.old)} -> {_word(change.new)}  {where}"
