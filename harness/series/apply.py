# SPDX-License-Identifier: GPL-2.0-only
"""Applies the series: ``git am --3way``, one commit a patch, in 0.7 s for four.

The index names all files of the tree, the worktree holds only those that the
patches touch (a sparse checkout), and the new objects go to a small repository
that reads the base's. Nothing else is touched, so a failure leaves nothing.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from harness.core import git, proc
from harness.core.errors import InvocationError, SeriesError
from harness.core.events import Events, PatchInfo, StageProgress
from harness.core.store import Store
from harness.series.base import Base
from harness.series.patches import Patch, Series
from harness.series.rejects import explain

STAGE = "series"
GIT = ("git", "-c", "core.bare=false", "-c", "core.sparseCheckout=true")
AM = ("am", "--3way", "--keep-cr", "--committer-date-is-author-date")


@dataclass(frozen=True)
class Applied:
    """The patched tree: ``repo`` has ``commit``; ``total`` counts the whole series."""

    repo: Path
    commit: str
    tree: str
    patches: tuple[PatchInfo, ...]
    total: int
    cached: bool = False


def unpatched(base: Base, total: int = 0) -> Applied:
    """The bare base, as what none of ``total`` patches was applied to."""
    return Applied(base.repo, base.commit, base.tree, (), total, cached=True)


def apply_series(
    base: Base, series: Series, count: int | None, store: Store, events: Events
) -> Applied:
    """The base with the first ``count`` patches of the series (None: all).

    Raises:
        SeriesError: a patch does not apply; says which, where, and what is there instead.
        InvocationError: the series has fewer patches than that.
    """
    total = len(series.patches)
    if count is not None and count > total:
        raise InvocationError(
            f"PATCHES={count}: the series has only {total} patches",
            next_step=f"PATCHES= takes 0 to {total}; leave it out for the whole series",
        )
    chosen = series.patches[:count]
    if not chosen:
        return unpatched(base, total)

    def make(draft: Path) -> None:
        about = _apply(base, chosen, draft, events)
        (draft / "applied.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")

    texts = [patch.text.decode("latin-1") for patch in chosen]
    entry = store.entry("applied", [base.key, texts], make, events.note)
    about = json.loads((entry.path / "applied.json").read_text(encoding="utf-8"))
    infos = tuple(PatchInfo(patch.subject, patch.patch_id) for patch in chosen)
    repo = entry.path / "repo.git"
    return Applied(repo, about["commit"], about["tree"], infos, total, entry.cached)


def _apply(base: Base, patches: tuple[Patch, ...], draft: Path, events: Events) -> dict[str, str]:
    repo, worktree = draft / "repo.git", draft / "worktree"
    # Relative, so that the store can be moved as a whole.
    git.init(repo, Path("../../../../base") / base.key / "repo.git" / "objects")
    if (base.repo / "shallow").is_file():
        shutil.copy(base.repo / "shallow", repo / "shallow")
    worktree.mkdir()
    env = git.environment({"GIT_DIR": str(repo), "GIT_WORK_TREE": str(worktree)})
    touched = sorted({name for patch in patches for name in patch.files})
    sparse = repo / "info" / "sparse-checkout"
    sparse.parent.mkdir(exist_ok=True)
    sparse.write_text("".join(f"/{_literal(name)}\n" for name in touched), encoding="utf-8")
    git.text(repo, "symbolic-ref", "HEAD", "refs/heads/series")
    git.text(repo, "update-ref", "HEAD", base.commit)
    proc.capture((*GIT, "read-tree", "-m", "-u", "HEAD"), cwd=worktree, env=env)
    mails = []
    for number, patch in enumerate(patches, 1):
        mails.append(draft / f"{number:04d}.mail")
        mails[-1].write_bytes(patch.text)
    begun = 0

    def on_line(line: str) -> None:
        nonlocal begun
        if line.startswith("Applying: "):
            note = patches[begun].subject if begun < len(patches) else ""
            events.emit(StageProgress(STAGE, begun, len(patches), "patches", note))
            begun += 1
        elif line == "No changes -- Patch already applied.":
            raise SeriesError(
                f"{_named(patches, begun)} changes nothing: what it does is in the tree already",
                next_step="take it out of the series, or choose the base that it was written for",
            )

    done = proc.run((*GIT, *AM, *map(str, mails)), cwd=worktree, env=env, on_line=on_line)
    if done.returncode != 0:
        proc.check_disk(done.argv, done.output)
        state = repo / "rebase-apply" / "next"
        number = int(state.read_text()) if state.is_file() else 1
        before = git.text(repo, "rev-parse", "HEAD")
        reason = explain(repo, before, patches[number - 1], done.output)
        raise SeriesError(
            f"{_named(patches, number)} does not apply\n{reason}",
            next_step=f"write the patch anew for Linux {base.version}; "
            f"PATCHES={number - 1} tests what comes before it",
        )
    shutil.rmtree(worktree)
    for path in (repo / "index", *mails):
        path.unlink()
    return {
        "commit": git.text(repo, "rev-parse", "refs/heads/series"),
        "tree": git.text(repo, "rev-parse", "refs/heads/series^{tree}"),
    }


def _named(patches: tuple[Patch, ...], number: int) -> str:
    return f"patch {number} of {len(patches)} ({patches[number - 1].subject})"


def _literal(path: str) -> str:
    """A path as a pattern that matches only itself."""
    return "".join(f"\\{c}" if c in "*?[\\" else c for c in path)
