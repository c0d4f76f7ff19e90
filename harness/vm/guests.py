# SPDX-License-Identifier: GPL-2.0-only
"""The guests of one run: the first is booted, the others come from its snapshot.

Under KVM the first guest is the probe as well: what fails there is tried under TCG before
anybody is blamed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.core import events as ev
from harness.core.command_table import command
from harness.core.errors import InternalError, InvocationError, MachineError, SeriesError
from harness.vm.accel import USE_TCG, KvmVerdict, in_one_line
from harness.vm.boot import OWN_INIT, Patience, boot, save
from harness.vm.guest import CaseRun, Guest
from harness.vm.machine import GuestSpec
from harness.vm.pace import measure_pace
from harness.vm.splats import ConsoleRemark, Splat
from harness.vm.ssh import KeyPair

# How much longer a guest that counts may take than one that does not: it has one CPU, and each
# block of instructions adds to a sum. Time limits only.
COUNTING_PACE = 10.0

Step = Callable[[Guest], object]


@dataclass
class Guests:
    """Boots and restores the guests of one run, and closes them all at its end.

    The key pair is made for the run and never leaves this process. Used as a
    context manager; after it no QEMU of the run is left. ``fresh`` may be called
    from several threads. ``folder`` gets the consoles, the first guest's as ``console.log``.
    ``kvm`` is what is known of KVM here.
    ``sort_out`` marks a splat that does not count against the series.
    """

    spec: GuestSpec
    folder: Path
    events: ev.Events
    kvm: KvmVerdict
    sort_out: Callable[[Splat], Splat] = lambda splat: splat
    keys: KeyPair = field(default_factory=KeyPair.generate)
    snapshot: Path | None = None
    _made: list[Guest] = field(default_factory=list)
    _remarked: set[ConsoleRemark] = field(default_factory=set)
    _named: int = 0
    _closed: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        if self.spec.accel == "kvm" and self.kvm.known() and not self.kvm.asked:
            self.spec = replace(self.spec, accel="tcg")  # another's guests have found it out

    def __enter__(self) -> Guests:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._closed = True
        for guest in self._made:
            guest.close()
        self._tell_core()

    def _tell_core(self) -> None:
        """Says where the memory of the guest is that complained first, or why it is nowhere."""
        if (path := self.spec.core) is None:
            return
        troubles = [guest.core.trouble for guest in self._made if guest.core is not None]
        if path.exists():
            said = f"memory and registers at the first report are in {path}: {command('drgn')}"
            self.events.emit(ev.Note(said))
        elif trouble := next(filter(None, troubles), None):
            self.events.emit(ev.Note(f"the guest's memory was not kept: {trouble}", "warning"))

    @property
    def _first_log(self) -> Path:
        return self.folder / "console.log"

    @property
    def first(self) -> Guest:
        """The guest that was booted first; there is one."""
        return self._made[0]

    def take_snapshot(self, guest: Guest) -> None:
        """Saves the state of ``guest``, which runs on; later ones start from there."""
        state = self.folder / "snapshot"
        save(guest, state)
        self.snapshot = state

    def start(self) -> Guest:
        """The first guest, its pace measured and its state saved.

        Raises what :func:`harness.vm.boot.boot` does; SeriesError: it cannot do its first work.
        """

        def prepare(guest: Guest) -> None:
            measure_pace(guest, self.events)
            self.take_snapshot(guest)

        return self._boot(prepare)

    def fresh(self) -> Guest:
        """A guest that has run nothing: restored where there is a snapshot, else booted.

        A snapshot that gives no guest, as one that was cut, is given up for a boot.
        Reports what the kernel said on the way. Raises what :func:`harness.vm.boot.boot` does.
        """
        state = self.snapshot
        if state is not None:
            try:
                return self._begin(self.spec, state, self._report)
            except (MachineError, SeriesError) as error:
                said = f"the snapshot gives no guest, so each is booted: {in_one_line(error)}"
                self.events.emit(ev.Note(said, "warning"))
                self.snapshot = None
        return self._boot()

    def without_kvm(self, why: str, use: Callable[[Guest], CaseRun]) -> tuple[Guest, CaseRun]:
        """Whether KVM lost a guest, of which ``why`` makes it suspect: ``use`` under TCG.

        If the guest is not lost there as well, KVM is given up.

        Raises:
            MachineError: KVM is at fault, and is to be used all the same (ACCEL=kvm).
            HarnessError: no guest boots under TCG, see :func:`harness.vm.boot.boot`.
        """
        guest = self._begin(replace(self.spec, accel="tcg"), None, self._report, self._measure)
        run = use(guest)
        if not run.lost:
            self.snapshot = None
            self._give_up_kvm(why)
        return guest, run

    def _measure(self, guest: Guest) -> None:
        measure_pace(guest, self.events)

    def _boot(self, prepare: Step = lambda guest: None) -> Guest:
        """A booted guest that ``prepare`` has done its work in; under TCG where KVM fails."""
        if self.spec.accel != "kvm":
            return self._begin(self.spec, None, self._report, prepare)
        said: list[Splat] = []
        try:
            guest = self._begin(self.spec, None, said.append, prepare)
        except (MachineError, SeriesError, InvocationError) as error:
            if self.kvm.known() == "" and any(splat.spoils for splat in said):
                # Guests do run under KVM here, and this one's kernel says itself what it died of.
                for splat in said:
                    self._report(splat)
                raise
            why = in_one_line(error)
            if not self._made and self._first_log.exists():
                self._first_log.rename(self.folder / f"guest{self._named}.console.log")
            guest = self._begin(replace(self.spec, accel="tcg"), None, self._report, prepare)
            self._give_up_kvm(why)
            foreign = f"under a KVM that does not run this guest, which TCG runs: {why}"
            said = [replace(splat, foreign=foreign) for splat in said]
        else:
            self.kvm.keep("")
        for splat in said:
            self._report(splat)
        return guest

    def _give_up_kvm(self, why: str) -> None:
        """What KVM failed at, a guest has done under TCG: so will all that come."""
        with self._lock:
            news = self.spec.accel == "kvm"
            self.spec = replace(self.spec, accel="tcg")
        self.kvm.keep(why)
        if self.kvm.asked:
            raise MachineError(
                f"ACCEL=kvm, and KVM does not run this guest, which TCG runs: {why}",
                evidence=self.folder,
                next_step=USE_TCG,
            )
        if news:
            said = f"KVM does not work here: {why}"
            self.events.emit(ev.AccelChosen("tcg", said))
            self.events.emit(ev.Note(f"{said}; TCG runs this guest, and the others", "warning"))

    def _begin(
        self,
        spec: GuestSpec,
        state: Path | None,
        report: Callable[[Splat], None],
        prepare: Step = lambda guest: None,
    ) -> Guest:
        """One guest of this run, restored from ``state`` or booted. Closed if ``prepare`` fails."""
        with self._lock:
            self._named += 1
            name = f"guest{self._named}"
        log = None if self._made else self._first_log
        guest = boot(spec, self.folder, name, self.keys, state=state, console_log=log,
                     patience=self._patience(spec), report=report)  # fmt: skip
        usual = COUNTING_PACE if spec.counted else 1.0
        guest.pace = next((g.pace for g in self._made if g.spec.accel == spec.accel), usual)
        in_turn = ", CPUs in turn" if spec.in_turn and spec.accel == "tcg" else ""
        machine = f"{spec.machine}, {spec.accel}{in_turn}"
        self.events.emit(
            ev.GuestBooted(guest.boot_id, guest.boot_seconds, machine, state is not None)
        )
        try:
            prepare(guest)
        except BaseException:
            guest.close()
            for splat in guest.take_stray_splats():
                report(splat)
            raise
        with self._lock:
            late = self._closed
            if not late:
                self._made.append(guest)
        if late:
            guest.close()
            raise InternalError(f"{guest.name} came up after the run had ended")
        self._report_strays_of(guest)
        return guest

    def _patience(self, spec: GuestSpec) -> Patience:
        usual = OWN_INIT if spec.login else Patience()
        unproven = spec.accel == "kvm" and self.kvm.known() is None and not self.kvm.asked
        return usual.on_trial() if unproven else usual

    @property
    def made(self) -> tuple[Guest, ...]:
        """All guests of the run so far, lost ones too."""
        with self._lock:
            return tuple(self._made)

    def report_strays(self) -> None:
        """Emits what the kernels said while no case was running, each complaint once."""
        for guest in self._made:
            self._report_strays_of(guest)

    def _report_strays_of(self, guest: Guest) -> None:
        for splat in guest.take_stray_splats():
            self._report(splat)
        for remark in guest.take_remarks():
            self._remark(remark)

    def _remark(self, remark: ConsoleRemark) -> None:
        """Emits a line that is no complaint, once in a run."""
        with self._lock:
            fresh = remark not in self._remarked
            self._remarked.add(remark)
        if fresh:
            self.events.emit(ev.Note(f"the console: {remark.line}: {remark.why}"))

    def _report(self, splat: Splat) -> None:
        self.events.emit(self.sort_out(splat).seen())
