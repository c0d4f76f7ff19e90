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
from harness.findings.finding import PATCHES, Finding, Mode, Origin, Schedule
from harness.findings.pyz_file import RUNS_ARGUMENT, Parts, argv_of
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
from harness.run.session import RunResult, Session
from harness.series.on_top import obtain_base
from harness.series.patches import Patch
from harness.vm.pace import PACE_REFERENCE_S
from harness.vm.protocol import SEED_VARIABLE

VARIANT_FILE = "variant.patch"
_SEED = re.compile(r"seed (\d+)\b")
_NO_SLUG = re.compile(r"[^A-Za-z0-9]+")


def _patches(session: Session) -> dict[str, Patch]:
    """The patches under test by their names in the file, and the variant on top of them."""
    series, applied = session.known.series, session.known.applied
    assert series is not None and applied is not None  # after the stage series
    settings, named = session.settings, dict[str, Patch]()
    for number, patch in enumerate(series.patches[: len(applied.patches)], 1):
        slug = _NO_SLUG.sub("-", patch.subject)[:50]
        named[f"{PATCHES}/{number:04}-{slug}.patch"] = patch
    if settings.variant and not settings.fix:
        named[VARIANT_FILE] = named.popitem()[1]
    return named


def _finding(
    session: Session, run: RunResult, failure: Failure, test: CaseRecord, parts: Parts,
    mode: Mode, case: str, timeout_s: float, schedule: Schedule | None = None,
) -> Finding:  # fmt: skip
    config, base, spec = session.results.last(ev.ConfigKnown), parts.prepared.base, parts.spec
    assert config is not None  # after the stage config
    ran = run.document
    variant = VARIANT_FILE if VARIANT_FILE in parts.patches else None
    names = tuple(Path(name).name for name in parts.patches if name != VARIANT_FILE)
    origin = Origin(
        ran["kernel"].base, base.tree, base.version, config.name,
        config.sha256, names, variant, ran["run"], ran["command"], ran["asked"],
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
    python = case.program.argv[0] == "python3"
    program = None if python else Path(case.program.argv[0]).relative_to(IN_GUEST)
    libraries = [path for lib in libraries_of(session.data) for path in lib.glob("*.[hp]*")]
    parts = Parts(
        prepared=prepared,
        spec=spec,
        tree=equipment.suite.image.parent / "tree",
        program=program,
        argv=(*case.program.argv, "--run", case.name),
        env=tuple(env.items()),
        python=python or settings.rootfs is not None,
        symbol_map=None,
        patches=_patches(session),
        sources=(case.program.source, *libraries),
    )
    made = _finding(session, run, failure, test, parts, "case", case.name, case.timeout)
    swap, oom = "swapimage" in case.host_checks, "oom" in case.needs
    return replace(made, search_swap=swap, oom_expected=oom), parts


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
    flavour = scenario.flavour(session.settings.config)
    session = replace(session, settings=replace(session.settings, config=flavour))
    context = assemble(session, [scenario])
    require_same(session, run.document, context.prepared)
    symbols = context.series.symbols(session.store, context.prepared.base)
    try:
        program = context.programs.symbols(name) if scenario.controlled else {}
        schedule = resolve_schedule(scenario, symbols, program)
    finally:
        if symbols is not None:
            symbols.debug.close()
    libraries = [path for lib in libraries_of(session.data) for path in lib.glob("*.h")]
    parts = Parts(
        prepared=context.prepared,
        spec=context.spec,
        tree=context.programs.folder.parent,
        program=Path(FOLDER) / name,
        argv=context.programs.argv(scenario, ROUNDS, RUNS_ARGUMENT),
        env=context.spec.env,
        python=session.settings.rootfs is not None,
        symbol_map=context.series.build.system_map,
        patches=_patches(session),
        sources=(scenario.source, *libraries),
    )
    mode: Mode = "order" if scenario.controlled else "runs"
    told = run, failure, test, parts, mode, CASE, PROGRAM_TIMEOUT_S, schedule
    return _finding(session, *told), parts
