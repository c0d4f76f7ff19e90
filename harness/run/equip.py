# SPDX-License-Identifier: GPL-2.0-only
"""The commands that need a built kernel and a guest."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from harness.build.decode import decode
from harness.build.kconfig import load_flavour, read_values
from harness.cases import repeats
from harness.cases.host_checks import load_checks, run_check
from harness.cases.pool import GuestPool, at_once
from harness.cases.runner import Lab
from harness.cases.selection import run_cases
from harness.cases.soakers import SEED_VARIABLE
from harness.core import events as ev
from harness.core import proc
from harness.core.errors import HarnessError, SeriesError
from harness.core.settings import Settings
from harness.core.stages import stage
from harness.detectors import leaks, proofs, soundness
from harness.detectors.attribution import sorted_out, touched_functions
from harness.detectors.canaries import run_canaries
from harness.image.programs import GUEST_TESTS, Suite, build_suite, python_path
from harness.image.rootfs import build_rootfs
from harness.run.pipeline import Prepared, debug_twin, prepare
from harness.run.session import RunResult, Session, run_session
from harness.series.base import Base
from harness.series.patched_tree import PatchedTree
from harness.setup.on_demand import provide
from harness.vm import pace
from harness.vm.accel import choose_accel
from harness.vm.guest import Guest
from harness.vm.guests import Guests
from harness.vm.machine import GuestSpec, choose_machine, crowded
from harness.vm.serial_dialogue import SerialDialogue
from harness.vm.splats import Splat
from harness.vm.ssh_program import login_shell


@dataclass(frozen=True)
class Equipment:
    """All that a guest is made of."""

    prepared: Prepared
    suite: Suite
    spec: GuestSpec


def own_programs(session: Session, headers: Path, _: Base) -> Suite:
    """The guest tests of the series."""
    return build_suite(
        session.store,
        GUEST_TESTS / session.data.guest_tests,
        headers,
        frozenset(session.data.clauses),
    )


def equip(
    session: Session,
    programs: Callable[[Session, Path, Base], Suite] = own_programs,
    guests: int = 1,
) -> Equipment:
    """Runs every stage before the boot.

    Args:
        programs: makes what the guest is to run; gets the installed uapi headers and
            the base, and is called in another thread.
        guests: how many are to run at once.

    Raises:
        SeriesError, InvocationError, MachineError: see each stage.
    """
    settings, events, store = session.settings, session.events, session.store
    compiling: list[Future[Suite]] = []
    # Unpacking a kernel tree leaves some time on the second CPU, and linking a kernel
    # leaves all of it: rootfs and programs are made in that time.
    with ThreadPoolExecutor(1, initializer=proc.give_way) as beside:
        making = beside.submit(build_rootfs, settings, store, events)

        def compile_beside(headers: Path, base: Base) -> None:
            compiling.append(beside.submit(programs, session, headers, base))

        bzimage = settings.machine == "q35"
        prepared = prepare(session, bzimage=bzimage, on_headers=compile_beside)
        machine, why = choose_machine(settings.machine, prepared.kernel.config.read_text())
        if machine != "microvm" and prepared.kernel.bzimage is None:
            events.emit(ev.Note(why))
            prepared = prepare(session, bzimage=True)
        with stage(events, "rootfs") as outcome:
            rootfs = making.result()
            outcome.cached = rootfs.cached
        with stage(events, "programs") as outcome:
            suite = compiling[0].result()
            outcome.cached = suite.cached
            outcome.detail = f"{len(suite.cases)} cases"
    spec = GuestSpec(
        vmlinux=prepared.kernel.vmlinux,
        bzimage=prepared.kernel.bzimage,
        machine=machine,
        accel="tcg",
        rootfs=rootfs.image,
        host_key=rootfs.host_key,
        login=rootfs.login,
        tests=suite.image,
        cpus=settings.cpus,
    )
    spec = replace(spec, env=(*spec.env, python_path(session.data.guest_tests)))
    if settings.seed is not None:
        spec = replace(spec, env=(*spec.env, (SEED_VARIABLE, str(settings.seed))))
    if memory := load_flavour(settings.config).memory_mb:
        spec = replace(spec, memory_mb=memory)
    accel = choose_accel(settings.accel, store.root, spec)
    events.emit(ev.AccelChosen(accel.name, accel.reason))
    events.emit(ev.Note(accel.reason))
    spec = replace(spec, accel=accel.name)
    here = os.cpu_count() or 1
    if crowded(spec, guests, here):
        why = f"{guests * spec.cpus} virtual CPUs on {here}: each guest's run in turn"
        if not crowded(spec, 1, here):
            why += "; JOBS=1, with one guest, lets them run at once"
        events.emit(ev.Note(why))
        spec = replace(spec, in_turn=True)
    return Equipment(prepared, suite, spec)


@contextlib.contextmanager
def booted(
    session: Session,
    equipment: Equipment,
    sort_out: Callable[[Splat], Splat] | None = None,
) -> Iterator[Guests]:
    """The stage boot: a first guest and its snapshot; all guests end with the block."""
    sort_out = sort_out or complaints_of(equipment)
    log = session.out / "console.log"
    with Guests(equipment.spec, session.out, log, session.events, sort_out) as guests:
        with stage(session.events, "boot") as outcome:
            first = guests.boot()
            pace.measure(first, session.events)
            guests.take_snapshot(first)
            outcome.detail = f"{first.release}, boot id {first.boot_id}"
        yield guests


def _tests(session: Session) -> None:
    equipment = equip(session, guests=at_once(session.settings.jobs))
    canaries = proofs.known(session.store, equipment.prepared.kernel)
    session.results.canaries.extend(canaries)
    session.events.emit(ev.Note(proofs.sentence(canaries)))
    try:
        _run_suite(session, equipment)
    except SeriesError:
        decode_splats(session, equipment.prepared)  # what kept it from booting
        raise
    decode_splats(session, equipment.prepared)


def lab_of(session: Session, equipment: Equipment, guests: Guests, guest: Guest | None) -> Lab:
    """A lab for the cases of this kernel, beginning with ``guest`` where there is one."""
    return Lab(
        session.data,
        len(equipment.prepared.applied.patches),
        equipment.prepared.base.version,
        guests.the_first.pace,
        guests.fresh,
        guest,
        guests.sort_out,
        session.settings.command("test-kernel", TESTS="", SEED=""),
    )


def labs_of(session: Session, equipment: Equipment, guests: Guests) -> list[Lab]:
    """As many labs as there may be guests at once; the first has the first guest."""
    here = (guests.the_first, *[None] * (at_once(session.settings.jobs) - 1))
    return [lab_of(session, equipment, guests, guest) for guest in here]


def _run_suite(session: Session, equipment: Equipment) -> None:
    with booted(session, equipment) as guests:
        labs = labs_of(session, equipment, guests)
        with stage(session.events, "tests") as outcome:
            _host_checks(session, equipment, labs[0])
            run_cases(
                equipment.suite.cases,
                GuestPool(session.events.emit, labs),
                session.settings.tests,
                GUEST_TESTS / session.data.guest_tests,
                shard=session.settings.shard,
                only=session.settings.only,
                on_chosen=session.events.emit,
            )
            outcome.detail = f"{len(session.results.tests)} cases"
        _repeats(session, equipment, labs[0])
        config = read_values(equipment.prepared.kernel.config)
        look_for_leaks(session, guests, config)
        guests.report_strays()
        _soundness(session, equipment, config)


def look_for_leaks(session: Session, guests: Guests, config: dict[str, str]) -> int:
    """The stage leaks, where the kernel has kmemleak; in how many guests it looked.

    Raises:
        SeriesError: see :func:`harness.detectors.leaks.scan`.
    """
    if config.get("DEBUG_KMEMLEAK") != "y":
        return 0
    running = guests.running
    with stage(session.events, "leaks") as outcome:
        outcome.detail = leaks.scan(running, session.events)
    return len(running)


def _repeats(session: Session, equipment: Equipment, lab: Lab) -> None:
    """Broken cases again, or with ``every`` all of them: how often each passes."""
    settings, cases = session.settings, equipment.suite.cases
    if not settings.repeat:
        return
    with stage(session.events, "repeats") as outcome:
        if settings.every:
            ran = {record.id for record in session.results.tests if record.status in repeats.JUDGED}
            for case in (case for case in cases if case.id in ran):
                repeats.repeat(case, lab, settings.repeat, session.events)
        else:
            repeats.repeat_broken(cases, session.results, lab, settings.repeat, session.events)
        outcome.detail = f"{len(session.results.repeated)} cases"


def _soundness(session: Session, equipment: Equipment, config: dict[str, str]) -> None:
    """What the kernel's checkers say of a complete run is a record of its own."""
    data, prepared = session.data, equipment.prepared
    if session.settings.tests or not data.sound:
        return
    if not data.applicable(data.sound, len(prepared.applied.patches)):
        return
    flavour = session.settings.config
    session.events.emit(soundness.record(data.sound, config, session.results, flavour))


