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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from rich.table import Table

from harness.build.flavours import load_flavour
from harness.build.folder import marked
from harness.build.kconfig import KernelConfig, configure
from harness.build.make import APART, Warned, new_warnings, run_on
from harness.build.tree import TreeUnderTest
from harness.change.whose_series import take
from harness.core import events as ev
from harness.core import git, proc
from harness.core.errors import SeriesError
from harness.core.jsondata import read_yaml, write_json
from harness.core.sandbox import Inside
from harness.core.settings import Settings
from harness.core.stages import stage
from harness.core.tables import plain_table
from harness.run.pipeline import base_stage, workbench
from harness.run.session import RunResult, Session, run_session
from harness.series.apply import apply_series, unpatched
from harness.series.on_top import stand_on
from harness.series.patches import Series, load_series
from harness.series.worktree import SourceTree
from harness.setup.on_demand import provide

TOOLS = ("checkpatch", "sparse", "kernel-doc")
JUSTIFIED = "justified.yaml"  # remarks that a series keeps on purpose, each with the reason
HELP = "see docs/statics.md"
LEFT = "statics.json"  # what a run leaves beside its results.json
PURPOSE = "statics"  # the build folder's
OpenRemarks = dict[int, dict[str, tuple[str, ...]]]  # patch, from 1 -> tool that ran -> remarks
CHECKPATCH = ("--strict", "--terse", "--showfile", "--show-types", "--no-summary",
              "--color=never")  # fmt: skip
_LOOKED_AT = re.compile(r"^  CHECK +(\S+)$")  # make C=2 names what it hands to sparse
# checkpatch --terse --showfile --show-types names a type, and not always a place.
_REMARK = re.compile(
    r"^(?:(?P<file>[^\s:]*):(?:(?P<line>\d+):(?:\d+:)?)?)?\s*"
    r"(?P<text>(?:(?P<checkpatch>(?:ERROR|WARNING|CHECK):[A-Z0-9_]+)|warning|error|info):.*)$"
)
_GCC = re.compile(r"\[-W[\w=+-]+\]$")  # the compiler's own, which the build judges


class Remark(Warned):
    """What a tool says of a line; ``file`` is '' where it is of the patch's own text."""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: " if self.file and self.line else ""
        return f"{place}{self.text}"


@dataclass(frozen=True)
class Waiver:
    """One entry of ``justified.yaml``: ``patch`` from 1, ``pattern`` searched in the remark.

    ``kernels``: the lines on which it holds; none: on all.
    """

    tool: Literal["checkpatch", "sparse", "kernel-doc"]
    patch: int
    pattern: str
    why: str
    kernels: tuple[str, ...] = ()

    def fits(self, remark: Remark) -> bool:
        """Whether it justifies a remark of its tool on its patch."""
        return bool(re.search(self.pattern, str(remark)))


@dataclass(frozen=True)
class PatchRemarks:
    """What the tools say of one patch, ``number`` from 1.

    ``unchecked``: C files that the patch touches and sparse has not seen; ``waivers``: the
    entries of ``justified.yaml``, for any patch.
    """

    number: int
    subject: str
    tools: dict[str, tuple[Remark, ...]]
    waivers: tuple[Waiver, ...] = ()
    unchecked: tuple[str, ...] = ()

    def _own(self, tool: str) -> list[Waiver]:
        return [w for w in self.waivers if (w.patch, w.tool) == (self.number, tool)]

    def why(self, tool: str, remark: Remark) -> str:
        """The reason to keep a remark, '' where there is none."""
        return next((w.why for w in self._own(tool) if w.fits(remark)), "")

    def open(self, tool: str) -> list[Remark]:
        """The remarks of a tool that nothing justifies."""
        return [remark for remark in self.tools[tool] if not self.why(tool, remark)]

    def stale(self, tool: str) -> list[Waiver]:
        """The entries for a tool that match nothing."""
        return [w for w in self._own(tool) if not any(map(w.fits, self.tools[tool]))]


def read_remarks(lines: Iterable[str], folders: Sequence[str] = (), mail: str = "") -> list[Remark]:
    """The remarks of checkpatch, sparse or kernel-doc, each once.

    Args:
        folders: are cut off the paths.
        mail: the file that checkpatch was given.
    """
    found: dict[Remark, None] = {}
    for match in filter(None, map(_REMARK.match, lines)):
        if _GCC.search(match[0]) or not (match["line"] or match["checkpatch"]):
            continue
        path, line = match["file"] or "", int(match["line"] or 0)
        if path == mail:
            path, line = "", 0
        for folder in folders:
            path = path.removeprefix(f"{folder}/")
        found[Remark(path.removeprefix("./"), line, match["text"])] = None
    return list(found)


