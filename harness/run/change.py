# SPDX-License-Identifier: GPL-2.0-only
"""How much of a change the cases of a run have run: what is watched, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from harness.core import events as ev
from harness.core.errors import MachineError
from harness.core.jsondata import write_json
from harness.core.stages import stage
from harness.coverage.changed_lines import changed_files
from harness.coverage.line_addresses import find_statements
from harness.coverage.marks import RanCode, build_plugin
from harness.coverage.result import Measured, entered_otherwise
from harness.report.change import FILE
from harness.run.assemble_guest import Equipment, kvm_verdict
from harness.run.pipeline import Prepared
from harness.run.session import Session
from harness.run.touched import keep_reach, without_coverage
from harness.vm.guest import Guest, marks_of
from harness.vm.machine import CodeWatch

STAGE = "coverage"
ADDRESSES = "watched.addresses"  # in a run's folder, while it runs
UNMEASURED = "which changed lines run is not measured"
UNDER_KVM = f"{UNMEASURED} under KVM: ACCEL=tcg does"


@dataclass(frozen=True)
class ChangeWatch:
    """What the guests of a run are watched for; ``unseen``: those under KVM that ran a case."""

    session: Session
    prepared: Prepared
    measured: Measured
    unseen: set[str] = field(default_factory=set)

    def observe(self, guest: Guest, case: ev.CaseId | None) -> None:
        """Takes what a guest has run by now, as of a case; see ``CaseRunner``."""
        if guest.spec.watch is None:
            return
        if guest.spec.accel == "tcg":
            self.measured.ran.read(marks_of(guest.folder, guest.name), case)
        else:
            self.unseen.add(guest.name)

    def patches_run(self, case: ev.CaseId) -> str:
        """Which patches of the series a case ran lines of, for a reader; '' where none is known."""
        when, numbers = self.measured.patches_run(case)
        patches = self.prepared.applied.patches
        named = "; ".join(f"patch {n + 1} ({patches[n].subject})" for n in numbers)
        return f"{when} changed lines of {named}" if named else ""

    def conclude(self) -> None:
        """Says what has run, once the guests are gone, and leaves the diffs for the report."""
        settings, applied = self.session.settings, self.prepared.applied
        for marks in sorted(self.session.out.glob(marks_of(self.session.out, "*").name)):
            self.measured.ran.read(marks, None)
            marks.unlink()
        (self.session.out / ADDRESSES).unlink(missing_ok=True)
        if self.unseen:
            self.session.events.note(UNDER_KVM)
            return
        all_patches = len(applied.patches) == applied.total
        selected = settings.tests or settings.only or self.session.stopped
        if not selected:
            keep_reach(self.session, self.prepared, self.measured)
        whole = all_patches and not selected
        self.session.events.emit(self.measured.coverage(whole=whole, least=settings.cover))
        subjects = [patch.subject for patch in applied.patches]
        diffs = self.measured.diffs(applied, subjects)
        write_json(self.session.out / FILE, {"patches": diffs})


def watch_change(session: Session, equipment: Equipment) -> tuple[Equipment, ChangeWatch | None]:
    """The stage coverage: the equipment of guests that tell what they run of the change.

    None: it is not measured, for nobody wants it, no code is changed or by the series alone,
    this is KVM, or QEMU takes no plugin.
    """
    settings, prepared, spec = session.settings, equipment.prepared, equipment.spec
    if not settings.coverage or settings.variant or not prepared.applied.patches:
        return equipment, None
    if without_coverage(settings):
        return equipment, None
    # Of a KVM that has not been tried yet the first guest shows whether this run is under TCG.
    if spec.accel == "kvm" and (settings.accel == "kvm" or kvm_verdict(session).known() == ""):
        session.events.note(UNDER_KVM)
        return equipment, None
    files = changed_files(prepared.applied)
    if not files:
        return equipment, None
    with stage(session.events, STAGE) as outcome:
        try:
            plugin = build_plugin(session.store)
        except MachineError as error:
            session.events.emit(ev.Note(f"{UNMEASURED}: {error.what}", "warning"))
            return equipment, None
        statements = find_statements(prepared.tree, prepared.kernel, files)
        outcome.cached = statements.cached
        with_code = sum(
            line.number in statements.lines.get(f.path, {}) for f in files for line in f.lines
        )
        lines = sum(len(file.lines) for file in files)
        outcome.detail = (
            f"{with_code} of {lines} lines have code, {len(statements.objects)} objects"
        )
    for name in statements.missing:
        session.events.emit(ev.Note(f"{name}: its code was not found in the kernel", "warning"))
    ran = RanCode(statements.addresses)
    measured = Measured(files, statements, ran, entered_otherwise(session.data.folder))
    change = ChangeWatch(session, prepared, measured)
    if not statements.addresses:
        return equipment, change
    watch = CodeWatch(plugin, session.out / ADDRESSES)
    ran.write_addresses(watch.addresses)
    return replace(equipment, spec=replace(spec, watch=watch)), change
