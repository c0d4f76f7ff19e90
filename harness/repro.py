# SPDX-License-Identifier: GPL-2.0-only
"""``make repro``: races on demand, on the series and on a variant without the protection."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness import events as ev
from harness import pace
from harness.accel import choose_accel
from harness.base import obtain_base
from harness.errors import HarnessError, InternalError, InvocationError, SeriesError
from harness.explain import explanation
from harness.guest import Guest
from harness.guests import Guests
from harness.kconfig import load_flavour
from harness.machine import GuestSpec, choose_machine
from harness.outputs import write_atomically
from harness.places import Spot, find
from harness.prepare import Prepared, prepare
from harness.raceclock import settle_clock
from harness.racekernels import RaceKernel, series_kernel, variant_kernel
from harness.racelab import Batch, controlled, program_argv, sequential, stress
from harness.raceprograms import RacePrograms, build_race_programs
from harness.racereport import Judged, document, record, stress_table, summary, table
from harness.racetrace import lines_of_stage, text_of
from harness.rootfs import Rootfs, build_rootfs
from harness.scenario import Scenario, choose
from harness.session import Session, run_session
from harness.settings import Settings
from harness.stages import stage
from harness.symbols import Symbols

STAGE = "race"
STRESS_SECONDS = 20
# Devices interrupt CPU 0 alone, and nothing is put on the others that did not ask for them: a
# held CPU keeps nobody waiting. KASAN speaks more than once.
APPEND = "irqaffinity=0 isolcpus=1-{last} kasan_multi_shot"


@dataclass(frozen=True)
class Bench:
    """What the scenarios of one flavour have in common."""

    session: Session
    prepared: Prepared
    series: RaceKernel
    programs: RacePrograms
    rootfs: Rootfs
    machine: str
    accel: str
    cpus: int

    def spec(self, kernel: RaceKernel, stub: Path) -> GuestSpec:
        """A guest of a kernel, its gdbstub at ``stub``."""
        made = GuestSpec(
            vmlinux=kernel.vmlinux,
            bzimage=kernel.bzimage,
            machine=self.machine,
            accel=self.accel,
            rootfs=self.rootfs.image,
            host_key=self.rootfs.host_key,
            login=self.rootfs.login,
            tests=self.programs.image,
            cpus=self.cpus,
            extra_append=APPEND.format(last=self.cpus - 1),
            gdb=str(stub),
        )
        memory = load_flavour(self.session.settings.config).memory_mb
        return replace(made, memory_mb=memory) if memory else made


@dataclass
class Side:
    """One kernel of a bench and its guests. A guest is replaced when it is of no use any more."""

    bench: Bench
    kernel: RaceKernel
    symbols: Symbols | None  # None: nothing is held in it
    guests: Guests
    stub: Path
    _guest: Guest | None = None

    @property
    def names(self) -> Symbols:
        """Its symbols, for a scenario that holds something."""
        if self.symbols is None:
            raise InternalError("a kernel without debug information is to be held somewhere")
        return self.symbols

    def guest(self) -> Guest:
        """A guest that can be trusted."""
        if self._guest is not None and self._guest.trustworthy:
            return self._guest
        if self._guest is None:
            self._guest = self.guests.boot()
            pace.measure(self._guest, self.guests.events)
            settle_clock(self._guest)
            if self.symbols is None:
                # Each run may cost a guest: a kernel that KASAN has complained of is of no use.
                self.guests.take_snapshot(self._guest)
            return self._guest
        self._guest.close()
        self.stub.unlink(missing_ok=True)
        self._guest = self.guests.fresh()
        settle_clock(self._guest)
        return self._guest


@contextlib.contextmanager
def side(bench: Bench, kernel: RaceKernel, name: str, events: ev.Events) -> Iterator[Side]:
    """One kernel's guests, below ``name`` in the run's folder; all end with the block."""
    folder = bench.session.out / name
    # A socket's path may be no longer than 107 bytes, and a run's folder is somewhere.
    with tempfile.TemporaryDirectory(prefix="race-") as short:
        stub = Path(short) / "gdb"
        symbols = kernel.symbols()
        folder.mkdir(parents=True, exist_ok=True)
        spec = bench.spec(kernel, stub)
        try:
            with Guests(spec, folder, folder / "console.log", events) as guests:
                yield Side(bench, kernel, symbols, guests, stub)
                guests.report_strays()
        finally:
            if symbols is not None:
                symbols.debug.close()


def _bench(session: Session, prepared: Prepared, scenarios: Sequence[Scenario]) -> Bench:
    settings, events, store = session.settings, session.events, session.store
    config = prepared.kernel.config.read_text("utf-8")
    machine, _ = choose_machine(settings.machine, config)
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
    bench = Bench(session, prepared, series, programs, rootfs, machine, "tcg", cpus)
    probe = replace(bench.spec(series, Path()), gdb="")
    accel = choose_accel(settings.accel, store.root, probe)
    events.emit(ev.AccelChosen(accel.name, accel.reason))
    events.emit(ev.Note(accel.reason))
    return replace(bench, accel=accel.name)


def _spots(scenario: Scenario, at: Side) -> tuple[Spot, ...]:
    program = at.bench.programs.symbols(scenario.name)
    return tuple(find(point, at.names, program) for point in scenario.points)


def _quiet(session: Session) -> ev.Events:
    """For the variant's guests: what a deliberately broken kernel says is not the series' fault."""
    kept = (ev.StageStarted, ev.StageFinished, ev.StageFailed, ev.StageProgress, ev.GuestLost)

    def pass_on(event: ev.Event) -> None:
        if isinstance(event, kept):
            session.events.emit(event)

    return ev.Events([pass_on])


def _without(session: Session, kind: type) -> ev.Events:
    """The session's events, but for one kind."""

    def pass_on(event: ev.Event) -> None:
        if not isinstance(event, kind):
            session.events.emit(event)

    return ev.Events([pass_on])


