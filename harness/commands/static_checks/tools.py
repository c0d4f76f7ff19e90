# SPDX-License-Identifier: GPL-2.0-only
"""Static checks, patch by patch: checkpatch, sparse and kernel-doc, all of the tree itself.

sparse and kernel-doc look at whole files, so each patch is answerable for what they say
of the tree after it and did not say of the tree before. The files are those that any
patch of the series touches: a header's mistakes show in the C files that include it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.build.kconfig import KernelConfig, configure, load_flavour
from harness.build.make import build_dir, marked, place_config, run_on
from harness.build.make_log import Warned, from_json
from harness.build.toolchain import BuildTools
from harness.commands.static_checks.remarks import (
    PatchRemarks,
    Remark,
    Statics,
    fresh,
    justify,
    load_excuses,
    looked_at,
    read_checkpatch,
    read_others,
)
from harness.core import git, proc
from harness.core.errors import SeriesError
from harness.series.apply import Applied, apply_series
from harness.series.base import Base
from harness.series.patches import Series
from harness.series.worktree import SourceTree, source_tree

PURPOSE = "statics"  # the build folder's
# User-space programs that have makefiles and headers of their own.
APART = ("tools/", "scripts/", "samples/", "Documentation/")
CHECKPATCH = ("--strict", "--terse", "--showfile", "--show-types", "--no-summary",
              "--color=never")  # fmt: skip


@dataclass(frozen=True)
class TreeRemarks:
    """What the tools say of one tree, and of the patch that made it from the one before."""

    sparse: tuple[Warned, ...] | None
    kernel_doc: tuple[Warned, ...]
    checkpatch: tuple[Warned, ...]
    unchecked: tuple[str, ...]


def static_remarks(
    bench: BuildTools, base: Base, series: Series, folder: Path, log: Path, flavour: str = "default"
) -> Statics:
    """What checkpatch, sparse and kernel-doc say of each patch of a series.

    A patch that does not apply ends it, and so does one that breaks the configuration:
    the patches before it are in the result. Where sparse is not installed its remarks
    are missing, not empty.

    Args:
        folder: of the series' data, where ``justified.yaml`` may lie.
        log: gets what make says.
        flavour: of the configuration that sparse sees the code with.
    """
    files = tuple(sorted({f for patch in series.patches for f in patch.files}))
    found: list[PatchRemarks] = []
    before: TreeRemarks | None = None
    for count in range(len(series.patches) + 1):
        try:
            applied = apply_series(base, series, count, bench.store, bench.events)
            config = configure(bench, base, applied, load_flavour(flavour), log)
        except SeriesError:
            break  # which the build says, with its reasons
        mail = series.patches[count - 1].text if count else b""
        state = _state(bench, base, applied, config, files, mail, log)
        if before is not None:
            found.append(_compare(count, series, before, state))
        before = state
    return justify(found, load_excuses(folder, base.line))


def _compare(number: int, series: Series, before: TreeRemarks, state: TreeRemarks) -> PatchRemarks:
    patch = series.patches[number - 1]
    tools = {
        "checkpatch": tuple(Remark(w.file, w.line, w.text) for w in state.checkpatch),
        "kernel-doc": fresh(state.kernel_doc, before.kernel_doc),
    }
    if state.sparse is not None and before.sparse is not None:
        tools["sparse"] = fresh(state.sparse, before.sparse)
    unchecked = tuple(name for name in state.unchecked if name in patch.files)
    return PatchRemarks(number, patch.subject, tools, unchecked)


def _state(
    bench: BuildTools,
    base: Base,
    applied: Applied,
    config: KernelConfig,
    files: Sequence[str],
    mail: bytes,
    log: Path,
) -> TreeRemarks:
    """The remarks on one tree, from the store or made now."""
    version = _sparse_version()
    inputs = (applied.tree, config.sha256, bench.toolchain.version, version, list(files),
              mail.decode("latin-1"))  # fmt: skip

    def make(draft: Path) -> None:
        present = sorted(git.tree_files(applied.repo, applied.commit, *files))
        code = [f for f in present if f.endswith((".c", ".h")) and not f.startswith("tools/")]
        units = [f for f in code if f.endswith(".c") and not f.startswith(APART)]
        with source_tree(bench.store, base, applied, bench.events) as source:
            said, unchecked = None, units
            if version:
                said, unchecked = _sparse(bench, base, source, config, units, log)
            kept = {
                "sparse": [] if said is None else said,
                "kernel-doc": _kernel_doc(source, code),
                "checkpatch": _checkpatch(source, mail, draft),
            }
        about = {"remarks": kept, "unchecked": unchecked, "sparse": said is not None}
        (draft / "remarks.json").write_text(json.dumps(about) + "\n", "utf-8")

    entry = bench.store.entry("statics", inputs, make, bench.events.note, also=("build",))
    about = json.loads((entry.path / "remarks.json").read_text("utf-8"))
    kept = {tool: tuple(said) for tool, said in from_json(about["remarks"]).items()}
    return TreeRemarks(
        kept["sparse"] if about["sparse"] else None,
        kept["kernel-doc"],
        kept["checkpatch"],
        tuple(about["unchecked"]),
    )


def _sparse_version() -> str:
    """'' where sparse is not installed."""
    if shutil.which("sparse") is None:
        return ""
    return proc.capture(("sparse", "--version")).decode("utf-8", "replace").strip()


def _sparse(
    bench: BuildTools,
    base: Base,
    source: SourceTree,
    config: KernelConfig,
    units: Sequence[str],
    log: Path,
) -> tuple[list[Warned], list[str]]:
    """sparse's remarks on C files, and the files that it could not be given.

    That one does not compile is the build's matter; here the others go on.
    """
    with build_dir(bench, base, PURPOSE, source) as out:
        place_config(config.text, out)
        objects = [f"{name.removesuffix('.c')}.o" for name in units]
        with marked(out):
            lines = run_on(bench, source, out, log, "C=2", "CHECK=sparse", *objects)
        seen = looked_at(lines, str(source.path))
        said = read_others(lines, (str(source.path), str(out)))
    return said, [name for name in units if name not in seen]


def _kernel_doc(source: SourceTree, files: Sequence[str]) -> list[Warned]:
    if not files:
        return []
    program = str(source.path / "scripts/kernel-doc")
    done = proc.run((program, "-none", *files), cwd=source.path)
    return read_others(done.output.splitlines(), (str(source.path),))


def _checkpatch(source: SourceTree, mail: bytes, scratch: Path) -> list[Warned]:
    """checkpatch's remarks on a mail with a patch; none for none."""
    if not mail:
        return []
    path = scratch / "mail"
    path.write_bytes(mail)
    program = str(source.path / "scripts/checkpatch.pl")
    done = proc.run((program, *CHECKPATCH, str(path)), cwd=source.path)
    path.unlink()
    said = read_checkpatch(done.output.splitlines(), str(path))
    if done.returncode not in (0, 1) or (done.returncode == 1) != bool(said):
        raise proc.failure(done.argv, done.returncode, done.output)
    return said