def complaints_of(equipment: Equipment) -> Callable[[Splat], Splat]:
    """Marks what does not count against the series; knows nothing where there is no series."""
    prepared = equipment.prepared

    @functools.cache  # 0.7 s, and most runs have no report that needs it
    def touched() -> frozenset[str]:
        return touched_functions(_patched_tree(prepared), prepared.kernel.system_map.read_text())

    return lambda splat: sorted_out(splat, touched)


def _patched_tree(prepared: Prepared) -> PatchedTree:
    return PatchedTree(prepared.applied.repo, prepared.applied.commit, prepared.base.commit)


def _host_checks(session: Session, equipment: Equipment, lab: Lab) -> None:
    """Host checks run with every complete run, once for all shards; TESTS= takes guest cases."""
    if session.settings.tests or not session.settings.shard.first:
        return
    prepared = equipment.prepared
    tree = _patched_tree(prepared)
    for item in load_checks(session.data.folder):
        record = lab.not_applicable(item.id, item.clauses, item.about)
        session.events.emit(record or run_check(item, tree))


def decode_splats(session: Session, prepared: Prepared) -> None:
    """Decodes what the kernel said with debug information of the same kernel.

    That the trace cannot be decoded changes no verdict: it is said beside it.
    """
    splats = session.results.splats
    open_ones = [s for s in splats if not s.expected]
    if not open_ones or not session.settings.decode:
        return
    try:
        with stage(session.events, "debuginfo") as outcome:
            debug = debug_twin(session, prepared)
            outcome.cached = debug.cached
            outcome.detail = debug.verdict
        how = (
            "decoded with debug information of the same text"
            if debug.text_matches
            else "decoded with debug information whose text addresses differ: lines may be off"
        )
        for splat in open_ones:
            text = decode(splat.text, debug.vmlinux, debug.source)
            session.events.emit(ev.SplatDecoded(splat.id, text, how))
    except HarnessError as error:
        session.events.emit(ev.Note(f"traces are not decoded: {error.what}", "warning"))