def _batch(at: Side, scenario: Scenario, spots: Sequence[Spot], runs: int) -> Batch:
    """All runs of a scenario on one side."""

    def tell(done: int) -> None:
        events = at.bench.session.events
        events.emit(ev.StageProgress(STAGE, done, runs, "runs", at.guests.folder.name))

    program = at.bench.programs.in_guest(scenario.name)
    if scenario.controlled:
        argv = program_argv(scenario, program, "--rounds", str(runs))
        symbols = at.bench.programs.symbols(scenario.name)
        return controlled(at.guest(), at.stub, scenario, spots, at.names, symbols, argv, runs)
    if not scenario.splat:
        return sequential(
            at.guest(), scenario, program_argv(scenario, program, "--rounds", str(runs))
        )
    total = Batch()
    for _ in range(runs):
        one = sequential(at.guest(), scenario, program_argv(scenario, program, "--rounds", "1"))
        total.endings += one.endings
        total.splats += one.splats
        total.seconds += one.seconds
        if one.error:
            total.error = one.error
            break
    return total


def _stress(at: Side, scenario: Scenario) -> Batch:
    program = at.bench.programs.in_guest(scenario.name)
    how = ("--seconds", str(STRESS_SECONDS))
    return stress(at.guest(), scenario, program_argv(scenario, program, *how))


def _write_trace(folder: Path, name: str, batch: Batch, at: Side) -> Path:
    """Every run of a batch with all its stacks; and the one that could not be conducted."""
    path = folder / f"{name}.txt"
    if at.symbols is None:
        text = "".join(f"run {i}: {end}\n" for i, end in enumerate(batch.endings, 1))
        text += "".join(f"{splat.text}\n" for splat in batch.splats[:1])
        path.write_text(text + batch.error, "utf-8")
        return path
    symbols = at.symbols
    text = text_of(batch.runs, symbols)
    if batch.error:
        stages = "\n".join(line for s in batch.stages for line in lines_of_stage(s, symbols))
        text += f"run {len(batch.runs) + 1}: error: {batch.error}\n{stages}\n"
    path.write_text(text, "utf-8")
    return path


@contextlib.contextmanager
def _of_the_variant(scenario: Scenario) -> Iterator[None]:
    """What is wrong with a variant is nothing that the series has to answer for.

    Raises:
        InvocationError: in place of a SeriesError.
    """
    try:
        yield
    except SeriesError as error:
        raise InvocationError(
            f"the variant {scenario.variant} cannot be used: {error.what}",
            evidence=error.evidence,
            next_step=error.next_step,
        ) from error


