# SPDX-License-Identifier: GPL-2.0-only
"""All that a finding is made of: the stages of its run once more, mostly from the store."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from harness.cases.pool import at_once
from harness.core import events as ev
from harness.core.errors import InvocationError
from harness.findings.failures import Failure
from harness.findings.finding import Finding, Mode, Origin, Schedule
from harness.findings.pyz_file import Parts, argv_of
from harness.findings.schedule import resolve_schedule
from harness.image.programs import IN_GUEST
from harness.races.batch import PROGRAM_TIMEOUT_S
from harness.races.guests import assemble
from harness.races.landmarks import CASE, ROUNDS
from harness.races.programs import FOLDER, libraries_of
from harness.races.scenario import choose
from harness.report.records import CaseRecord
from harness.run.assemble_guest import assemble_guest
from harness.run.earlier_run import require_same
from harness.run.main_suite import MainSuite
from harness.run.pipeline import Prepared
from harness.run.session import RunResult, Session
from harness.series.on_top import obtain_base
from harness.series.patches import Patch
from harness.vm.machine import GuestSpec
from harness.vm.pace import PACE_REFERENCE_S
from harness.vm.protocol import SEED_VARIABLE

VARIANT_FILE = "variant.patch"
_SEED = re.compile(r"seed (\d+)\b")
_NO_SLUG = re.compile(r"[^A-Za-z0-9]+")
RUNS_ARGUMENT = "$4"  # of the script in the guest, see pyz_file.py


def _patches(session: Session) -> tuple[list[tuple[str, Patch]], Patch | None]:
    """The patches under test with names of files, and the variant on top of them."""
    series, applied = session.known.series, session.known.applied
    assert series is not None and applied is not None  # after the stage series
    patches = list(series.patches[: len(applied.patches)])
    settings = session.settings
    variant = patches.pop() if settings.variant and not settings.fix else None
    names = [f"{n:04}-{_NO_SLUG.sub('-', p.subject)[:50]}.patch" for n, p in enumerate(patches, 1)]
    return list(zip(names, patches, strict=True)), variant


def _finding(
    session: Session, run: RunResult, failure: Failure, test: CaseRecord, prepared: Prepared,
    spec: GuestSpec, mode: Mode, case: str, timeout_s: float, schedule: Schedule | None = None,
) -> Finding:  # fmt: skip
    config, (patches, variant) = session.results.last(ev.ConfigKnown), _patches(session)
    assert config is not None  # after the stage config
    ran = run.document
    origin = Origin(
        ran["kernel"].base, prepared.base.tree, prepared.base.version, config.name,
        config.sha256, tuple(name for name, _ in patches), VARIANT_FILE if variant else None,
        ran["run"], ran["command"], ran["asked"],
    )  # fmt: skip
    return Finding(
        id=failure.id,
        mode=mode,
        title=failure.title,
        test=test["id"],
        case=case,
        clauses=tuple(test["clauses"]),
        splat=failure.splat,
        argv=argv_of(spec, stub=mode == "order"),
        timeout_s=timeout_s,
        swap_mb=spec.swap_mb,
        search_swap=False,
        oom_expected=False,
        ignored=tuple(dict.fromkeys(splat["title"] for splat in ran["foreign_splats"])),
        pace_reference_s=PACE_REFERENCE_S,
        seen=failure.seen,
        runs=failure.runs,
        origin=origin,
        schedule=schedule,
    )


def gather_case(
    session: Session, run: RunResult, failure: Failure, test: CaseRecord
) -> tuple[Finding, Parts]:
    """The finding of a broken guest case.

    Raises:
        InvocationError: it needs somebody to talk to, or is not of this series any more.
        SeriesError, MachineError: as for the run itself.
    """
    settings = session.settings
    equipment = assemble_guest(session, MainSuite().programs, at_once(settings.jobs))
    prepared, spec = equipment.prepared, equipment.spec
    require_same(session, run.document, prepared)
    case = next((c for c in equipment.suite.cases if str(c.id) == test["id"]), None)
    if case is None:
        raise InvocationError(f"there is no case {test['id']} any more")
    if case.driver:
        what = f"{case.id} is talked to from here ({case.driver}), which no file can bring along"
        raise InvocationError(
            what, next_step=session.settings.command("test-kernel", TESTS=case.name)
        )
    if spec.login is not None:
        what = "a guest that boots by its image's own init is none for a file"
        raise InvocationError(what, next_step="ROOTFS_LOGIN=no, and a run with it")
    seeds = [match[1] for line in test["diagnostics"] if (match := _SEED.match(line))]
    env = dict(spec.env) | ({SEED_VARIABLE: seeds[-1]} if seeds else {})
    made = _finding(session, run, failure, test, prepared, spec, "case", case.name, case.timeout)
    made = replace(
        made, search_swap="swapimage" in case.host_checks, oom_expected="oom" in case.needs
    )
    python = case.program.argv[0] == "python3"
    patches, variant = _patches(session)
    program = None if python else Path(case.program.argv[0]).relative_to(IN_GUEST)
    libraries = [path for lib in libraries_of(session.data) for path in lib.glob("*.[hp]*")]
    return made, Parts(
        prepared=prepared,
        spec=spec,
        tree=equipment.suite.image.parent / "tree",
        program=program,
        argv=(*case.program.argv, "--run", case.name),
        env=tuple(env.items()),
        python=python or settings.rootfs is not None,
        symbol_map=None,
        patches=patches,
        variant=variant,
        sources=(case.program.source, *libraries),
    )


def gather_race(
    session: Session, run: RunResult, failure: Failure, test: CaseRecord
) -> tuple[Finding, Parts]:
    """The finding of a race that strikes on the series under test. Raises as ``gather_case``."""
    name = ev.CaseId.parse(test["id"]).name
    line = obtain_base(session.settings, session.store, session.events).line
    own = run.out / "races" / name / f"{name}.c"  # of a claim
    given = session.settings.race or ""
    listed = [word for word in given.split(",") if Path(word).stem == name and word.endswith(".c")]
    asked = str(own) if own.is_file() else (listed or [name])[0]
    (scenario,) = choose(asked, line, session.data.name)
    if session.settings.config == "default":
        flavour = replace(session.settings, config=scenario.config)
        session = replace(session, settings=flavour)
    context = assemble(session, [scenario])
    require_same(session, run.document, context.prepared)
    symbols = context.series.symbols(session.store, context.prepared.base)
    try:
        program = context.programs.symbols(name) if scenario.controlled else {}
        schedule = resolve_schedule(scenario, symbols, program)
    finally:
        if symbols is not None:
            symbols.debug.close()
    mode: Mode = "order" if scenario.controlled else "runs"
    spec = context.spec
    made = _finding(
        session, run, failure, test, context.prepared, spec, mode, CASE, PROGRAM_TIMEOUT_S, schedule
    )
    argv = context.programs.argv(scenario, ROUNDS, 0)
    argv[argv.index("0")] = RUNS_ARGUMENT
    patches, variant = _patches(session)
    libraries = [path for lib in libraries_of(session.data) for path in lib.glob("*.h")]
    return made, Parts(
        prepared=context.prepared,
        spec=spec,
        tree=context.programs.folder.parent,
        program=Path(FOLDER) / name,
        argv=argv,
        env=spec.env,
        python=session.settings.rootfs is not None,
        symbol_map=context.series.build.system_map.read_text("utf-8"),
        patches=patches,
        variant=variant,
        sources=(scenario.source, *libraries),
    )