def test_kernel(settings: Settings) -> RunResult:
    """``make test-kernel``: every stage, one verdict."""
    return run_session(settings, "test-kernel", _tests)


def list_tests(settings: Settings) -> int:
    """``make list-tests``: every case with its clauses and its claim."""

    def body(session: Session) -> None:
        equipment = equip(session)
        for case in equipment.suite.cases:
            session.console.print(f"{case.id}  {' '.join(case.clauses)}", soft_wrap=True)
            session.console.print(f"    {case.about}", soft_wrap=True, markup=False)

    return run_session(settings, "list-tests", body).code


def _shell(session: Session) -> None:
    if not session.settings.console:
        provide("shell", session.out / "setup.log", session.events)
    equipment = equip(session)
    if session.settings.debug:
        debug = debug_twin(session, equipment.prepared)
        gdb = str(session.out / "gdb")
        equipment = replace(equipment, spec=replace(equipment.spec, gdb=gdb))
        session.console.print(f"gdb {debug.vmlinux} -ex 'target remote {gdb}'", soft_wrap=True)
    with booted(session, equipment) as guests:
        session.console.print(f"console: {session.out / 'console.log'}", soft_wrap=True)
        first = guests.the_first
        if session.settings.console:
            session.console.print("the serial console; Ctrl-], exit or Ctrl-D ends the guest")
            with SerialDialogue(first.console) as line:
                line.interact(sys.stdin.fileno(), sys.stdout)
        else:
            session.console.print("exit or Ctrl-D ends the guest")
            login_shell(first.qemu.port, first.keys, first.spec.host_key)
        guests.report_strays()


def shell(settings: Settings) -> int:
    """``make shell``: an interactive shell in the built kernel."""
    return run_session(settings, "shell", _shell).code


def _selftest(session: Session) -> None:
    # As the cases run, so do the canaries.
    equipment = equip(session, guests=at_once(session.settings.jobs))
    config = read_values(equipment.prepared.kernel.config)
    with booted(session, equipment) as guests, stage(session.events, "canaries") as outcome:
        found = run_canaries(guests.fresh, session.events, config)
        outcome.detail = f"{sum(canary.ok for canary in found)} of {len(found)} seen"
    proofs.keep(session.store, equipment.prepared.kernel, session.results.canaries)


def selftest_detectors(settings: Settings) -> int:
    """``make selftest-detectors``: provoke each failure on this very kernel."""
    return run_session(settings, "selftest-detectors", _selftest).code
