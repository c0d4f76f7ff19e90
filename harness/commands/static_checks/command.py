# SPDX-License-Identifier: GPL-2.0-only
"""``make static-checks``: what checkpatch, sparse and kernel-doc say of each patch, as a run.

sparse and kernel-doc look at whole files, so each patch is answerable for what they say
of the tree after it and did not say of the tree before. The files are those that any
patch of the series touches: a header's mistakes show in the C files that include it.

Each tool has one record, ``static::<tool>``, without a clause. It fails for a remark
that ``justified.yaml`` does not justify, and for an entry there that matches none.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from harness.build.kconfig import KernelConfig, configure, load_flavour
from harness.build.make import build_dir, marked, place_config, run_on
from harness.build.make_log import new_warnings
from harness.build.toolchain import BuildTools
from harness.commands.static_checks.remarks import (
    LEFT,
    TOOLS,
    PatchRemarks,
    Remark,
    load_waivers,
    read_remarks,
)
from harness.core import events as ev
from harness.core import git, proc
from harness.core.atomic import write_atomically
from harness.core.errors import SeriesError
from harness.core.settings import Settings
from harness.core.stages import stage
from harness.run.pipeline import base_stage, workbench
from harness.run.session import RunResult, Session, run_session
from harness.series.apply import Applied, apply_series
from harness.series.base import Base
from harness.series.patches import Series, load_series
from harness.series.worktree import SourceTree, source_tree
from harness.setup.on_demand import provide

PURPOSE = "statics"  # the build folder's
# User-space programs that have makefiles and headers of their own.
APART = ("tools/", "scripts/", "samples/", "Documentation/")
CHECKPATCH = ("--strict", "--terse", "--showfile", "--show-types", "--no-summary",
              "--color=never")  # fmt: skip
_LOOKED_AT = re.compile(r"^  CHECK +(\S+)$")  # make C=2 names what it hands to sparse


def static_checks(settings: Settings) -> RunResult:
    """Runs the tools on every patch of the series."""
    return run_session(settings, "static-checks", _body)


def _body(session: Session) -> None:
    settings, events = session.settings, session.events
    provide("sparse", session.out / "setup.log", events)
    base = base_stage(session)
    with stage(events, "series") as outcome:
        series = load_series(settings, base)
        for remark in series.remarks:
            events.note(remark)
        series = Series(series.source, series.patches[: settings.patches])
        outcome.detail = f"{len(series.patches)} patches from {series.source}"
        infos = tuple(ev.PatchInfo(p.subject, p.patch_id) for p in series.patches)
        events.emit(ev.SeriesKnown(series.source, infos, len(series.patches)))
    start = time.monotonic()
    with stage(events, "statics") as outcome:
        log, folder = session.out / "build.log", session.data.folder
        found = static_remarks(workbench(session), base, series, folder, log, settings.config)
        count = sum(len(said) for patch in found for said in patch.tools.values())
        outcome.detail = f"{len(found)} patches, {count} remarks"
    patches = []
    for patch in found:
        tools = {}
        for tool, said in patch.tools.items():
            new = [str(remark) for remark in patch.open(tool)]
            tools[tool] = {"open": new, "justified": len(said) - len(new)}
        patches.append({"number": patch.number, "subject": patch.subject, "tools": tools})
    write_atomically(session.out / LEFT, json.dumps({"patches": patches}, indent=1) + "\n")
    for record in records(found, series, own=not settings.series):
        events.emit(record)
    events.emit(ev.Note(f"the tools took {time.monotonic() - start:.0f} s"))
    session.console.print()
    session.console.print(table(found))


def static_remarks(
    bench: BuildTools, base: Base, series: Series, folder: Path, log: Path, flavour: str = "default"
) -> list[PatchRemarks]:
    """What checkpatch, sparse and kernel-doc say of each patch of a series.

    A patch that does not apply ends it, and so does one that breaks the configuration:
    the patches before it are in the result.

    Args:
        folder: of the series' data, where ``justified.yaml`` may lie.
        log: gets what make says.
        flavour: of the configuration that sparse sees the code with.
    """
    waivers = load_waivers(folder, base.line)
    files = sorted({f for patch in series.patches for f in patch.files})
    found: list[PatchRemarks] = []
    checker = TreeChecker(bench, base, files, log)
    before: dict[str, list[Remark]] = {}
    for count in range(len(series.patches) + 1):
        try:
            applied = apply_series(base, series, count, bench.store, bench.events)
            config = configure(bench, base, applied, load_flavour(flavour), log)
        except SeriesError:
            break  # which the build says, with its reasons
        if not count:
            before, _ = checker.remarks(applied, config, b"")
            continue
        patch = series.patches[count - 1]
        here, unseen = checker.remarks(applied, config, patch.text)
        tools = {tool: tuple(new_warnings(here[tool], before[tool])) for tool in here}
        tools["checkpatch"] = tuple(here["checkpatch"])  # is of the patch already
        unchecked = tuple(name for name in unseen if name in patch.files)
        found.append(PatchRemarks(count, patch.subject, tools, unchecked).justified(waivers))
        before = here
    return found


@dataclass(frozen=True)
class TreeChecker:
    """Runs the tools on trees of one base. ``files``: at what, as far as a tree has them."""

    bench: BuildTools
    base: Base
    files: Sequence[str]
    log: Path

    def remarks(
        self, applied: Applied, config: KernelConfig, mail: bytes
    ) -> tuple[dict[str, list[Remark]], list[str]]:
        """What the tools say of a tree and of ``mail``, the patch that made it.

        Also the C files that sparse could not be given. From the store or made now.
        """
        store, events = self.bench.store, self.bench.events
        inputs = (applied.tree, config.sha256, self.bench.toolchain.version,
                  proc.version("sparse"), self.files, mail.decode("latin-1"))  # fmt: skip

        def make(draft: Path) -> None:
            present = sorted(git.tree_files(applied.repo, applied.commit, *self.files))
            code = [f for f in present if f.endswith((".c", ".h")) and not f.startswith("tools/")]
            units = [f for f in code if f.endswith(".c") and not f.startswith(APART)]
            with source_tree(store, self.base, applied, events) as source:
                sparse, unseen = self._sparse(source, config, units)
                kernel_doc = (str(source.path / "scripts/kernel-doc"), "-none", *code)
                doc = proc.run(kernel_doc, cwd=source.path).output.splitlines() if code else []
                kept = {
                    "checkpatch": _checkpatch(source, mail, draft) if mail else [],
                    "sparse": sparse,
                    "kernel-doc": read_remarks(doc, (str(source.path),)),
                }
            tools = {tool: [(r.file, r.line, r.text) for r in said] for tool, said in kept.items()}
            left = json.dumps({"tools": tools, "unseen": unseen})
            (draft / "remarks.json").write_text(left + "\n")

        entry = store.entry("statics", inputs, make, events.note, also=("build",))
        left = json.loads((entry.path / "remarks.json").read_text("utf-8"))
        tools = {tool: [Remark(*r) for r in said] for tool, said in left["tools"].items()}
        return tools, left["unseen"]

    def _sparse(
        self, source: SourceTree, config: KernelConfig, units: Sequence[str]
    ) -> tuple[list[Remark], list[str]]:
        """That a C file does not compile is the build's matter; here the others go on."""
        with build_dir(self.bench, self.base, PURPOSE, source) as out:
            place_config(config.text, out)
            targets = ("C=2", "CHECK=sparse", *(f"{name[:-2]}.o" for name in units))
            with marked(out):
                lines = run_on(self.bench, source, out, self.log, *targets)
            seen = {m[1].removeprefix(f"{source.path}/") for m in map(_LOOKED_AT.match, lines) if m}
            said = read_remarks(lines, (str(source.path), str(out)))
        return said, [name for name in units if name not in seen]


