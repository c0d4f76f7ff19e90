# SPDX-License-Identifier: GPL-2.0-only
"""A built kernel, a root file system and programs become guests, and what these say is judged."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from harness.build.debuginfo import build_debug, decode
from harness.build.flavours import load_flavour
from harness.cases.pool import at_once
from harness.cases.runner import CaseRunner
from harness.core import events as ev
from harness.core import proc
from harness.core.errors import HarnessError
from harness.core.stages import stage
from harness.core.words import counted
from harness.detectors import leaks
from harness.detectors.blamed_patch import blamed
from harness.detectors.changed_functions import sorted_out, touched_functions
from harness.detectors.known import KnownComplaint, ended, load_known, mark_known
from harness.image.programs import GUEST_TESTS, Suite, build_suite, python_path
from harness.image.rootfs import Rootfs, build_rootfs
from harness.run.pipeline import Prepared, prepare
from harness.run.session import Session
from harness.series.base import Base
from harness.vm.accel import KvmVerdict, choose_accel
from harness.vm.guest import Guest
from harness.vm.guests import Guests
from harness.vm.machine import GuestSpec, crowded
from harness.vm.protocol import SEED_VARIABLE
from harness.vm.splats import Splat
from harness.vm.state_dump import CORE_APPEND

CORE = "core"  # in a run's folder, with DUMP=1


@dataclass(frozen=True)
class Equipment:
    """All that a guest is made of."""

    prepared: Prepared
    suite: Suite
    spec: GuestSpec
    known: tuple[KnownComplaint, ...] = ()


def own_programs(session: Session, headers: Path, _: Base) -> Suite:
    """The guest tests of the series, and of those that it stands on."""
    folders = [GUEST_TESTS / data.guest_tests for data in session.data.chain]
    return build_suite(session.store, folders, headers, frozenset(session.data.clauses))


def assemble_guest(
    session: Session,
    programs: Callable[[Session, Path, Base], Suite] = own_programs,
    guests: int = 1,
) -> Equipment:
    """Runs every stage before the boot.

    Args:
        programs: makes what the guest is to run; gets the installed uapi headers and
            the base, and is called before the kernel is built.
        guests: how many are to run at once.
    """
    settings, events = session.settings, session.events
    known = load_known(settings.kernel)
    for over in ended(known, date.today()):
        events.emit(ev.Note(over, "warning"))
    made: list[Suite] = []

    def compile_programs(headers: Path, base: Base) -> None:
        with stage(events, "programs") as outcome:
            suite = programs(session, headers, base)
            outcome.cached = suite.cached
            outcome.detail = counted(len(suite.cases), "case")
        made.append(suite)

    # Unpacking a kernel tree leaves some time on the second CPU, and linking a kernel
    # leaves all of it: the rootfs is made in that time. The programs are not: who has a
    # mistake in a case hears of it in seconds, and not after the minutes of a first build.
    with ThreadPoolExecutor(1, initializer=proc.give_way) as beside:
        making = beside.submit(build_rootfs, settings, session.store, events)
        prepared = prepare(session, on_headers=compile_programs)
        with stage(events, "rootfs") as outcome:
            rootfs = making.result()
            outcome.cached = rootfs.cached
    (suite,) = made
    spec = guest_spec(session, prepared, rootfs, suite.image, settings.cpus)
    suites = [data.guest_tests for data in session.data.chain]
    seed = () if settings.seed is None else ((SEED_VARIABLE, str(settings.seed)),)
    spec = replace(spec, env=(*spec.env, python_path(suites), *seed))
    here = os.cpu_count() or 1
    spec = replace(spec, in_turn=crowded(spec, guests, here))
    if spec.in_turn and spec.accel == "tcg":
        why = f"{guests * spec.cpus} virtual CPUs on {here}: each guest's run in turn"
        if not crowded(spec, 1, here):
            why += "; JOBS=1, with one guest, lets them run at once"
        events.emit(ev.Note(why))
    return Equipment(prepared, suite, spec, known)


def guest_spec(
    session: Session, prepared: Prepared, rootfs: Rootfs, tests: Path, cpus: int
) -> GuestSpec:
    """A guest of a built kernel, with the memory that its flavour needs, under KVM or TCG.

    Raises:
        MachineError: the accelerator that was asked for does not work here.
    """
    settings, events = session.settings, session.events
    chosen = choose_accel(settings.accel, kvm_verdict(session))
    events.emit(chosen)
    events.note(chosen.reason)
    spec = GuestSpec(
        kernel=prepared.kernel.image,
        machine=prepared.machine,
        accel=chosen.accel,
        rootfs=rootfs.image,
        host_key=rootfs.host_key,
        login=rootfs.login,
        tests=tests,
        cpus=cpus,
        memory_mb=load_flavour(settings.config).memory_mb or GuestSpec.memory_mb,
    )
    if settings.dump:
        return replace(spec, core=session.out / CORE, extra_append=CORE_APPEND)
    return spec


def kvm_verdict(session: Session) -> KvmVerdict:
    """What is known of KVM, in this run's store."""
    return KvmVerdict(session.store.root, asked=session.settings.accel == "kvm")