def _try(scenario: Scenario, series: Side, bench: Bench, judged: Judged) -> None:
    """Both columns of a scenario's row.

    Raises:
        HarnessError: it could not be tried.
    """
    session = bench.session
    folder = session.out / "races" / scenario.name
    folder.mkdir(parents=True, exist_ok=True)
    here = _spots(scenario, series)
    with _of_the_variant(scenario):
        variant = variant_kernel(
            session,
            bench.prepared,
            scenario.variant,
            bzimage=series.kernel.bzimage is not None,
            debug=scenario.controlled,
        )
    runs = session.settings.runs
    with side(bench, variant, f"races/{scenario.name}/variant", _quiet(session)) as broken:
        there = _spots(scenario, broken)
        if session.settings.explain:
            session.console.print(explanation(scenario, here, series.kernel.source))
        start = time.monotonic()
        for at, spots, name in ((broken, there, "variant"), (series, here, "series")):
            with _of_the_variant(scenario) if at is broken else contextlib.nullcontext():
                batch = _batch(at, scenario, spots, runs)
            setattr(judged, name, batch)
            judged.seconds = time.monotonic() - start
            path = _write_trace(folder, name, batch, at)
            _report_splats(session, scenario, batch, on_series=name == "series")
            if batch.error:
                judged.error = f"on the {name}: {batch.error}"
                judged.advice, judged.evidence = batch.advice, str(path)
                return
            judged.evidence = str(folder)
        if session.settings.stress and scenario.controlled:
            with _of_the_variant(scenario):
                judged.stress_variant = _stress(broken, scenario)
            judged.stress_series = _stress(series, scenario)


def _report_splats(session: Session, scenario: Scenario, batch: Batch, *, on_series: bool) -> None:
    """What the series' kernel said counts; what the variant's did is the variant's.

    Nor does it count where a run went wrong: a CPU that is held for long is a stall.
    """
    for splat in batch.splats if on_series and not batch.error else ():
        test = f"races::{scenario.name}"
        session.events.emit(
            ev.SplatSeen(splat.title, splat.category, test, splat.text, splat.expected)
        )


def _run_flavour(session: Session, scenarios: Sequence[Scenario], line: str) -> list[Judged]:
    """All scenarios of one flavour, in their order."""
    bench = _bench(session, prepare(session), scenarios)
    everything = []
    with side(bench, bench.series, "races/series", session.events) as series:
        for scenario in scenarios:
            judged = Judged(scenario, line, session.settings.config, session.settings.runs)
            session.events.emit(ev.CaseStarted(f"races::{scenario.name}", scenario.clauses))
            try:
                with stage(session.events, STAGE) as outcome:
                    _try(scenario, series, bench, judged)
                    outcome.detail = summary(judged)
            except HarnessError as error:
                if not isinstance(error, InvocationError):
                    raise
                judged.error, judged.advice = error.what, error.next_step
            session.events.emit(record(judged))
            everything.append(judged)
    return everything


def _conclude(session: Session, everything: Sequence[Judged]) -> None:
    """The table, the file, and the error that no scenario may hide.

    Raises:
        InvocationError: a scenario could not be tried, or proves nothing.
    """
    console = session.console
    console.print()
    console.print(table(everything))
    for judged in everything:
        status, reason = judged.verdict
        if reason:
            text = f"{judged.scenario.name}: {status}: {reason}"
            console.print(text, style="red", markup=False, soft_wrap=True)
    if any(judged.stress_variant is not None for judged in everything):
        console.print()
        console.print(stress_table(everything))
    console.print()
    base = session.results.base
    told = document(session.out.name, base.version if base else "", everything)
    write_atomically(session.out / "repro.json", json.dumps(told, indent=1) + "\n")
    wrong = [judged for judged in everything if judged.short]
    if wrong and not any(judged.struck for judged in everything):
        first = wrong[0]
        more = f"\nand {len(wrong) - 1} more: see the table" if len(wrong) > 1 else ""
        raise InvocationError(
            f"{first.scenario.name}: {first.short}{more}",
            evidence=Path(first.evidence) if first.evidence else first.scenario.source,
            next_step=first.advice or "correct the scenario; see docs/races.md",
        )


def _repro(session: Session) -> None:
    settings = session.settings
    line = obtain_base(settings, session.store, session.events).line
    chosen = choose(settings.race, line, session.data.name)
    everything: list[Judged] = []
    flavours = list(dict.fromkeys(_flavour(s, settings) for s in chosen))
    for flavour in sorted(flavours, key=lambda name: name != settings.config):
        mine = [s for s in chosen if _flavour(s, settings) == flavour]
        apart = replace(session, settings=replace(settings, config=flavour))
        if everything:
            # The run's configuration is the first one's; the record of a race names its own.
            apart = replace(apart, events=_without(session, ev.ConfigKnown))
        everything += _run_flavour(apart, mine, line)
    _conclude(session, everything)


def _flavour(scenario: Scenario, settings: Settings) -> str:
    """The flavour that a scenario is run on: CONFIG= may ask for another than its own."""
    return scenario.config if settings.config == "default" else settings.config


def repro(settings: Settings) -> int:
    """``make repro``: every scenario that RACE= names, with and without the protection.

    Raises:
        InvocationError: RACE= names none.
    """
    if not settings.race:
        raise InvocationError("RACE= names no scenario", next_step="make repro RACE=all")
    return run_session(settings, "repro", _repro)
