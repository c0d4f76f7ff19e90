# SPDX-License-Identifier: GPL-2.0-only
"""The worktree follows the series and touches nothing that stays."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from harness.core import git
from harness.series import worktree as module
from harness.series.apply import Applied, unpatched
from harness.series.base import Base
from harness.series.worktree import base_twin, checkout, source_tree
from tests.support.toy import Step, Toy, grow, unpack


def times(tree: Path) -> dict[str, int]:
    return {
        str(p.relative_to(tree)): p.lstat().st_mtime_ns for p in tree.rglob("*") if not p.is_dir()
    }


def same_as(tree: Path, applied: Applied) -> bool:
    """Whether the worktree holds exactly the commit, by git's own comparison."""
    index = tree.parent / "test.index"
    env = {"GIT_DIR": str(applied.repo), "GIT_WORK_TREE": str(tree), "GIT_INDEX_FILE": str(index)}
    git.text(tree, "read-tree", applied.commit, env=env)
    told = git.text(tree, "-c", "core.bare=false", "status", "--porcelain", env=env)
    index.unlink()
    staged = [line for line in told.splitlines() if line[1] != " " or line.startswith("??")]
    return not staged


ONE: Step = ("one", {"mm/swap.c": grow})
NEW: Step = (
    "new",
    {"mm/volatile.c": "int one;\n", "deep/er/file": "text\n", "drivers/driver.c": None},
)


def place(toy: Toy, base: Base, applied: Applied) -> Path:
    with source_tree(toy.store, base, applied, toy.events) as source:
        return source.path


def test_only_files_that_differ_are_written(toy: Toy) -> None:
    base, one = toy.apply(toy.series(ONE))
    tree = place(toy, base, one)
    before = times(tree)
    _, both = toy.apply(toy.series(ONE, NEW))
    place(toy, base, both)
    after = times(tree)
    assert same_as(tree, both)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert changed == {"mm/volatile.c", "deep/er/file", "drivers/driver.c"}


def test_back_to_the_base_removes_what_was_added(toy: Toy) -> None:
    base, both = toy.apply(toy.series(ONE, NEW))
    tree = place(toy, base, both)
    _, bare = toy.apply(None)
    place(toy, base, bare)
    assert same_as(tree, bare)
    assert not (tree / "deep").exists()


def test_the_same_series_again_touches_nothing(toy: Toy) -> None:
    base, both = toy.apply(toy.series(ONE, NEW))
    tree = place(toy, base, both)
    before = times(tree)
    place(toy, base, both)
    assert times(tree) == before


def test_a_new_series_with_the_same_content_touches_nothing(toy: Toy) -> None:
    base, first = toy.apply(toy.series(("a wording", {"mm/swap.c": grow})))
    tree = place(toy, base, first)
    before = times(tree)
    _, second = toy.apply(toy.series(("another wording", {"mm/swap.c": grow})))
    place(toy, base, second)
    assert first.commit != second.commit
    assert times(tree) == before


def test_modes_and_links_follow(toy: Toy) -> None:
    scratch = toy.root / "scratch"
    git.text(None, "clone", "--quiet", str(toy.tree), str(scratch))
    (scratch / "mm/swap.c").chmod(0o755)
    (scratch / "drivers/driver.c").unlink()
    (scratch / "drivers/driver.c").symlink_to("../mm/swap.c")
    git.text(scratch, "add", "--all")
    git.text(scratch, "commit", "--quiet", "--message=modes")
    commit = git.text(scratch, "rev-parse", "HEAD")
    base = toy.base()
    tree_id = git.text(scratch, "rev-parse", "HEAD^{tree}")
    applied = Applied(scratch, commit, base.commit, tree_id, (), 0)
    tree = place(toy, base, applied)
    assert os.access(tree / "mm/swap.c", os.X_OK)
    assert (tree / "drivers/driver.c").readlink() == Path("../mm/swap.c")
    _, bare = toy.apply(None)
    place(toy, base, bare)
    assert same_as(tree, bare)
    assert not os.access(tree / "mm/swap.c", os.X_OK)


@pytest.mark.parametrize("after", range(5))
def test_a_kill_in_the_middle_is_repaired(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    base, both = toy.apply(toy.series(ONE, NEW))
    _, other = toy.apply(toy.series(("other", {"mm/madvise.c": grow, "mm/swap.c": "int x;\n"})))
    tree = place(toy, base, both)
    steps = 0

    def dying(real: object) -> object:
        def step(*args: object) -> None:
            nonlocal steps
            if steps == after:
                raise KeyboardInterrupt
            steps += 1
            real(*args)  # type: ignore[operator]

        return step

    with monkeypatch.context() as patch:
        for name in ("_put", "_remove", "_write_state"):
            patch.setattr(module, name, dying(getattr(module, name)))
        with pytest.raises(KeyboardInterrupt):
            place(toy, base, other)
    _, bare = toy.apply(None)
    for wanted in (bare, other, both):
        place(toy, base, wanted)
        assert same_as(tree, wanted)


def test_the_plain_copy_is_taken_over_and_later_made_anew(toy: Toy) -> None:
    plain = unpack(toy.root / "plain")
    base = toy.base(kernel=str(plain))
    bare = unpatched(base)
    seed = base.repo.parent / "seed"
    assert seed.is_dir()
    with source_tree(toy.store, base, bare, toy.events) as first:
        assert not seed.exists()
    toy.store._remove_unused(toy.store.root / "work" / "source" / base.key)
    with source_tree(toy.store, base, bare, toy.events) as second:
        assert same_as(second.path, bare)
    assert first.id != second.id


def test_a_copy_that_was_cut_short_is_made_again(toy: Toy) -> None:
    base, bare = toy.apply(None)
    shop = toy.store.root / "work" / "source" / base.key
    (shop / ".draft-tree" / "mm").mkdir(parents=True)
    (shop / "state.json").write_text(json.dumps({"id": "x", "paths": []}))
    tree = checkout(base, bare, shop, toy.events).path
    assert same_as(tree, bare)


def test_the_twin_holds_the_base_and_shares_no_edits(toy: Toy) -> None:
    base, both = toy.apply(toy.series(ONE, NEW))
    _, bare = toy.apply(None)
    with (
        source_tree(toy.store, base, both, toy.events) as main,
        base_twin(toy.store, base, main, toy.events) as twin,
    ):
        assert same_as(twin.path, bare)
        assert same_as(main.path, both)
    _, other = toy.apply(toy.series(("other", {"init/main.c": grow})))
    with source_tree(toy.store, base, other, toy.events) as main:
        assert same_as(twin.path, bare)
        assert same_as(main.path, other)
