# SPDX-License-Identifier: GPL-2.0-only
"""Which base a revision is judged on, and why; how its patches are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.commands.revision.inputs import read_inputs
from harness.core import git
from harness.core.errors import InvocationError
from harness.series.patches import load_series
from tests.support.toy import Toy, commit, grow


def head(toy: Toy) -> str:
    return git.text(toy.tree, "rev-parse", "HEAD")


def with_trailer(folder: Path, name: str) -> Path:
    """The series with ``base-commit:`` as format-patch --base writes it."""
    last = sorted(folder.glob("*.patch"))[-1]
    last.write_text(f"{last.read_text()}\nbase-commit: {name}\n")
    return folder


def test_the_base_that_the_series_names_comes_before_that_of_kernel(toy: Toy) -> None:
    start = head(toy)
    folder = with_trailer(toy.series(("one", {"mm/swap.c": grow})), start)
    commit(toy.tree, {"mm/other.c": "int other;\n"}, "later")
    found = read_inputs(toy.settings(series=str(folder)))
    assert found.ref == start and start[:12] in found.base
    assert found.why == f"base-commit: {start[:12]} of the series"
    # The user's own word comes first.
    found = read_inputs(toy.settings(series=str(folder), ref="HEAD"))
    assert found.ref == head(toy)
    assert found.why.startswith("REF=HEAD says so, whatever the series' base-commit")


def test_where_no_base_commit_helps_the_report_says_why(toy: Toy, tmp_path: Path) -> None:
    plain = toy.series(("one", {"mm/swap.c": grow}), name="plain")
    assert "names no base-commit" in read_inputs(toy.settings(series=str(plain))).why
    strange = with_trailer(toy.series(("one", {"mm/swap.c": grow}), name="strange"), "1" * 40)
    found = read_inputs(toy.settings(series=str(strange)))
    assert found.ref == head(toy) and "does not have base-commit: 111111111111" in found.why
    packed = tmp_path / "unpacked"
    git.text(toy.tree, "worktree", "add", "--quiet", str(packed))
    (packed / ".git").unlink()
    found = read_inputs(toy.settings(series=str(strange), kernel=str(packed)))
    assert "is no git tree" in found.why and found.ref == ""


def test_a_branch_is_what_the_base_does_not_have(toy: Toy) -> None:
    git.text(toy.tree, "branch", "start")
    for name in ("mm/swap.c", "mm/madvise.c"):
        commit(toy.tree, {name: grow}, f"grow {name}")
    git.text(toy.tree, "branch", "-m", "topic/v15")
    settings = toy.settings(series="topic/v15", ref="start")
    found = read_inputs(settings)
    assert found.subjects == ("grow mm/swap.c", "grow mm/madvise.c")
    commits = git.text(toy.tree, "rev-list", "--reverse", "start..topic/v15").split()
    assert [patch.commit for patch in found.patches] == commits
    with pytest.raises(InvocationError, match="does not have"):
        read_inputs(toy.settings(series="topic/v15"))  # HEAD is that branch
    with pytest.raises(InvocationError, match="no branch of"):
        read_inputs(toy.settings(series="topic/v16", ref="start"))


def test_a_folder_with_a_folder_for_each_kernel_line(toy: Toy) -> None:
    folder = toy.root / "patches"
    folder.mkdir()
    toy.series(("one", {"mm/swap.c": grow})).rename(folder / "6.1")
    (folder / "6.1" / "0000-cover-letter.patch").write_text(
        "Subject: [PATCH 0/1] x\nMessage-Id: <c@example.org>\n\nhi\n"
    )
    series = load_series(toy.settings(series=str(folder)), toy.base())
    assert [p.subject for p in series.patches] == ["one"]
    assert series.letter and series.letter.message_id == "c@example.org"


def test_a_mail_is_known_by_its_message_id(toy: Toy) -> None:
    folder = toy.series(("one", {"mm/swap.c": grow}))
    (path,) = folder.glob("*.patch")
    path.write_text(path.read_text().replace("Subject:", "Message-ID: <1@example.org>\nSubject:"))
    assert read_inputs(toy.settings(series=str(folder))).patches[0].message_id == "1@example.org"
