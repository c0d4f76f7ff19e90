# SPDX-License-Identifier: GPL-2.0-only
"""``make drgn``: opens the memory that DUMP=1 has kept, with the kernel's symbols."""

from __future__ import annotations

import importlib
import importlib.util
import sys

from harness.build.debuginfo import build_debug
from harness.core.atomic import write_atomically
from harness.core.command_table import command
from harness.core.errors import InvocationError, MachineError
from harness.core.settings import Settings
from harness.core.stages import stage
from harness.findings.failures import runs_of
from harness.run.assemble_guest import CORE
from harness.run.core_types import build_types
from harness.run.earlier_run import asked_again, require_same
from harness.run.pipeline import prepare
from harness.run.session import RunResult, Session, run_session

REPORT = "core.txt"


def _run_with_core(settings: Settings) -> RunResult:
    for run in reversed(runs_of(settings)):
        if (run.out / CORE).is_file():
            return run
    where = settings.claim or settings.out
    step = command("test-kernel", DUMP="1")
    raise InvocationError(f"no run in {where} has kept a guest's memory", next_step=step)


def drgn_core(settings: Settings) -> int:
    """``make drgn``: prints what is in a core; on a terminal, drgn's prompt follows."""
    if importlib.util.find_spec("drgn") is None:
        step = f"{sys.executable} -m pip install drgn"
        raise MachineError("drgn is not installed; it is an optional package", next_step=step)
    run = _run_with_core(settings)
    then = asked_again(run.document, settings)
    return run_session(then, "drgn", lambda session: _open(session, run)).code


def _open(session: Session, run: RunResult) -> None:
    prepared = prepare(session)
    require_same(session, run.document, prepared)
    with stage(session.events, "debuginfo") as outcome:
        twin = build_debug(prepared.tree, prepared.kernel)
        outcome.cached, outcome.detail = twin.cached, twin.verdict
    with stage(session.events, "types") as outcome:
        types = build_types(session, prepared)
        outcome.detail = f"{len(types)} objects"
    # Not at the top: who has no drgn uses all the rest.
    core_report = importlib.import_module("harness.debugger.core_report")
    core, kernel = run.out / CORE, prepared.kernel
    with stage(session.events, "core") as outcome:
        symbol_map = kernel.system_map.read_text("utf-8")
        program = core_report.open_core(core, twin.vmlinux, types, symbol_map, kernel.release)
        tree = f"{twin.source}/"
        lines = [line.replace(tree, "") for line in core_report.report(program)]
        write_atomically(run.out / REPORT, "\n".join([*lines, ""]))
        outcome.detail = f"{core} opened; {run.out / REPORT}"
    for line in lines:
        session.console.print(line, soft_wrap=True, markup=False)
    if sys.stdin.isatty():
        importlib.import_module("drgn.cli").run_interactive(program)
