# SPDX-License-Identifier: GPL-2.0-only
"""The guests of races: of each kernel one at a time, replaced when it is of no use any more."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.core import events as ev
from harness.core.stages import stage
from harness.debugger.symbols import Symbols
from harness.image.rootfs import build_rootfs
from harness.races.breakpoints import Breakpoint, find_breakpoint
from harness.races.clocksource import wait_for_final_clocksource
from harness.races.kernels import RaceKernel, series_kernel
from harness.races.programs import RacePrograms, build_race_programs, libraries_of
from harness.races.scenario import Scenario
from harness.run.assemble_guest import guest_spec, kvm_verdict
from harness.run.pipeline import Prepared, prepare
from harness.run.session import Session
from harness.vm.guest import Guest
from harness.vm.guests import Guests
from harness.vm.machine import GuestSpec
from harness.vm.pace import measure_pace

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
    """The stages up to all that the scenarios of one flavour need, but for their variants."""
    prepared = prepare(session)
    series = series_kernel(session, prepared, debug=any(s.controlled for s in scenarios))
    return race_context(session, prepared, series, scenarios)


def race_context(
    session: Session, prepared: Prepared, kernel: RaceKernel, scenarios: Sequence[Scenario]
) -> RaceContext:
    """The stages behind the kernel's: the root file system and the scenarios' programs."""
    settings, events, store = session.settings, session.events, session.store
    with stage(events, "rootfs") as outcome:
        rootfs = build_rootfs(settings, store, events)
        outcome.cached = rootfs.cached
    with stage(events, "programs") as outcome:
        libraries = libraries_of(session.data)
        programs = build_race_programs(store, scenarios, libraries, prepared.headers)
        outcome.cached, outcome.detail = programs.cached, f"{len(scenarios)} scenarios"
    cpus = max(scenario.cpus for scenario in scenarios)
    spec = guest_spec(session, prepared, rootfs, programs.image, cpus)
    spec = replace(spec, extra_append=APPEND.format(last=cpus - 1))
    return RaceContext(session, prepared, kernel, programs, spec)


@dataclass
class KernelGuests:
    """One kernel's; ``stub``: their gdbstub's socket, ``symbols``: None where nothing is held.

    ``ready``: is done to each guest before it is used.
    """

    context: RaceContext
    kernel: RaceKernel
    symbols: Symbols | None
    guests: Guests
    stub: Path
    ready: Callable[[Guest], object] = lambda guest: None
    _guest: Guest | None = None

    def breakpoints(self, scenario: Scenario) -> tuple[Breakpoint, ...]:
        """Those of a scenario's points, in order, as ``find_breakpoint``; none: nothing is held."""
        if self.symbols is None:
            return ()
        program = self.context.programs.symbols(scenario.name)
        return tuple(find_breakpoint(point, self.symbols, program) for point in scenario.points)

    def guest(self) -> Guest:
        """A guest that can be trusted; a SeriesError or MachineError where it does not boot."""
        if self._guest is None:
            self._guest = self._prepared(first=True)
        elif not self._guest.trustworthy:
            self.renew()
        return self._guest

    def renew(self) -> None:
        """The next guest has run nothing; SeriesError and MachineError as of ``guest``."""
        if self._guest is not None:
            self._end(self._guest)
            self._guest = self._prepared(first=False)

    def _prepared(self, *, first: bool) -> Guest:
        guest = self.guests.fresh()
        try:
            if first:
                measure_pace(guest, self.guests.events)
            wait_for_final_clocksource(guest)
            if first and self.symbols is None:
                # Each run may cost a guest: a kernel that KASAN has complained of is of no use.
                self.guests.take_snapshot(guest)
            self.ready(guest)
        except BaseException:  # who catches it asks for a guest once more
            self._end(guest)
            raise
        return guest

    def _end(self, guest: Guest) -> None:
        guest.close()
        self.stub.unlink(missing_ok=True)

    def discard(self) -> None:
        """The guest that there is now is not to be used any more."""
        if self._guest is not None:
            self._guest.qemu.kill()


@contextlib.contextmanager
def kernel_guests(
    context: RaceContext, kernel: RaceKernel, name: str, events: ev.Events
) -> Iterator[KernelGuests]:
    """One kernel's guests, below ``name`` in the run's folder; all end with the block."""
    folder = context.session.out / name
    # A socket's path may be no longer than 107 bytes, and a run's folder is somewhere.
    with tempfile.TemporaryDirectory(prefix="race-") as short:
        stub = Path(short) / "gdb"
        symbols = kernel.symbols(context.session.store, context.prepared.base)
        folder.mkdir(parents=True, exist_ok=True)
        spec = replace(context.spec, kernel=kernel.build.image, gdb=str(stub))
        try:
            kvm = kvm_verdict(context.session)
            with Guests(spec, folder, events, kvm) as guests:
                yield KernelGuests(context, kernel, symbols, guests, stub)
                guests.report_strays()
        finally:
            if symbols is not None:
                symbols.debug.close()
