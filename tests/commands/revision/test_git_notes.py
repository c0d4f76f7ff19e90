# SPDX-License-Identifier: GPL-2.0-only
"""Verdicts as git notes: only when asked, and then exactly one a commit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from harness.commands.revision.command import revision
from harness.core import git
from harness.core.errors import InvocationError
from harness.core.settings import Settings
from tests.commands.revision.test_verdict_of_flaky_cases import document, look, runner
from tests.support.toy import Toy, commit, grow


def refs(toy: Toy) -> str:
    return git.text(toy.tree, "for-each-ref")


def asked(toy: Toy, tmp_path: Path) -> Settings:
    git.text(toy.tree, "branch", "start")
    for name in ("mm/swap.c", "mm/madvise.c"):
        commit(toy.tree, {name: grow}, f"grow {name}")
    git.text(toy.tree, "branch", "-m", "topic")
    return toy.settings(series="topic", ref="start", out=tmp_path / "out", notes=True)


def judged(settings: Settings, *states: str) -> None:
    documents = [document(state) for state in states]
    revision(settings, runner(documents, []), look, look, Console(quiet=True))


def test_git_log_shows_the_verdicts(toy: Toy, tmp_path: Path) -> None:
    settings = asked(toy, tmp_path)
    before = refs(toy)
    judged(replace(settings, notes=False), "pass", "fail", "pass")
    assert refs(toy) == before
    judged(replace(settings, out=tmp_path / "again"), "pass", "fail", "pass")
    log = ("log", "--notes=kernel-test", "--format=%s|%N", "start..topic")
    shown = git.text(toy.tree, *log)
    assert "grow mm/madvise.c|pass on Linux 6.1" in shown
    assert "grow mm/swap.c|fail on Linux 6.1" in shown and "broken: t/p.c::a" in shown
    # A later verdict takes the place of the older one.
    judged(replace(settings, out=tmp_path / "later"), "pass", "pass", "pass")
    assert "fail" not in git.text(toy.tree, *log)
    changed = set(refs(toy).splitlines()) - set(before.splitlines())
    assert [line.split()[-1] for line in changed] == ["refs/notes/kernel-test"]


def test_notes_need_commits_to_be_on(toy: Toy, tmp_path: Path) -> None:
    folder = toy.series(("one", {"mm/swap.c": grow}))
    settings = toy.settings(series=str(folder), notes=True, out=tmp_path / "out")
    with pytest.raises(InvocationError, match="NOTES=1 adds notes to commits"):
        judged(settings, "pass", "pass")