@contextlib.contextmanager
def booted(
    session: Session, equipment: Equipment, sort_out: Callable[[Splat], Splat] | None = None
) -> Iterator[Guests]:
    """The stage boot: a first guest and its snapshot; all guests end with the block."""
    sort_out = sort_out or complaints_of(equipment)
    kvm = kvm_verdict(session)
    with Guests(equipment.spec, session.out, session.events, kvm, sort_out) as guests:
        with stage(session.events, "boot") as outcome:
            first = guests.start()
            outcome.detail = f"{first.release}, boot id {first.boot_id}"
        yield guests


def case_runners(
    session: Session,
    equipment: Equipment,
    guests: Guests,
    observe: Callable[[Guest, ev.CaseId | None], None] = lambda guest, case: None,
) -> list[CaseRunner]:
    """For the cases of this kernel, one for each guest at once; the first has the first guest."""
    applied, version = len(equipment.prepared.applied.patches), equipment.prepared.base.version
    again = session.settings.command("test-kernel", TESTS="", SEED="")
    return [
        CaseRunner(
            session.data, applied, version, guests.fresh, guest, guests.sort_out,
            guests.without_kvm, again, observe,
        )
        for guest in (guests.first, *[None] * (at_once(session.settings.jobs) - 1))
    ]  # fmt: skip


def look_for_leaks(session: Session, guests: Guests, config: dict[str, str]) -> int:
    """The stage leaks, where the kernel has kmemleak; in how many guests it looked."""
    if config.get("DEBUG_KMEMLEAK") != "y":
        return 0
    with stage(session.events, "leaks") as outcome:
        looked, outcome.detail = leaks.scan(guests.made, session.events, guests.sort_out)
    return looked


def complaints_of(equipment: Equipment) -> Callable[[Splat], Splat]:
    """Marks what does not count against the series; knows nothing where there is no series."""
    prepared = equipment.prepared

    @functools.cache  # 0.7 s, and most runs have no report that needs it
    def touched() -> frozenset[str]:
        return touched_functions(prepared.applied, prepared.kernel.system_map.read_text())

    today = date.today()
    return lambda splat: mark_known(sorted_out(splat, touched), equipment.known, today)


def decode_splats(session: Session, prepared: Prepared) -> None:
    """Decodes what the kernel said with debug information of the same kernel, and says whose it is.

    That the trace cannot be decoded changes no verdict: it is said beside it.
    """
    open_ones = [splat for splat in session.results.all(ev.SplatSeen) if not splat.expected]
    if open_ones and session.settings.decode:
        _decode(session, prepared, open_ones)
    decoded = {event.splat: event.text for event in session.results.all(ev.SplatDecoded)}
    for splat in open_ones if prepared.applied.patches else ():
        text = decoded.get(splat.id, splat.text)
        if not splat.foreign and (found := blamed(prepared.applied, splat.id, text)):
            session.events.emit(found)


def _decode(session: Session, prepared: Prepared, open_ones: Sequence[ev.SplatSeen]) -> None:
    try:
        with stage(session.events, "debuginfo") as outcome:
            debug = build_debug(prepared.tree, prepared.kernel)
            outcome.cached = debug.cached
            outcome.detail = debug.verdict
        how = "decoded with debug information of the same text"
        if debug.differences:
            how = "decoded with debug information whose text addresses differ: lines may be off"
        for splat in open_ones:
            text = decode(splat.text, debug.vmlinux, debug.source)
            session.events.emit(ev.SplatDecoded(splat.id, text, how))
    except HarnessError as error:
        session.events.emit(ev.Note(f"traces are not decoded: {error.what}", "warning"))