def load_waivers(folder: Path, line: str) -> tuple[Waiver, ...]:
    """What ``folder/justified.yaml`` has for a kernel line; InvocationError for a wrong entry."""
    path = folder / JUSTIFIED
    known = read_yaml(tuple[Waiver, ...] | None, path, HELP) if path.is_file() else ()  # type: ignore[arg-type]
    return tuple(waiver for waiver in known or () if line in (waiver.kernels or (line,)))


def open_remarks(out: Path) -> OpenRemarks:
    """What nothing justifies, as a run in ``out`` left it; nothing where it left nothing."""
    path = out / LEFT
    left = json.loads(path.read_text())["patches"] if path.is_file() else []
    return {p["number"]: {t: tuple(said["open"]) for t, said in p["tools"].items()} for p in left}


def static_checks(settings: Settings) -> RunResult:
    """Runs the tools on every patch of the series."""
    return run_session(settings, "static-checks", _body)


def _body(session: Session) -> None:
    settings, events = session.settings, session.events
    provide("sparse", session.out / "setup.log", events)
    base = base_stage(session)
    with stage(events, "series") as outcome:
        series = load_series(settings, base)
        base = stand_on(settings, take(settings, series).data, base, session.store, events)
        for remark in series.remarks:
            events.note(remark)
        series = replace(series, patches=series.patches[: settings.patches])
        outcome.detail = f"{len(series.patches)} patches from {series.source}"
        infos = tuple(ev.PatchInfo(p.subject, p.patch_id) for p in series.patches)
        events.emit(ev.SeriesKnown(series.source, infos, len(series.patches)))
    start = time.monotonic()
    with stage(events, "statics") as outcome:
        log, folder = session.out / "build.log", session.data.folder
        bare = TreeUnderTest(workbench(session), base, unpatched(base), log)
        found = static_remarks(bare, series, folder, settings.config)
        count = sum(len(said) for patch in found for said in patch.tools.values())
        outcome.detail = f"{len(found)} patches, {count} remarks"
    patches = []
    for patch in found:
        tools = {}
        for tool, said in patch.tools.items():
            new = [str(remark) for remark in patch.open(tool)]
            tools[tool] = {"open": new, "justified": len(said) - len(new)}
        patches.append({"number": patch.number, "subject": patch.subject, "tools": tools})
    write_json(session.out / LEFT, {"patches": patches})
    for record in records(found, series, own=not settings.series):
        events.emit(record)
    events.emit(ev.Note(f"the tools took {time.monotonic() - start:.0f} s"))
    session.console.print()
    session.console.print(table(found))


def static_remarks(
    bare: TreeUnderTest, series: Series, folder: Path, flavour: str = "default"
) -> list[PatchRemarks]:
    """What checkpatch, sparse and kernel-doc say of each patch of a series.

    A patch that does not apply ends it, and so does one that breaks the configuration:
    the patches before it are in the result.

    Args:
        folder: of the series' data, where ``justified.yaml`` may lie.
        flavour: of the configuration that sparse sees the code with.
    """
    base, tools, waivers = bare.base, bare.tools, load_waivers(folder, bare.base.line)
    files = sorted({f for patch in series.patches for f in patch.files})
    found: list[PatchRemarks] = []
    before: dict[str, list[Remark]] = {}
    for count in range(len(series.patches) + 1):
        try:
            applied = apply_series(base, series, count, tools.store, tools.events)
            tree = replace(bare, applied=applied)
            config = configure(tree, load_flavour(flavour))
        except SeriesError:
            break  # which the build says, with its reasons
        mail = series.patches[count - 1].text if count else b""
        here, unseen = _tree_remarks(tree, config, files, mail)
        if count:
            patch = series.patches[count - 1]
            new = {tool: tuple(new_warnings(here[tool], before[tool])) for tool in here}
            new["checkpatch"] = tuple(here["checkpatch"])  # is of the patch already
            unchecked = tuple(name for name in unseen if name in patch.files)
            found.append(PatchRemarks(count, patch.subject, new, waivers, unchecked))
        before = here
    return found


