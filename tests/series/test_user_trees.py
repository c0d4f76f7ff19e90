# SPDX-License-Identifier: GPL-2.0-only
"""The user's own git trees in all their kinds, with settings of all kinds: no influence."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from harness.core import git
from harness.core.errors import InvocationError
from harness.series.apply import apply_series
from harness.series.patches import Series, load_series
from harness.series.worktree import source_tree
from tests.support.toy import Step, Toy, commit, grow

SETTINGS = {
    "format.coverLetter": "true",
    "format.subjectPrefix": "CHANGED",
    "format.from": "Somebody Else <else@example.org>",
    "format.headers": "X-Added: yes",
    "format.thread": "deep",
    "format.attach": "boundary",
    "format.suffix": ".txt",
    "format.pretty": "oneline",
    "format.notes": "true",
    "format.forceInBodyFrom": "true",
    "diff.orderFile": "order",
    "diff.noprefix": "true",
    "diff.mnemonicPrefix": "true",
    "diff.context": "9",
    "diff.external": "/bin/false",
    "diff.renames": "copies",
    "diff.suppressBlankEmpty": "true",
    "color.ui": "always",
    "core.autocrlf": "true",
    "core.abbrev": "40",
    "core.pager": "/bin/false",
    "commit.gpgSign": "true",
    "gpg.program": "/bin/false",
    "i18n.logOutputEncoding": "ISO-8859-1",
    "log.showSignature": "true",
    "alias.rev-parse": "!false",
    "alias.format-patch": "!false",
}
STEPS: tuple[Step, ...] = (
    ("one: ä", {"mm/swap.c": grow}),
    ("two", {"mm/madvise.c": grow, "mm/new.c": "int n;\n"}),
)


def with_series(tree: Path) -> str:
    """Commits two patches; the range that names them."""
    for subject, edits in STEPS:
        commit(tree, edits, subject)
    return "HEAD~2..HEAD"


def applied_tree(toy: Toy, kernel: Path, spec: str) -> tuple[Series, str]:
    """The series that ``spec`` names in a tree, and the tree that it gives on its base."""
    base = toy.base(kernel=str(kernel), ref="HEAD~2")
    series = load_series(toy.settings(kernel=str(kernel), series=spec), base)
    applied = apply_series(base, series, None, toy.store, toy.events)
    with source_tree(toy.store, base, applied, toy.events) as source:
        assert (source.path / "mm/new.c").read_bytes() == b"int n;\n"
    return series, applied.tree


def test_no_setting_of_a_tree_changes_the_patches_of_a_range(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = with_series(toy.tree)
    plain, plain_tree = applied_tree(toy, toy.tree, spec)
    other = toy.root / "other"
    shutil.copytree(toy.tree, other, symlinks=True)
    (other / "order").write_text("mm/new.c\nmm/madvise.c\n")
    hook = other / ".git" / "hooks" / "post-applypatch"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {toy.root}/hooked\n")
    hook.chmod(0o755)
    for key, value in SETTINGS.items():
        git.text(other, "config", key, value)
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "GIT_OBJECT_DIRECTORY"):
        monkeypatch.setenv(name, str(toy.root / "nowhere"))
    set_so, tree = applied_tree(toy, other, spec)
    assert [patch.text for patch in set_so.patches] == [patch.text for patch in plain.patches]
    assert set_so.letter is None
    assert tree == plain_tree
    assert not (toy.root / "hooked").exists()


@pytest.mark.parametrize(
    "kind",
    ["bare", "blobless", "treeless", "worktree", "odd name", "two\nlines", "sha256", "linux/.git"],
)
def test_a_tree_of_any_kind_gives_the_same_series(toy: Toy, kind: str) -> None:
    with_series(toy.tree)
    kernel = toy.root / kind
    if kind == "bare":
        git.text(None, "clone", "--quiet", "--bare", str(toy.tree), str(kernel))
    elif kind in ("blobless", "treeless"):
        git.text(toy.tree, "config", "uploadpack.allowFilter", "true")
        git.text(toy.tree, "config", "uploadpack.allowAnySHA1InWant", "true")
        what = {"blobless": "blob:none", "treeless": "tree:0"}[kind]
        git.text(None, "clone", "--quiet", "--bare", f"--filter={what}", f"file://{toy.tree}",
                 str(kernel))  # fmt: skip
    elif kind == "worktree":
        git.text(toy.tree, "worktree", "add", "--quiet", "--detach", str(kernel))
    elif kind in ("odd name", "two\nlines"):
        kernel = toy.root / ('a: "b" #c' if kind == "odd name" else kind)
        git.text(None, "clone", "--quiet", str(toy.tree), str(kernel))
    elif kind == "linux/.git":
        assert kernel == toy.tree / ".git"
    else:
        git.text(None, "init", "--quiet", "--object-format=sha256", str(kernel))
        stream = git.raw(toy.tree, "fast-export", "HEAD")
        git.raw(kernel, "fast-import", "--quiet", stdin=stream)
        name = git.text(toy.tree, "symbolic-ref", "HEAD")
        git.text(kernel, "symbolic-ref", "HEAD", name)
        git.text(kernel, "reset", "--quiet", "--hard")
    series, tree = applied_tree(toy, kernel, "HEAD~2..HEAD")
    assert [patch.subject for patch in series.patches] == ["one: ä", "two"]
    assert tree == git.text(kernel, "rev-parse", "HEAD^{tree}")


def test_a_merge_and_an_empty_commit_of_a_range_are_told(toy: Toy) -> None:
    with_series(toy.tree)
    tip = git.text(toy.tree, "rev-parse", "HEAD")
    git.text(toy.tree, "checkout", "--quiet", "-b", "side", "HEAD~2")
    git.text(toy.tree, "commit", "--quiet", "--allow-empty", "-m", "nothing")
    git.text(toy.tree, "merge", "--quiet", "--no-ff", "-m", "both", tip)
    series, _ = applied_tree(toy, toy.tree, "HEAD~2..HEAD")
    assert [said.split(":")[0] for said in series.remarks] == ["2 commits left out"]


def test_a_message_that_quotes_a_mail_of_git_is_one_message(toy: Toy) -> None:
    quoted = f"From {'1' * 40} Mon Sep 17 00:00:00 2001\nFrom: A <a@example.org>\n\nx\n"
    commit(toy.tree, {"mm/swap.c": grow}, f"one: ä\n\nAs said in\n\n{quoted}")
    commit(toy.tree, {"mm/new.c": "int n;\n"}, "two")
    series, tree = applied_tree(toy, toy.tree, "HEAD~2..HEAD")
    assert len(series.patches) == 2
    assert tree == git.text(toy.tree, "rev-parse", "HEAD^{tree}")


def test_a_deepened_clone_has_the_commits_that_it_has_now(toy: Toy) -> None:
    with_series(toy.tree)
    kernel = toy.root / "shallow"
    git.text(None, "clone", "--quiet", "--depth=1", f"file://{toy.tree}", str(kernel))
    base = toy.base(kernel=str(kernel))
    with pytest.raises(InvocationError, match="HEAD~2"):
        load_series(toy.settings(kernel=str(kernel), series="HEAD~2..HEAD"), base)
    git.text(kernel, "fetch", "--quiet", "--unshallow")
    assert len(applied_tree(toy, kernel, "HEAD~2..HEAD")[0].patches) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_the_tree_of_another_owner_does(toy: Toy) -> None:
    with_series(toy.tree)
    for place in (toy.tree, *toy.tree.rglob("*")):
        os.chown(place, 12345, 12345, follow_symlinks=False)
    assert len(applied_tree(toy, toy.tree, "HEAD~2..HEAD")[0].patches) == 2


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("[extensions]\n\tnewThing = true\n[core]\n\trepositoryFormatVersion = 1\n", "newthing"),
        ("[core\n", "bad config"),
    ],
)
def test_a_tree_that_git_refuses_is_refused_with_its_reason(
    toy: Toy, damage: str, reason: str
) -> None:
    with open(toy.tree / ".git" / "config", "a") as file:
        file.write(damage)
    with pytest.raises(InvocationError, match=reason):
        toy.base()


def test_a_tree_without_a_commit_is_refused(toy: Toy) -> None:
    git.text(None, "init", "--quiet", str(toy.root / "new"))
    with pytest.raises(InvocationError, match="has no commit HEAD"):
        toy.base(kernel=str(toy.root / "new"))
