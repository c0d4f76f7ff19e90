# SPDX-License-Identifier: GPL-2.0-only
"""Random series with links, submodules, modes and files that become folders.

The worktree is then what ``git checkout`` makes, byte for byte, and nothing
outside of it has changed. ``FUZZ_SEQUENCES=2000`` runs as many; the default keeps the gate short.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from pathlib import Path

from harness.core import git
from harness.core.events import Events
from harness.series.apply import Applied, unpatched
from harness.series.base import Base
from harness.series.worktree import checkout

SEQUENCES = int(os.environ.get("FUZZ_SEQUENCES", "60"))
TREES = 20 + SEQUENCES // 2
NAMES = ("a", "b", "A", "dir", "Dir", "ä ö", "-x", "c\td")
FILE, PROGRAM, LINK, SUBMODULE = "100644", "100755", "120000", "160000"
Files = dict[str, tuple[str, bytes]]


def random_tree(rng: random.Random, outside: Path) -> Files:
    """Paths of one to four names; no file is also a folder."""
    files: Files = {"Makefile": (FILE, b"VERSION = 6\nPATCHLEVEL = 1\n")}
    targets = ("a", "b", "../b", "dir", "../..", "../outside", "../../outside/kept", str(outside),
               f"{outside}/kept", ".", "nowhere", "a/b", "Makefile")  # fmt: skip
    for _ in range(rng.randint(3, 14)):
        parts = [rng.choice(NAMES) for _ in range(rng.randint(1, 4))]
        path = "/".join(parts)
        above = {"/".join(parts[:count]) for count in range(1, len(parts))}
        if above & files.keys() or any(name.startswith(f"{path}/") for name in files):
            continue
        mode = rng.choice((FILE, FILE, PROGRAM, LINK, LINK, SUBMODULE))
        content = rng.choice(targets).encode() if mode == LINK else rng.choice((b"", b"x\n", b"y"))
        files[path] = (mode, content)
    return files


def commit(repo: Path, files: Files, parent: str | None) -> str:
    """A commit of ``files``, made without a worktree."""
    index = {"GIT_INDEX_FILE": str(repo / "made.index")}
    (repo / "made.index").unlink(missing_ok=True)
    lines = []
    for path, (mode, content) in files.items():
        blob = parent or "1" * 40
        if mode != SUBMODULE:
            blob = git.text(repo, "hash-object", "-w", "--stdin", stdin=content)
        lines.append(f"{mode} {blob}\t{path}\0")
    git.text(repo, "update-index", "-z", "--index-info", stdin="".join(lines).encode(), env=index)
    tree = git.text(repo, "write-tree", "--missing-ok", env=index)
    above = () if parent is None else ("-p", parent)
    return git.text(repo, "commit-tree", tree, *above, stdin=b"a tree\n")


def seen(root: Path) -> dict[str, tuple[str, bytes]]:
    """Everything below ``root``, folders included: kind and content."""
    found: dict[str, tuple[str, bytes]] = {}
    for place in sorted(root.rglob("*")):
        name = str(place.relative_to(root))
        if place.is_symlink():
            found[name] = (LINK, os.fsencode(place.readlink()))
        elif place.is_dir():
            found[name] = ("folder", b"")
        else:
            found[name] = (PROGRAM if os.access(place, os.X_OK) else FILE, place.read_bytes())
    return found


@dataclass(frozen=True)
class Reference:
    """A worktree that git itself moves."""

    repo: Path
    tree: Path

    def checkout(self, commit_id: str) -> dict[str, tuple[str, bytes]]:
        env = {"GIT_DIR": str(self.repo), "GIT_WORK_TREE": str(self.tree),
               "GIT_INDEX_FILE": str(self.repo / "reference.index")}  # fmt: skip
        git.text(
            self.tree, "-c", "core.bare=false", "read-tree", "--reset", "-u", commit_id, env=env
        )
        return seen(self.tree)


def test_any_two_series_leave_the_tree_that_git_makes(tmp_path: Path) -> None:
    rng = random.Random(SEQUENCES)
    outside = tmp_path / "outside"
    (outside / "kept" / "dir").mkdir(parents=True)
    for name in ("a", "b", "kept/a", "kept/dir/b"):
        (outside / name).write_text(name)
    before = seen(outside)
    repo, work, reference = tmp_path / "repo.git", tmp_path / "work", tmp_path / "reference"
    git.init(repo)
    reference.mkdir()
    work.mkdir()
    first = commit(repo, random_tree(rng, outside), None)
    others = [commit(repo, random_tree(rng, outside), first) for _ in range(TREES)]
    base = Base("fuzz", "6.1.0", repo, first, f"{first}^{{tree}}", "fuzz", "fuzz")
    plain = unpatched(base)
    git_side = Reference(repo, reference)
    wanted = {one: git_side.checkout(one) for one in (first, *others)}
    for number in range(SEQUENCES):
        pair = rng.sample(others, 2)
        steps = [Applied(repo, one, first, f"{one}^{{tree}}", (), 1) for one in pair]
        again = rng.choice((plain, steps[0], steps[1]))
        for applied in (*steps, again, plain):
            tree = checkout(base, applied, work, Events()).path
            assert seen(tree) == wanted[applied.commit], f"sequence {number}: {applied.commit}"
    assert seen(outside) == before