def _tree_remarks(
    tree: TreeUnderTest, config: KernelConfig, files: Sequence[str], mail: bytes
) -> tuple[dict[str, list[Remark]], list[str]]:
    """What the tools say of ``files``, as far as a tree has them, and of the patch that made it.

    Also the C files that sparse could not be given. From the store or made now.
    """
    tools, applied = tree.tools, tree.applied
    inputs = (applied.tree, config.sha256, tools.toolchain.version, proc.version("sparse"), files,
              mail.decode("latin-1"))  # fmt: skip

    def make(draft: Path) -> None:
        present = sorted(git.tree_files(applied.repo, applied.commit, *files))
        code = [f for f in present if f.endswith((".c", ".h")) and not f.startswith("tools/")]
        units = [f for f in code if f.endswith(".c") and not f.startswith(APART)]
        with tree.folder(PURPOSE, config.text) as (source, out):
            sparse, unseen = _sparse(tree, source, out, units)
            kernel_doc = (str(source.path / "scripts/kernel-doc"), "-none", *code)
            box = Inside(reads=(source.path,))
            doc = proc.run(kernel_doc, cwd=source.path, inside=box).output if code else ""
            kept = {
                "checkpatch": _checkpatch(source, mail, draft) if mail else [],
                "sparse": sparse,
                "kernel-doc": read_remarks(doc.splitlines(), (str(source.path),)),
            }
        (draft / "remarks.json").write_text(json.dumps({"tools": kept, "unseen": unseen}) + "\n")

    entry = tools.store.entry("statics", inputs, make, tools.events.note, also=("build",))
    left = json.loads((entry.path / "remarks.json").read_text("utf-8"))
    said = {tool: [Remark(*r) for r in remarks] for tool, remarks in left["tools"].items()}
    return said, left["unseen"]


def _sparse(
    tree: TreeUnderTest, source: SourceTree, out: Path, units: Sequence[str]
) -> tuple[list[Remark], list[str]]:
    """That a C file does not compile is the build's matter; here the others go on."""
    targets = ("C=2", "CHECK=sparse", *(f"{name[:-2]}.o" for name in units))
    with marked(out):
        lines = run_on(tree, source, out, *targets)
    seen = {m[1].removeprefix(f"{source.path}/") for m in map(_LOOKED_AT.match, lines) if m}
    said = read_remarks(lines, (str(source.path), str(out)))
    return said, [name for name in units if name not in seen]


def _checkpatch(source: SourceTree, mail: bytes, scratch: Path) -> list[Remark]:
    path = scratch / "mail"
    path.write_bytes(mail)
    program = str(source.path / "scripts/checkpatch.pl")
    box = Inside(reads=(source.path, path))
    done = proc.run((program, *CHECKPATCH, str(path)), cwd=source.path, inside=box)
    path.unlink()
    said = read_remarks(done.output.splitlines(), mail=str(path))
    if done.returncode not in (0, 1) or (done.returncode == 1) != bool(said):
        raise proc.failure(done.argv, done.returncode, done.output)
    return said


def records(found: Sequence[PatchRemarks], series: Series, *, own: bool) -> list[ev.CaseFinished]:
    """One record a tool; in the project's ``own`` series every justification must match."""
    made = []
    why_not = "not judged: it does not apply or cannot be configured"
    unjudged = range(len(found) + 1, len(series.patches) + 1)
    missing = [f"patch {number}: {why_not}" for number in unjudged]
    for tool in TOOLS:
        said = [(f"patch {p.number}: {r}", p.why(tool, r)) for p in found for r in p.tools[tool]]
        wrong = [text for text, why in said if not why] + missing
        kept = [f"{text} (kept: {why})" for text, why in said if why]
        if tool == "sparse":
            unseen = [(p.number, name) for p in found for name in p.unchecked]
            kept += [f"patch {number}: not seen by sparse: {name}" for number, name in unseen]
        stale = [w for p in found if own for w in p.stale(tool)]
        label = f"{JUSTIFIED}: {tool}, patch"
        wrong += [f"{label} {w.patch}: {w.pattern!r} matches no remark" for w in stale]
        about = f"No remark of {tool} on any patch but those that are justified."
        made.append(ev.judged(ev.CaseId("static", None, tool), wrong, kept, about=about))
    return made


def table(found: Sequence[PatchRemarks]) -> Table:
    """One row a patch, one column a tool."""
    shown = plain_table("patch", "subject", *TOOLS)
    for patch in found:
        cells = []
        for tool in TOOLS:
            new = len(patch.open(tool))
            justified = len(patch.tools[tool]) - new
            word = f"{new} new" if new else "clean"
            cells.append(word + (f", {justified} justified" if justified else ""))
        shown.add_row(str(patch.number), patch.subject, *cells)
    return shown
