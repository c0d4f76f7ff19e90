# SPDX-License-Identifier: GPL-2.0-only
"""``make build-matrix``: the cells of the series' matrix built, judged, and booted where they can.

A cell is one record, ``matrix::<cell>``. The guests of cells that boot are runs of their
own, before the one that builds and judges.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from harness.build.kconfig import configure, read_values
from harness.build.make import made, read_records
from harness.build.new_warnings import judge_warnings
from harness.build.toolchain import ARCH, Workbench, find_toolchain
from harness.commands.matrix import single_init
from harness.commands.matrix.table import Built, Matrix, MatrixCell, broken, chosen, load_matrix
from harness.core import events as ev
from harness.core import git, proc
from harness.core.errors import SeriesError
from harness.core.settings import Settings
from harness.core.stages import stage
from harness.core.store import digest
from harness.report.results import RunDocument
from harness.run.pipeline import base_stage, series_stage
from harness.run.session import RunKernel, Session, run_session
from harness.series.apply import Applied
from harness.series.base import Base
from harness.series.contract import load
from harness.setup.on_demand import provide

FORMAT = 1
# User-space programs: no part of any kernel.
APART = ("tools/", "scripts/", "samples/", "Documentation/")


def build_matrix(settings: Settings, run: RunKernel) -> int:
    """Boots what boots, builds every cell (CELL=: one), and prints the table; the exit status.

    Args:
        run: ``make test-kernel``, which boots a cell.

    Raises:
        InvocationError: the series has no matrix, or no such cell.
    """
    matrix = load_matrix(load(settings.project))
    cells = chosen(matrix, settings.cell)
    guests: dict[str, RunDocument] = {}
    for cell in cells:
        if cell.tests and settings.patches is None:  # of a part, only the build is judged
            asked = replace(settings, config=cell.flavour.name, tests=cell.tests, decode=False)
            result = run(asked)
            if not result.judged:
                return result.code
            guests[cell.name] = result.document
    return run_session(
        settings, "build-matrix", lambda session: _body(session, matrix, cells, guests)
    ).code


def _body(
    session: Session,
    matrix: Matrix,
    cells: tuple[MatrixCell, ...],
    guests: Mapping[str, RunDocument],
) -> None:
    settings, events, store = session.settings, session.events, session.store
    with stage(events, "tools") as outcome:
        benches = {}
        for cell in cells:
            if cell.arch != ARCH:
                provide(cell.arch, session.out / "setup.log", events)
            toolchain = find_toolchain(arch=cell.arch, cross=cell.cross)
            benches[cell.name] = Workbench(store, events, toolchain, settings.jobs)
        outcome.detail = ", ".join(dict.fromkeys(b.toolchain.cc for b in benches.values()))
    base = base_stage(session)
    applied = series_stage(session, base)
    events.emit(ev.ConfigKnown("matrix", digest([cell.name for cell in cells])))
    touched = touched_files(base, applied)
    for cell in cells:
        record = _judge(benches[cell.name], base, applied, cell, session, touched)
        record = replace(record, clauses=(matrix.clause,))
        if cell.name in guests:
            record = with_guest(record, said_by_guest(guests[cell.name]), cell)
        events.emit(record)


def touched_files(base: Base, applied: Applied) -> tuple[str, ...]:
    """The C files of the kernel that the applied patches change or add."""
    if not applied.patches:
        return ()
    names = git.text(applied.repo, "diff", "--name-only", "--no-renames", "--diff-filter=d",
                     base.commit, applied.commit, "--", "*.c").splitlines()  # fmt: skip
    return tuple(name for name in names if not name.startswith(APART))


def _judge(
    bench: Workbench,
    base: Base,
    applied: Applied,
    cell: MatrixCell,
    session: Session,
    touched: tuple[str, ...],
) -> ev.CaseFinished:
    start = time.monotonic()
    log = session.out / f"{cell.name}.log"
    wrong: list[str] = []
    said: list[str] = []
    try:
        with stage(bench.events, cell.name) as outcome:
            folder, outcome.cached = _build(bench, base, applied, cell, log)
            about = json.loads((folder / "cell.json").read_text("utf-8"))
            compiled = frozenset(about["compiled"])
            outcome.detail = f"{bench.toolchain.cc}, {len(compiled)} objects"
            built = Built(
                read_values(folder / "kernel.config"),
                (folder / "System.map").read_text("utf-8"),
                compiled,
                touched,
            )
            # What a part of the series must give, only its own patches' builds can say.
            if len(applied.patches) == applied.total and touched:
                wrong = broken(cell.expect, cell.left_out, built)
                here = sum(f"{name.removesuffix('.c')}.o" in compiled for name in touched)
                said.append(f"{here} of {len(touched)} C files that the series touches compiled")
                if cell.init is not None and not wrong:
                    guest = _boot(cell, cell.init, folder / "vmlinux", session.out)
                    wrong += guest.wrong
                    outcome.detail += f", booted with {cell.init.name}"
                    said += [f"booted with {cell.init.name} as its only process", *guest.notes]
            outcome.detail += f", {said[0]}" if said else ""
    except SeriesError as error:
        wrong = error.lines()
    return ev.CaseFinished(
        ev.CaseId("matrix", None, cell.name),
        "fail" if wrong else "pass",
        wrong[0] if wrong else "",
        time.monotonic() - start,
        (),
        diagnostics=(*wrong, *said),
        about=cell.about,
    )


def _boot(cell: MatrixCell, init: Path, vmlinux: Path, out: Path) -> single_init.Said:
    with tempfile.TemporaryDirectory(prefix="harness-") as name:
        scratch = Path(name)
        single_init.compile_init("gcc", cell.init_flags, init, scratch / "init")
        log = out / f"{cell.name}.console.log"
        return single_init.run(vmlinux, scratch / "init", init.stem, scratch, log)


def _build(
    bench: Workbench, base: Base, applied: Applied, cell: MatrixCell, log: Path
) -> tuple[Path, bool]:
    """A cell's configuration, System.map, list of objects and, to boot, vmlinux.

    Also whether they were there already.

    Raises:
        SeriesError: it does not compile or link, or brings a new warning.
        InvocationError: this kernel does not grant what the fragments ask for.
    """
    config = configure(bench, base, applied, cell.flavour, log)
    boots = cell.init is not None
    key = digest(FORMAT, applied.tree, config.sha256, bench.toolchain.version, boots)

    def make(draft: Path) -> None:
        with made(bench, base, applied, config.text, config.name, cell.name, draft, log) as job:
            judge_warnings(job, config, log)
            _collect(job.out, draft)
            if boots:
                strip = (f"{cell.cross}strip", "--strip-all", "-o", str(draft / "vmlinux"))
                proc.capture((*strip, str(job.out / "vmlinux")))

    entry = bench.store.entry("matrix", key, make, bench.events.note)
    return entry.path, entry.cached


def _collect(out: Path, draft: Path) -> None:
    for name, kept in ((".config", "kernel.config"), ("System.map", "System.map")):
        shutil.copyfile(out / name, draft / kept)
    about = {"compiled": sorted(read_records(out))}
    (draft / "cell.json").write_text(json.dumps(about) + "\n", "utf-8")


def said_by_guest(document: RunDocument) -> list[str]:
    """What is wrong with a guest's run; every case that was selected must have passed."""
    if document["error"]:
        return [f"guest: {line}" for line in document["error"]]
    wrong = [f"guest: {t['id']}: {t['status']}: {t['reason']}" for t in document["tests"]
             if t["status"] != "pass"]  # fmt: skip
    wrong += [f"guest: the kernel complained: {s['title']}" for s in document["splats"]]
    return wrong if document["tests"] else ["guest: no case ran"]


def with_guest(record: ev.CaseFinished, wrong: list[str], cell: MatrixCell) -> ev.CaseFinished:
    """The record of a cell that was booted as well."""
    booted = f"booted, guest cases: {cell.tests}"
    reason = record.reason or (wrong[0] if wrong else "")
    return replace(
        record,
        status="fail" if wrong else record.status,
        reason=reason,
        diagnostics=(*record.diagnostics, *wrong, booted),
    )
