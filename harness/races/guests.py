# SPDX-License-Identifier: GPL-2.0-only
"""The guests of races: of each kernel one at a time, replaced when it is of no use any more."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.build.kconfig import load_flavour
from harness.core import events as ev
from harness.core.errors import InternalError
from harness.core.stages import stage
from harness.debugger.symbols import Symbols
from harness.image.rootfs import build_rootfs
from harness.races.breakpoints import Breakpoint, find_breakpoint
from harness.races.clocksource import wait_for_final_clocksource
from harness.races.kernels import RaceKernel, series_kernel
from harness.races.programs import RacePrograms, build_race_programs
from harness.races.scenario import Scenario
from harness.run.pipeline import Prepared, prepare
from harness.run.session import Session
from harness.vm.accel import choose_accel
from harness.vm.guest import Guest
from harness.vm.guests import Guests, measure_pace
from harness.vm.machine import GuestSpec, choose_machine

# Devices interrupt CPU 0 alone, and nothing is put on the others that did not ask for them: a
# held CPU keeps nobody waiting. KASAN speaks more than once.
APPEND = "irqaffinity=0 isolcpus=1-{last} kasan_multi_shot"


@dataclass(frozen=True)
class RaceContext:
    """What the scenarios of one flavour have in common; ``spec``: a guest of the series."""

    session: Session
    prepared: Prepared
    series: RaceKernel
    programs: RacePrograms
    spec: GuestSpec


def assemble(session: Session, scenarios: Sequence[Scenario]) -> RaceContext:
    """The stages up to all that the scenarios of one flavour need, but for their variants.

    Raises:
        SeriesError, InvocationError, MachineError: see each stage.
    """
    settings, events, store = session.settings, session.events, session.store
    prepared = prepare(session)
    machine, _ = choose_machine(settings.machine, prepared.kernel.config.read_text("utf-8"))
    if machine != "microvm" and prepared.kernel.bzimage is None:
        prepared = prepare(session, bzimage=True)
    series = series_kernel(session, prepared, debug=any(s.controlled for s in scenarios))
    with stage(events, "rootfs") as outcome:
        rootfs = build_rootfs(settings, store, events)
        outcome.cached = rootfs.cached
    with stage(events, "programs") as outcome:
        programs = build_race_programs(store, scenarios, session.data.guest_tests, prepared.headers)
        outcome.cached = programs.cached
        outcome.detail = f"{len(scenarios)} scenarios"
    cpus = max(scenario.cpus for scenario in scenarios)
    spec = GuestSpec(
        vmlinux=series.vmlinux,
        bzimage=series.bzimage,
        machine=machine,
        accel="tcg",
        rootfs=rootfs.image,
        host_key=rootfs.host_key,
        login=rootfs.login,
        tests=programs.image,
        cpus=cpus,
        extra_append=APPEND.format(last=cpus - 1),
    )
    if memory := load_flavour(settings.config).memory_mb:
        spec = replace(spec, memory_mb=memory)
    accel = choose_accel(settings.accel, store.root, spec)
    events.emit(ev.AccelChosen(accel.name, accel.reason))
    events.emit(ev.Note(accel.reason))
    return RaceContext(session, prepared, series, programs, replace(spec, accel=accel.name))


@dataclass
class KernelGuests:
    """The guests of one kernel; ``stub``: the socket of their gdbstub.

    ``debug_symbols``: None where nothing is held in it.
    """

    context: RaceContext
    kernel: RaceKernel
    debug_symbols: Symbols | None
    guests: Guests
    stub: Path
    _guest: Guest | None = None

    @property
    def symbols(self) -> Symbols:
        """Its symbols, for a scenario that holds something."""
        if self.debug_symbols is None:
            raise InternalError("a kernel without debug information is to be held somewhere")
        return self.debug_symbols

    def breakpoints(self, scenario: Scenario) -> tuple[Breakpoint, ...]:
        """Those of a scenario's points, in order.

        Raises:
            InvocationError: one of them is nowhere in this kernel.
        """
        program = self.context.programs.symbols(scenario.name)
        return tuple(find_breakpoint(point, self.symbols, program) for point in scenario.points)

    def guest(self) -> Guest:
        """A guest that can be trusted.

        Raises:
            SeriesError, MachineError: it does not boot.
        """
        if self._guest is not None and self._guest.trustworthy:
            return self._guest
        first = self._guest is None
        if self._guest is not None:
            self._guest.close()
            self.stub.unlink(missing_ok=True)
        self._guest = self.guests.boot() if first else self.guests.fresh()
        if first:
            measure_pace(self._guest, self.guests.events)
        wait_for_final_clocksource(self._guest)
        if first and self.debug_symbols is None:
            # Each run may cost a guest: a kernel that KASAN has complained of is of no use.
            self.guests.take_snapshot(self._guest)
        return self._guest


@contextlib.contextmanager
def kernel_guests(
    context: RaceContext, kernel: RaceKernel, name: str, events: ev.Events
) -> Iterator[KernelGuests]:
    """One kernel's guests, below ``name`` in the run's folder; all end with the block."""
    folder = context.session.out / name
    # A socket's path may be no longer than 107 bytes, and a run's folder is somewhere.
    with tempfile.TemporaryDirectory(prefix="race-") as short:
        stub = Path(short) / "gdb"
        symbols = kernel.symbols()
        folder.mkdir(parents=True, exist_ok=True)
        spec = replace(context.spec, vmlinux=kernel.vmlinux, bzimage=kernel.bzimage, gdb=str(stub))
        try:
            with Guests(spec, folder, folder / "console.log", events) as guests:
                yield KernelGuests(context, kernel, symbols, guests, stub)
                guests.report_strays()
        finally:
            if symbols is not None:
                symbols.debug.close()