def _checkpatch(source: SourceTree, mail: bytes, scratch: Path) -> list[Remark]:
    path = scratch / "mail"
    path.write_bytes(mail)
    program = str(source.path / "scripts/checkpatch.pl")
    done = proc.run((program, *CHECKPATCH, str(path)), cwd=source.path)
    path.unlink()
    said = read_remarks(done.output.splitlines(), mail=str(path))
    if done.returncode not in (0, 1) or (done.returncode == 1) != bool(said):
        raise proc.failure(done.argv, done.returncode, done.output)
    return said


def records(found: Sequence[PatchRemarks], series: Series, *, own: bool) -> list[ev.CaseFinished]:
    """One record a tool.

    Args:
        own: it is the project's own series, whose justifications must match.
    """
    made = []
    missing = [
        f"patch {number}: not judged: it does not apply or cannot be configured"
        for number in range(len(found) + 1, len(series.patches) + 1)
    ]
    for tool in TOOLS:
        said = [(f"patch {p.number}", remark) for p in found for remark in p.tools[tool]]
        wrong = [f"{label}: {remark}" for label, remark in said if not remark.why] + missing
        kept = [f"{label}: {remark} (kept: {remark.why})" for label, remark in said if remark.why]
        if tool == "sparse":
            kept += [
                f"patch {p.number}: not seen by sparse: {n}" for p in found for n in p.unchecked
            ]
        if own:
            wrong += [str(waiver) for p in found for waiver in p.stale if waiver.tool == tool]
        record = ev.CaseFinished(
            ev.CaseId("static", None, tool),
            "fail" if wrong else "pass",
            wrong[0] if wrong else "",
            0.0,
            (),
            diagnostics=(*wrong, *kept),
            about=f"No remark of {tool} on any patch but those that are justified.",
        )
        made.append(record)
    return made


def table(found: Sequence[PatchRemarks]) -> Table:
    """One row a patch, one column a tool."""
    shown = Table("patch", "subject", *TOOLS, box=None, pad_edge=False, header_style="bold")
    for patch in found:
        cells = []
        for tool in TOOLS:
            new = len(patch.open(tool))
            justified = len(patch.tools[tool]) - new
            word = f"{new} new" if new else "clean"
            cells.append(word + (f", {justified} justified" if justified else ""))
        shown.add_row(str(patch.number), patch.subject, *cells)
    return shown
