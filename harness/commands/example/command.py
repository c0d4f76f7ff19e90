# SPDX-License-Identifier: GPL-2.0-only
"""``make example``: runs the programs of ``examples/cache`` in guests that count instructions."""

from __future__ import annotations

import shutil
from pathlib import Path

from harness.cases.pool import at_once
from harness.cases.runner import CaseRunner
from harness.cases.selection import run_cases
from harness.commands.example.page import Page, render, rows
from harness.core import events as ev
from harness.core.atomic import write_atomically
from harness.core.command_table import PROJECT
from harness.core.jsondata import write_json
from harness.core.stages import stage
from harness.core.store import file_digest
from harness.image.programs import (
    CFLAGS,
    GUEST_TESTS,
    Suite,
    build_suite,
    compile_program,
    sources,
)
from harness.run.assemble_guest import assemble_guest, complaints_of, kvm_verdict
from harness.run.session import Session
from harness.series.base import Base
from harness.vm.guests import Guests
from harness.workloads.suite import image_of

EXAMPLE = PROJECT / "examples" / "cache"
USER = GUEST_TESTS / "example-cache"  # the guest tests that use it
DOCS = PROJECT / "docs"


def example_programs(session: Session, headers: Path, _: Base) -> Suite:
    """The user's cases, and the example's programs in ``cache/`` beside them.

    Raises:
        InvocationError: a program does not compile.
    """

    programs = sources(EXAMPLE)

    def compiled(draft: Path) -> None:
        for source in programs:
            if source.suffix == ".c":
                compile_program(source, draft / source.stem, headers, ())
            else:
                shutil.copyfile(source, draft / source.name)

    store, clauses = session.store, frozenset(session.data.clauses)
    inputs = [file_digest(*programs, headers), CFLAGS]
    built = store.entry("example", inputs, compiled, also=("image",))
    own = build_suite(store, [USER], headers, clauses)
    return image_of(store, (), own, {}, {EXAMPLE.name: built.path})


def example(session: Session) -> None:
    """``make example``: a case fails where a program shows a wrong byte, or ends."""
    equipment = assemble_guest(session, example_programs)
    prepared, cases = equipment.prepared, equipment.suite.cases
    promised, version = len(prepared.applied.patches), prepared.base.version
    sort_out, kvm = complaints_of(equipment), kvm_verdict(session)
    spec = equipment.spec.counting()
    with (
        stage(session.events, "examples") as outcome,
        Guests(spec, session.out, session.events, kvm, sort_out) as guests,
    ):
        runners = [
            CaseRunner(session.data, promised, version, guests.fresh, None, sort_out)
            for _ in range(at_once(session.settings.jobs))
        ]
        run_cases(cases, runners, session.events.emit, session.settings.tests or "")
        guests.report_strays()
        outcome.detail = f"{len(cases)} cases"
    records = session.results.all(ev.CaseFinished)
    found = rows(record.diagnostics for record in records if record.status == "pass")
    write_json(session.out / "example.json", found)
    if len(records) < len(cases) or session.results.failures():
        session.events.note("no page: it takes all cases; the rows are in example.json")
        return
    page = Page(version, session.data.name, promised, tuple(found))
    # An installed program has no docs/.
    folders = [folder for folder in (session.out, DOCS) if folder.is_dir()]
    for template in sorted(EXAMPLE.glob("*.j2")):
        text = render(template, page)
        for folder in folders:
            write_atomically(folder / template.name.removesuffix(".j2"), text)
    session.events.note(f"page and plot: {folders[-1] / 'example-cache.md'}")
