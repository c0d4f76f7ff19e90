# SPDX-License-Identifier: GPL-2.0-only
"""``make cost``: the bare base and the series, booted in turn, and what each of them takes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.cases.selection import select_cases
from harness.commands.cost.bars import HELP, TABLE, CostTable, load_bars
from harness.commands.cost.judge import (
    Boots,
    FigureKey,
    Unit,
    differences,
    judge_differences,
    judge_ratios,
    judge_structs,
    ratios,
    unjudged,
)
from harness.commands.cost.measure import MeasuredKernel
from harness.commands.cost.page import CostReport, plot, tables
from harness.commands.cost.sizes import KernelSizes, image_sizes, struct_sizes
from harness.core import events as ev
from harness.core.atomic import write_atomically
from harness.core.errors import InvocationError, MachineError
from harness.core.jsondata import write_json
from harness.core.settings import Settings
from harness.core.stages import stage
from harness.image.programs import GUEST_TESTS, Case, Suite, build_suite
from harness.run.session import Session, run_session
from harness.run.two_kernels import assemble_both
from harness.series.base import Base

DEFAULT_BOOTS = 6  # of each kernel; fewer leave no interval of 95 %
STAGE = "boots"


def _kernels(session: Session, table: CostTable) -> tuple[MeasuredKernel, MeasuredKernel]:
    """Both kernels and the programs, which are those of the series on either."""

    def compiled(here: Session, headers: Path, _: Base) -> Suite:
        folder, clauses = GUEST_TESTS / table.guest_tests, frozenset(session.data.clauses)
        return build_suite(here.store, [folder], headers, clauses)

    base, without, with_series = assemble_both(session, compiled)
    promised = len(with_series.prepared.applied.patches)
    return (
        MeasuredKernel("base", base, without, table, promised),
        MeasuredKernel("series", session, with_series, table, promised),
    )


def _boot_in_turn(
    kernels: Sequence[MeasuredKernel], unit: Unit, boots: int, cases: Sequence[Case]
) -> tuple[Boots, Boots]:
    """Figures of the base and of the series, a value a boot.

    A count of instructions is the same however busy the machine is, so of each pair of boots
    both run at once. Times are taken one after the other, and each pair in the other order.
    """
    session = kernels[1].session
    found: dict[str, dict[FigureKey, list[float]]] = {k.name: defaultdict(list) for k in kernels}
    at_once = 2 if unit == "instructions" and session.settings.jobs > 1 else 1
    with stage(session.events, STAGE) as outcome, ThreadPoolExecutor(at_once) as pool:
        for number in range(1, boots + 1):
            order = kernels if number % 2 else kernels[::-1]
            running = [(k.name, pool.submit(k.boot, number, unit, cases)) for k in order]
            for name, boot in running:
                if not (sample := boot.result()):
                    return {}, {}  # KVM does not run it: said already
                for key, value in sample.items():
                    found[name][key].append(value)
            session.events.emit(ev.StageProgress(STAGE, number, boots, "boots of each", unit))
        outcome.detail = f"{boots} of each kernel, {unit}"
    return found["base"], found["series"]


def _cost(session: Session) -> None:
    settings, table = session.settings, load_bars(session.data.folder)
    boots = settings.repeat or DEFAULT_BOOTS
    base, series = kernels = _kernels(session, table)
    cases = select_cases(base.equipment.suite.cases, settings.tests or "")
    if not cases:
        raise InvocationError(f"TESTS={settings.tests!r} selects no case", next_step=HELP)
    with stage(session.events, "sizes"):
        sizes_of_base, sizes_of_series = (
            KernelSizes(
                image_sizes(k.equipment.prepared.kernel.vmlinux),
                struct_sizes(k.equipment.prepared, table.structs),
            )
            for k in kernels
        )
    on_base, on_series = _boot_in_turn(kernels, "instructions", boots, cases)
    found, times = differences(on_base, on_series), ratios(table, on_series)
    timed = []
    if series.equipment.spec.accel == "kvm":
        timed = differences(*_boot_in_turn(kernels, "time", boots, cases))
    if not settings.tests and (silent := unjudged(table, found, on_series)):
        what = f"{TABLE} has a bar that no case is about: {silent[0]}"
        raise InvocationError(what, next_step=HELP)
    records = [
        *judge_differences(table, found),
        *judge_ratios(table, times),
        *judge_structs(table, sizes_of_base.structs, sizes_of_series.structs),
    ]
    for record in records:
        session.events.emit(record)
    report = CostReport(boots, (*found, *timed), on_series, times, sizes_of_base, sizes_of_series)
    write_json(session.out / "cost.json", report.document())
    write_atomically(session.out / "cost.svg", plot(report, table))
    for shown in tables(report, table):
        session.console.print(shown)
        session.console.print()
    open_ones = [record for record in records if record.status == "skip"]
    if open_ones and not session.results.failures():
        raise MachineError(
            f"{len(open_ones)} of {len(records)} bars cannot be judged, the first: "
            f"{open_ones[0].id}: {open_ones[0].reason}",
            evidence=session.out / "cost.json",
            next_step=settings.command("cost", REPEAT=str(2 * boots)),
        )


def cost(settings: Settings) -> int:
    """``make cost``: exit 1 where a bar is missed, 3 where the spread covers one."""
    settings.refuse_bare_base("cost")
    return run_session(settings, "cost", _cost).code
